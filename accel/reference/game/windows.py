"""The game in windows of equal length: a chunk with the play around it, many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accel.reference.cameras import Array
from accel.reference.game.options import MIB, ResolveOptions
from accel.reference.game.passes import Stretch
from accel.reference.game.recording import Source
from accel.reference.game.views import Lens

if TYPE_CHECKING:
    from accel.rig import Rig

NS = 1e-9
FARTHEST_PX = 1e5
"""A coordinate beyond this is no pixel: it is taken as missing."""


@dataclass(frozen=True, slots=True)
class Window:
    """Steps begin..begin + length are solved, first..stop of them told."""

    begin: int
    first: int
    stop: int


class Windows:
    """Cuts a recording into windows and reads them as the passes want them."""

    def __init__(
        self,
        rig: Rig,
        recording: Source,
        options: ResolveOptions,
        xp: Any,
        chunk_s: float | None = None,
    ) -> None:
        self.xp, self.recording, self.options = xp, recording, options
        self.lens = Lens.of(rig, xp)
        self.row_s = 1e-3 * rig.readout_ms / rig.size[:, 1]
        self.steps = len(recording.time_ns)
        self.step_s = typical_step_s(recording)
        whole = chunk_s is not None
        length = options.chunk_s if chunk_s is None else chunk_s
        self.chunk = max(1, round(length / self.step_s))
        self.overlap = 0 if whole else round(options.overlap_s / self.step_s)
        if self.chunk >= self.steps:
            self.chunk, self.overlap = self.steps, 0
        self.length = self.chunk + 2 * self.overlap
        step_bytes = options.body_step_bytes(recording.capture_time_ns.shape[1])
        room = max(1, options.memory_mib * MIB // (self.length * step_bytes))
        turns = -(-recording.people // room)
        self.bodies = max(1, -(-recording.people // max(turns, 1)))
        self.parallel = max(1, room // max(recording.people, 1))

    def all(self) -> list[Window]:
        """Every window of the game."""
        return [
            Window(first - self.overlap, first, min(first + self.chunk, self.steps))
            for first in range(0, self.steps, self.chunk)
        ]

    def groups(self) -> Iterator[list[Window]]:
        """Windows that are solved together."""
        windows = self.all()
        for k in range(0, len(windows), self.parallel):
            yield windows[k : k + self.parallel]

    def stretch(self, group: Sequence[Window], people: range) -> Stretch:
        """What was seen in these windows of these people, in the library that solves."""
        xp = self.xp
        parts = [self._read(window, people) for window in group]
        u, v, confidence, offset, time = (
            np.concatenate([part[i] for part in parts], axis=-2 if i < 3 else -1) for i in range(5)
        )
        seen = np.asarray((confidence > 0).any(axis=(0, 3)))
        return Stretch(
            u=xp.asarray(u),
            v=xp.asarray(v),
            confidence=xp.asarray(confidence),
            offset_s=xp.asarray(offset),
            row_s=xp.asarray(self.row_s.reshape(-1, 1, 1, 1)),
            time_s=xp.asarray(time),
            linked=xp.asarray(linked(seen, time, self.options.max_gap_s)),
        )

    def _read(self, window: Window, people: range) -> tuple[NDArray[Any], ...]:
        """One window, (C, K, P, J) each for u, v, confidence; then offsets and times."""
        low, high = max(window.begin, 0), min(window.begin + self.length, self.steps)
        before, after = low - window.begin, window.begin + self.length - high
        points = self.recording.read(low, high)[:, :, people.start : people.stop]
        points = np.moveaxis(np.asarray(points, dtype=np.float32), 1, 0)
        padded = np.zeros((*points.shape[:1], self.length, *points.shape[2:]), dtype=np.float32)
        padded[:, before : self.length - after] = points
        with np.errstate(invalid="ignore"):
            good = (np.abs(padded[..., :2]) < FARTHEST_PX).all(axis=-1) & (padded[..., 2] > 0)
        padded = np.where(good[..., None], padded, np.float32(0.0))
        times = self.recording.time_ns[low:high]
        late = (self.recording.capture_time_ns[low:high] - times[:, None]) * NS
        offset = np.zeros((points.shape[0], self.length))
        offset[:, before : self.length - after] = late.T
        since = (times - self.recording.time_ns[0]) * NS
        time = np.concatenate(
            (
                since[0] - self.step_s * np.arange(before, 0, -1),
                since,
                since[-1] + self.step_s * np.arange(1, after + 1),
            )
        )
        count = len(people)
        return (
            padded[..., 0],
            padded[..., 1],
            np.clip(padded[..., 2], 0.0, 1.0),
            np.repeat(offset[..., None], count, axis=-1),
            np.repeat(time[:, None], count, axis=-1),
        )

    def known(self, stretch: Stretch) -> Array:
        """(K, B, 1) where a body was seen no longer ago, or sooner, than `max_gap_s`."""
        xp = self.xp
        seen = host(xp.any(xp.any(stretch.confidence > 0, axis=0), axis=-1))
        time = host(stretch.time_s)
        return xp.asarray(near_seen(seen, time, self.options.max_gap_s)[..., None])


def typical_step_s(recording: Source) -> float:
    """The median time between steps; a sixtieth of a second where there is but one."""
    if len(recording.time_ns) < 2:
        return 1.0 / 60.0
    return float(np.median(np.diff(recording.time_ns))) * NS


def linked(
    seen: NDArray[np.bool_], time_s: NDArray[np.float64], max_gap_s: float
) -> NDArray[np.float64]:
    """(K, B) 0 where a body is seen for the first time, or again after a long time, else 1."""
    out = np.ones(seen.shape)
    last = np.full(seen.shape[1], -np.inf)
    for k in range(len(seen)):
        anew = seen[k] & (time_s[k] - last > max_gap_s)
        out[k, anew] = 0.0
        last = np.where(seen[k], time_s[k], last)
    return out


def near_seen(
    seen: NDArray[np.bool_], time_s: NDArray[np.float64], max_gap_s: float
) -> NDArray[np.bool_]:
    """(K, B) where a body is seen within `max_gap_s` before or after."""
    out = np.zeros(seen.shape, dtype=bool)
    for order in (range(len(seen)), range(len(seen) - 1, -1, -1)):
        last = np.full(seen.shape[1], np.inf)
        for k in order:
            last = np.where(seen[k], time_s[k], last)
            out[k] |= np.abs(time_s[k] - last) <= max_gap_s
    return out


def host(values: Array) -> NDArray[Any]:
    """The values in NumPy, from wherever they are."""
    return np.asarray(values.get() if hasattr(values, "get") else values)
