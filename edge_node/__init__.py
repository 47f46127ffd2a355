"""The edge node: from camera frames to 3D tracks, on one machine in the arena.

capture -> inference in Triton -> ``accel.Tracker`` -> sinks, with the closed loop from the tracker
back to the inference. See :mod:`edge_node.frames` for what travels between them.
"""
