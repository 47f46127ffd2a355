"""Whole arrays in plain array code: the oracle of the C++ core, and a recorded game solved again.

Everything runs on the Python array API: the namespace is taken from the points or pixels given, so
that NumPy (2.1 and later), CuPy and others do. The rules are those of core/triangulate.hpp, written
anew for whole batches; nothing of the core is called. `rig` is a `Rig`, or anything with K, dist, R
and t as NumPy arrays, whose leading axes may hold one rig for each point.

Formulas: Brown, Close-Range Camera Calibration (1971), in OpenCV's order; Gauss-Newton on distorted
pixels, damped as by Marquardt (1963).
"""

from __future__ import annotations

from accel.reference.cameras import Cameras, project, undistort
from accel.reference.game import (
    Detections,
    Learned,
    Progress,
    Recording,
    Resolved,
    ResolveOptions,
    Source,
    learn,
    resolve,
)
from accel.reference.points import Solution, triangulate

__all__ = [
    "Cameras",
    "Detections",
    "Learned",
    "Progress",
    "Recording",
    "ResolveOptions",
    "Resolved",
    "Solution",
    "Source",
    "learn",
    "project",
    "resolve",
    "triangulate",
    "undistort",
]
