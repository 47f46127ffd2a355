"""The model people_frame."""
