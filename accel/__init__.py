"""The core: calibrated cameras, robust triangulation, skeletons and the tracker.

Everything that is heavy is C++ behind `accel._core`; `accel.reference` holds the same mathematics
in plain array code. Importing this needs nothing but NumPy.
"""

from __future__ import annotations

from accel import reference
from accel.alignment import Alignment
from accel.ball import BallOptions, BallSnapshot, BallTracker
from accel.ball_arc import BallArc, Bounce
from accel.errors import (
    AlignmentError,
    CalibrationError,
    CalibrationFileError,
    CheckpointError,
    InvalidInputError,
    NotYetError,
    TimeOutOfRangeError,
    TipoffError,
    UnsupportedCameraError,
)
from accel.health import CameraHealth, Estimate, Health, Verdict
from accel.plan import Plan, PlanBudget, PlannedDetect, PlannedPose
from accel.rig import Rig
from accel.skeleton import COCO17, Skeleton
from accel.tracker import Prediction, Snapshot, Tracker
from accel.tracker_options import TrackerOptions
from accel.triangulation import Triangulation, triangulate

__all__ = [
    "COCO17",
    "Alignment",
    "AlignmentError",
    "BallArc",
    "BallOptions",
    "BallSnapshot",
    "BallTracker",
    "Bounce",
    "CalibrationError",
    "CalibrationFileError",
    "CameraHealth",
    "CheckpointError",
    "Estimate",
    "Health",
    "InvalidInputError",
    "NotYetError",
    "Plan",
    "PlanBudget",
    "PlannedDetect",
    "PlannedPose",
    "Prediction",
    "Rig",
    "Skeleton",
    "Snapshot",
    "TimeOutOfRangeError",
    "TipoffError",
    "Tracker",
    "TrackerOptions",
    "Triangulation",
    "UnsupportedCameraError",
    "Verdict",
    "reference",
    "triangulate",
]
