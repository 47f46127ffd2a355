"""The latest-frame slot: what a camera's thread leaves for the loop, and never a queue that grows.

A frame that comes while the slot is full takes the place of the oldest one in it. So whoever reads
late reads what is new, and what was overtaken is counted where it happened.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge_node.perception import Frame

PICTURES = 1
"""Pictures in a slot, at most."""
OBSERVATIONS = 8
"""Recorded observations in a slot, at most: they cost nothing to hold, and a replay wants all."""
MAX_TOLD_DROPS = 1024
"""Dropped frames of a camera that wait to be told one by one, at most; all are counted."""

OVERTAKEN = "slot_overtaken"
"""A newer frame came before the loop took this one."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A frame that was dropped."""

    camera: int
    """Index into ``rig.names``."""
    capture_time_ns: int
    """Its capture time."""
    reason: str
    """Where and why."""


class Tally:
    """Frames of a camera that were dropped, by reason. Any thread may call any method.

    Args:
        camera: Index into ``rig.names``.
    """

    def __init__(self, camera: int) -> None:
        self._camera = camera
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._untold: deque[Drop] = deque(maxlen=MAX_TOLD_DROPS)

    def add(self, reason: str, capture_time_ns: int | None = None, frames: int = 1) -> None:
        """Count frames.

        Args:
            reason: Where and why.
            capture_time_ns: Of the frame, where it has one; such a frame is told by itself, too.
            frames: How many.
        """
        with self._lock:
            self._counts[reason] += frames
            if capture_time_ns is not None:
                self._untold.append(Drop(self._camera, capture_time_ns, reason))

    def take(self) -> list[Drop]:
        """Give the frames that were dropped since the last time, oldest first."""
        with self._lock:
            told = list(self._untold)
            self._untold.clear()
        return told

    @property
    def counts(self) -> Mapping[str, int]:
        """How many, by reason."""
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> int:
        """How many in all."""
        with self._lock:
            return sum(self._counts.values())


class Slot:
    """Holds the newest frames of one camera. Any thread may call any method.

    Args:
        depth: Frames held, at most.
        tally: Counts what is overtaken.
        wake: Called after a frame was put; must return at once.
    """

    def __init__(self, depth: int, tally: Tally, wake: Callable[[], None]) -> None:
        assert depth >= 1
        self._depth, self._tally, self._wake = depth, tally, wake
        self._lock = threading.Lock()
        self._frames: deque[Frame] = deque()
        self._closed = False

    def put(self, frame: Frame) -> None:
        """Leave a frame; nothing comes into a closed slot any more."""
        overtaken: Frame | None = None
        with self._lock:
            if self._closed:
                return
            if len(self._frames) == self._depth:
                overtaken = self._frames.popleft()
            self._frames.append(frame)
        if overtaken is not None:
            self._tally.add(OVERTAKEN, overtaken.capture_time_ns)
        self._wake()

    def take(self) -> list[Frame]:
        """Take what is there, oldest first."""
        with self._lock:
            frames = list(self._frames)
            self._frames.clear()
        return frames

    def close(self) -> None:
        """Forget what is there and take nothing more: its camera has another source now."""
        with self._lock:
            self._closed = True
            self._frames.clear()
