"""The bulk engine: a recorded game solved again on whole arrays.

from accel import reference
recording = reference.Recording(time_ns, capture_time_ns, keypoints)
for chunk in reference.resolve(rig, recording, progress=print):
    chunk.joints_m, chunk.covariance_m2  # (t, P, J, 3), (t, P, J, 3, 3)
"""

from __future__ import annotations

from accel.reference.game.learning import Learned, Progress, learn
from accel.reference.game.options import ResolveOptions
from accel.reference.game.recording import Detections, Recording, Source
from accel.reference.game.resolve import Resolved, resolve

__all__ = [
    "Detections",
    "Learned",
    "Progress",
    "Recording",
    "ResolveOptions",
    "Resolved",
    "Source",
    "learn",
    "resolve",
]
