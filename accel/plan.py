"""What `Tracker.plan` is told and what it answers."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from accel.errors import InvalidInputError

if TYPE_CHECKING:
    from typing import SupportsIndex

    import numpy as np
    import numpy.typing as npt

    from accel.rig import Rig

Reason = Literal["uncertain", "fresh", "unseen", "crowded", "due", "unmatched", "lost"]
_REASONS: tuple[Reason, ...] = get_args(Reason)

MULTIPOSE_RECALL: tuple[tuple[float, float], ...] = ((40.0, 0.67), (64.0, 0.82), (80.0, 0.94))
"""MoveNet MultiPose: part of the people found, by their height in its input in pixels."""
MOST_RECALL_POINTS = 32
_LARGEST_TIME_NS = 2**62
_MOST = 1e9


@dataclass(frozen=True, slots=True)
class PlanBudget:
    """What may be spent on one frame-set, and what asking about it costs."""

    time_ns: int
    """Capture time of the frame-set that is planned for; one before the newest observation counts
    as that."""
    inference_ms: float
    """What may be spent."""
    pose_ms: float = 7.0
    """Cost of posing one person in one view."""
    request_ms: float = 0.0
    """What asking for poses in a view costs beside the people, once a view: a request, a batch."""
    detect_ms: float | Sequence[float] = 52.0
    """Cost of searching a camera's whole frame; one number for all cameras or one for each."""
    cameras: Sequence[SupportsIndex | str] | None = None
    """The cameras that have a frame, by index or name; None: all."""
    overdraft_ms: float = 0.0
    """How far the last choice may go beyond `inference_ms`. Who carries the difference on to the
    next frame-sets can afford a search that costs more than one of them has."""
    detect_scale: float = 512 / 1920
    """Size of the detector's input over the frame's."""
    recall: Sequence[tuple[float, float]] = MULTIPOSE_RECALL
    """Part of the people that the detector finds (0..1) by their height in its input in pixels,
    ascending: linear from (0, 0) on, flat beyond the last."""
    entries_per_s: float = 0.5
    """How often somebody comes whom nobody knows."""
    missing_mm: float = 500.0
    """What a person whom nobody knows counts as beside the mean joint errors of the others."""
    least_gain_mm_per_ms: float = 0.0
    """What brings less is left, even where the budget has room for it."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in (
            "inference_ms",
            "pose_ms",
            "request_ms",
            "overdraft_ms",
            "entries_per_s",
            "missing_mm",
            "least_gain_mm_per_ms",
            "detect_scale",
        ):
            _require(name, getattr(self, name))
        if not self.pose_ms > 0.0:
            raise InvalidInputError(
                "PlanBudget.pose_ms is 0; give what a pose costs", field="pose_ms"
            )
        costs = self.detect_ms if isinstance(self.detect_ms, Sequence) else (self.detect_ms,)
        for cost in costs:
            _require("detect_ms", cost)
        _require_curve(self.recall)
        try:
            time = operator.index(self.time_ns)
        except TypeError:
            raise InvalidInputError(
                f"PlanBudget.time_ns is {self.time_ns!r}; give integer nanoseconds",
                field="time_ns",
            ) from None
        if abs(time) >= _LARGEST_TIME_NS:
            raise InvalidInputError(
                f"PlanBudget.time_ns is {time}, outside +-2**62; give nanoseconds UTC",
                field="time_ns",
            )

    def _native(self, rig: Rig) -> dict[str, object]:
        cameras = len(rig.names)
        if isinstance(self.detect_ms, Sequence):
            detect_ms = [float(cost) for cost in self.detect_ms]
        else:
            detect_ms = [float(self.detect_ms)] * cameras
        if len(detect_ms) != cameras:
            raise InvalidInputError(
                f"PlanBudget.detect_ms has {len(detect_ms)} costs; the rig has {cameras} cameras",
                field="detect_ms",
            )
        return {
            "inference_ms": float(self.inference_ms),
            "overdraft_ms": float(self.overdraft_ms),
            "pose_ms": float(self.pose_ms),
            "request_ms": float(self.request_ms),
            "detect_ms": detect_ms,
            "available": _available(self.cameras, rig),
            "detect_scale": float(self.detect_scale),
            "recall": [(float(height), float(part)) for height, part in self.recall],
            "entries_per_s": float(self.entries_per_s),
            "missing_m": 1e-3 * float(self.missing_mm),
            "least_gain_m_per_ms": 1e-3 * float(self.least_gain_mm_per_ms),
        }


@dataclass(frozen=True, slots=True)
class PlannedPose:
    """Pose one person in one view."""

    camera: int
    """Index into the rig."""
    id: int
    """The track's identity; -1 for somebody who is not certain yet and has none."""
    box_px: tuple[float, float, float, float]
    """x0, y0, x1, y1 around the body in distorted pixels, with a margin that grows with what is not
    known about its place, not cut at the image's edge."""
    reason: Reason
    """``uncertain``: its joints are less sure than others'. ``fresh``: new or not certain yet.
    ``unseen``: no view held it for a while. ``crowded``: most other views show it hidden or among
    others."""
    gain_mm: float
    """How much less the mean error of its joints is expected to be, at the moment of the choice."""


@dataclass(frozen=True, slots=True)
class PlannedDetect:
    """Search one camera's whole frame."""

    camera: int
    """Index into the rig."""
    reason: Reason
    """``due``: somebody may have come since the last search. ``unmatched``: another camera saw
    somebody whom no track explains. ``lost``: a track is lost or about to be."""
    gain_mm: float
    """What it is expected to take off the sum of the people's mean joint errors, where a person
    whom nobody knows counts as `PlanBudget.missing_mm`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask about one frame-set.

    A camera is searched, or people are posed in it, or neither: then do not observe it.
    """

    pose: tuple[PlannedPose, ...]
    """In the order of their choice: the best for its cost first."""
    detect: tuple[PlannedDetect, ...]
    """The cameras to search."""
    cost_ms: float
    """Of everything."""
    error_before_mm: float
    """Expected mean joint error of the people told at that time, if nothing is asked."""
    error_after_mm: float
    """The same after everything here."""
    expected_unknown: float
    """How many people are expected to be there whom nobody knows."""

    def poses_in(self, camera: int) -> tuple[PlannedPose, ...]:
        """Whom to pose in a camera, the best first."""
        return tuple(pose for pose in self.pose if pose.camera == camera)

    def searches(self, camera: int) -> bool:
        """Whether a camera is searched as a whole."""
        return any(detect.camera == camera for detect in self.detect)

    def asked(self, camera: int) -> list[int] | None:
        """Whom `Tracker.observe` is to be told that were looked for; None: everybody."""
        if self.searches(camera):
            return None
        return [pose.id for pose in self.pose if pose.camera == camera and pose.id >= 0]

    @classmethod
    def _of(
        cls,
        native: tuple[
            npt.NDArray[np.int64],
            npt.NDArray[np.float64],
            npt.NDArray[np.int64],
            npt.NDArray[np.float64],
            npt.NDArray[np.float64],
        ],
    ) -> Plan:
        who, where, searched, worth, sums = (part.tolist() for part in native)
        poses = tuple(
            PlannedPose(camera, identity, (x0, y0, x1, y1), _REASONS[reason], 1e3 * gain)
            for (camera, identity, reason), (x0, y0, x1, y1, gain) in zip(who, where, strict=True)
        )
        detects = tuple(
            PlannedDetect(camera, _REASONS[reason], 1e3 * gain)
            for (camera, reason), gain in zip(searched, worth, strict=True)
        )
        cost_ms, _, before, after, unknown = sums
        return cls(poses, detects, cost_ms, 1e3 * before, 1e3 * after, unknown)


def _require(name: str, value: float) -> None:
    if not (math.isfinite(value) and 0.0 <= value <= _MOST):
        raise InvalidInputError(
            f"PlanBudget.{name} is {value}; give a number from 0 to {_MOST:g}", field=name
        )


def _require_curve(recall: Sequence[tuple[float, float]]) -> None:
    heights = [height for height, _ in recall]
    parts = [part for _, part in recall]
    if (
        not 1 <= len(recall) <= MOST_RECALL_POINTS
        or not all(0.0 < height < _MOST for height in heights)
        or any(a >= b for a, b in pairwise(heights))
        or not all(0.0 <= part <= 1.0 for part in parts)
    ):
        raise InvalidInputError(
            f"PlanBudget.recall is {recall!r}; give 1 to {MOST_RECALL_POINTS} pairs of a height in"
            " pixels, ascending, and a part from 0 to 1",
            field="recall",
        )


def _available(cameras: Sequence[SupportsIndex | str] | None, rig: Rig) -> list[bool]:
    if cameras is None:
        return [True] * len(rig.names)
    available = [False] * len(rig.names)
    for camera in cameras:
        index = rig.index(camera) if isinstance(camera, str) else operator.index(camera)
        if not 0 <= index < len(available):
            raise InvalidInputError(
                f"PlanBudget.cameras names camera {index}; the rig has 0..{len(available) - 1}",
                field="cameras",
            )
        available[index] = True
    return available
