"""The model pose_crops."""
