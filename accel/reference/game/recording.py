"""A recorded game: who was seen where by which camera, every detection with its person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accel.errors import InvalidInputError

Keypoints = NDArray[np.float32]
Ints = NDArray[np.int64]

KEYPOINT_AXES = 5
LARGEST_TIME_NS = 2**62


class Source(Protocol):
    """What `resolve` reads, piece by piece: a `Recording`, `Detections`, or a reader of a file."""

    @property
    def time_ns(self) -> Ints:
        """(T,) when the joints are wanted, rising."""

    @property
    def capture_time_ns(self) -> Ints:
        """(T, C) when each camera took its frame of a step: mid-exposure of the first row."""

    @property
    def people(self) -> int:
        """How many people there are."""

    @property
    def joints(self) -> int:
        """How many joints each has."""

    def read(self, first: int, stop: int) -> Keypoints:
        """(stop - first, C, P, J, 3) u, v, confidence; NaN or confidence 0 where missing."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A game as dense arrays, which may be memory maps: only slices of steps are read.

    Raises:
        InvalidInputError: Shapes that do not fit each other, or times that do not rise.
    """

    time_ns: Ints
    """(T,) when the joints are wanted, rising; best amid the cameras' capture times."""
    capture_time_ns: Ints
    """(T, C) mid-exposure of the first row of each camera's frame of a step."""
    keypoints: Keypoints
    """(T, C, P, J, 3) u, v in distorted pixels and confidence; NaN or confidence 0: missing."""

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        checked_times(self.time_ns, self.capture_time_ns)
        shape = self.keypoints.shape
        if len(shape) != KEYPOINT_AXES or shape[-1] != 3 or shape[:2] != self.capture_time_ns.shape:
            raise InvalidInputError(
                f"keypoints have shape {shape}; {self.capture_time_ns.shape} capture times need"
                " (T, C, P, J, 3): u, v, confidence",
                field="keypoints",
            )

    @property
    def people(self) -> int:
        """How many people there are."""
        return int(self.keypoints.shape[2])

    @property
    def joints(self) -> int:
        """How many joints each has."""
        return int(self.keypoints.shape[3])

    def read(self, first: int, stop: int) -> Keypoints:
        """A slice of steps."""
        return np.asarray(self.keypoints[first:stop], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Detections:
    """A game as a list of detections: what is missing takes no room.

    Raises:
        InvalidInputError: Shapes that do not fit each other, indices outside the game, steps that
            fall, or two detections of one person by one camera at one step.
    """

    time_ns: Ints
    """(T,) when the joints are wanted, rising."""
    capture_time_ns: Ints
    """(T, C) mid-exposure of the first row of each camera's frame of a step."""
    people: int
    """How many people there are."""
    step: Ints
    """(N,) which step each detection belongs to, never falling."""
    camera: Ints
    """(N,) which camera made it."""
    person: Ints
    """(N,) whom it shows; -1: nobody, which leaves it out."""
    keypoints: Keypoints
    """(N, J, 3) u, v in distorted pixels and confidence; NaN or confidence 0: missing."""

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        checked_times(self.time_ns, self.capture_time_ns)
        count = len(self.step)
        if self.keypoints.ndim != 3 or self.keypoints.shape[::2] != (count, 3):
            raise InvalidInputError(
                f"keypoints have shape {self.keypoints.shape}; {count} detections need (N, J, 3)",
                field="keypoints",
            )
        steps, cameras = self.capture_time_ns.shape
        limits = {"step": (0, steps), "camera": (0, cameras), "person": (-1, self.people)}
        for name, (low, high) in limits.items():
            values = getattr(self, name)
            if values.shape != (count,):
                raise InvalidInputError(f"{name} has shape {values.shape}; give ({count},)")
            if count and not (values.min() >= low and values.max() < high):
                raise InvalidInputError(f"a {name} lies outside {low}..{high - 1}", field=name)
        if (np.diff(self.step) < 0).any():
            raise InvalidInputError("detections are out of order; sort them by step", field="step")
        known = self.person >= 0
        key = (self.step * cameras + self.camera) * max(self.people, 1) + self.person
        if len(np.unique(key[known])) != int(known.sum()):
            raise InvalidInputError(
                "a camera has two detections of one person at one step; keep the better one",
                field="person",
            )

    @property
    def joints(self) -> int:
        """How many joints each has."""
        return int(self.keypoints.shape[1])

    def read(self, first: int, stop: int) -> Keypoints:
        """A slice of steps, dense."""
        low, high = np.searchsorted(self.step, [first, stop])
        rows = np.arange(low, high)[self.person[low:high] >= 0]
        cameras = self.capture_time_ns.shape[1]
        out = np.zeros((stop - first, cameras, self.people, self.joints, 3), dtype=np.float32)
        out[self.step[rows] - first, self.camera[rows], self.person[rows]] = self.keypoints[rows]
        return out


def checked_times(time_ns: Ints, capture_time_ns: Ints) -> None:
    """Refuse times that are not whole nanoseconds, do not rise, or do not fit each other."""
    for name, values, axes in (
        ("time_ns", time_ns, 1),
        ("capture_time_ns", capture_time_ns, 2),
    ):
        if values.ndim != axes or not np.issubdtype(values.dtype, np.integer):
            raise InvalidInputError(
                f"{name} has shape {values.shape} of {values.dtype}; give integer nanoseconds"
                f" ({'T' if axes == 1 else 'T, C'})",
                field=name,
            )
        if values.size and int(np.abs(values).max()) >= LARGEST_TIME_NS:
            raise InvalidInputError(f"{name} lies outside +-2**62 ns", field=name)
    if len(time_ns) != len(capture_time_ns):
        raise InvalidInputError(
            f"there are {len(time_ns)} times and {len(capture_time_ns)} steps of captures",
            field="time_ns",
        )
    if (np.diff(time_ns) <= 0).any():
        at = int(np.argmax(np.diff(time_ns) <= 0)) + 1
        raise InvalidInputError(f"time_ns does not rise at step {at}; sort the steps by time")
