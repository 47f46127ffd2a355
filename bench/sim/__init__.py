"""A seeded arena with ground truth: people who move, cameras that see them imperfectly.

    from bench.sim import Arena, preset
    arena = Arena(preset("standard", cameras=8, people=13, frames=600))
    for frame_set in arena.frame_sets():
        for view in frame_set.views:
            ...  # view.camera, view.capture_time_ns, view.keypoints (N, 17, 3), view.person (N,)
        joints_m = arena.truth(frame_set.time_ns)  # (P, 17, 3)

World: metres, origin at the court's centre, x along it, y to the left, z up. A camera maps
x_cam = R X + t and distorts with OpenCV's k1 k2 p1 p2 k3.
"""

from bench.sim.arena import Arena, FrameSet, View
from bench.sim.options import ArenaOptions, ObservationOptions, RingOptions
from bench.sim.presets import PRESETS, preset
from bench.sim.ring import RigArrays

__all__ = [
    "PRESETS",
    "Arena",
    "ArenaOptions",
    "FrameSet",
    "ObservationOptions",
    "RigArrays",
    "RingOptions",
    "View",
    "preset",
]
