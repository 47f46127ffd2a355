"""What users import, by name: a change here is a change of the contract."""

from __future__ import annotations

import accel
import tipoff
from tests.support.cli import run_tipoff

ACCEL = {
    "Alignment",
    "AlignmentError",
    "BallArc",
    "BallOptions",
    "BallSnapshot",
    "BallTracker",
    "Bounce",
    "COCO17",
    "CalibrationError",
    "CalibrationFileError",
    "CheckpointError",
    "CameraHealth",
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
}


def test_accel() -> None:
    assert set(accel.__all__) == ACCEL
    assert all(hasattr(accel, name) for name in accel.__all__)


def test_both_trackers_are_told_asked_and_kept_alike() -> None:
    for tracker in (accel.Tracker, accel.BallTracker):
        members = {name for name in vars(tracker) if not name.startswith("_")}
        assert members >= {"observe", "snapshot", "stats", "checkpoint", "restore"}, tracker


def test_tipoff() -> None:
    assert set(tipoff.__all__) <= set(dir(tipoff))
    assert all(getattr(tipoff, name) is not None for name in tipoff.__all__)


def test_commands() -> None:
    for command in (
        "rig show",
        "rig align",
        "rig check",
        "models pull",
        "models add",
        "node check",
    ):
        assert run_tipoff(*command.split(), "--help").returncode == 0, command
    for command in ("triton up", "triton status", "triton down", "track", "serve", "watch"):
        assert run_tipoff(*command.split(), "--help").returncode == 0, command
