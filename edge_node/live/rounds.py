"""Rounds of live cameras: the frames of about one time, put together as they arrive.

Cameras share no trigger, differ in rate, and fall silent. A round ends as soon as every camera that
is due has given its frame, before a camera gives a second one, or when it was held long enough for
those that are missing. So a healthy rig waits for its slowest camera and for nothing else, and a
camera that fails costs its hold once, not in every round: whoever misses a beat is not waited for
until it gives frames again. Rounds are cut where the cameras pause longest, so that cameras that
run in step end up in one round, whichever of them gave the first frame.

No clock in here: frames carry when they arrived, and the caller says what time it is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_node.perception import Frame

REMEMBERED_BEATS = 7
"""Intervals between a camera's frames that its beat is taken from."""
MISSED_BEATS = 1.5
"""A camera that is silent for so many of its beats is not waited for."""
SPREAD_NS = 1_000_000_000
"""A capture time so far from the round's median says nothing about when the round was."""


@dataclass(frozen=True, slots=True)
class RoundOptions:
    """How long rounds wait."""

    hold_ns: int = 25_000_000
    """How long a round is held for a camera that is due, from its first frame's arrival."""


LONGER_PAUSE = 1.5
"""A pause within a round that is so many times the one before it had better been between two."""


class Beat:
    """When a camera's next frame is due."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._intervals: deque[int] = deque(maxlen=REMEMBERED_BEATS)

    def arrived(self, now_ns: int) -> None:
        """Take in that a frame arrived."""
        if self._last_ns is not None:
            self._intervals.append(now_ns - self._last_ns)
        self._last_ns = now_ns

    def due_ns(self, now_ns: int) -> float | None:
        """Give when a frame should come; None where nobody knows or it has missed its beat."""
        if self._last_ns is None or not self._intervals:
            return None
        interval = median(self._intervals)
        missed = now_ns - self._last_ns >= MISSED_BEATS * interval
        return None if missed else self._last_ns + interval


class LiveRounds:
    """Puts frames together. Call it from one thread.

    Args:
        options: How long rounds wait.
    """

    def __init__(self, options: RoundOptions | None = None) -> None:
        self._hold_ns = (options or RoundOptions()).hold_ns
        self._beats: dict[int, Beat] = {}
        self._current: dict[int, Frame] = {}
        self._since_ns = 0
        self._last_ns = 0
        self._pause_ns = 0

    def add(self, frame: Frame) -> list[Frame] | None:
        """Take in a frame; gives the round that this one ended, without it where it was a second.

        Args:
            frame: With ``arrived_ns``; frames come in order of arrival.
        """
        beat = self._beats.setdefault(frame.camera, Beat())
        beat.arrived(frame.arrived_ns)
        ended = self._end() if frame.camera in self._current else None
        if not self._current:
            self._since_ns = frame.arrived_ns
            self._pause_ns = frame.arrived_ns - self._last_ns
        self._last_ns = frame.arrived_ns
        self._current[frame.camera] = frame
        return ended

    def due(self, now_ns: int) -> list[Frame] | None:
        """Give the round if nothing more is to be waited for."""
        if not self._current:
            return None
        if now_ns < self._since_ns + self._hold_ns and self._awaited(now_ns):
            return None
        return self._end()

    def _awaited(self, now_ns: int) -> bool:
        """Say whether a missing camera is due within the hold, and before one that is here."""
        dues = {camera: beat.due_ns(now_ns) for camera, beat in self._beats.items()}
        known = [(due, camera) for camera, due in dues.items() if due is not None]
        next_ns, camera = min(known, default=(0.0, -1))
        if camera < 0 or camera in self._current or next_ns > self._since_ns + self._hold_ns:
            return False
        return next_ns - self._last_ns <= LONGER_PAUSE * self._pause_ns

    def wait_ns(self, now_ns: int) -> int | None:
        """Give how long the current round may still be held; None where there is none."""
        if not self._current:
            return None
        return max(self._since_ns + self._hold_ns - now_ns, 0)

    def forget(self, camera: int) -> None:
        """Do not wait for a camera until it gives frames again."""
        self._beats.pop(camera, None)

    def _end(self) -> list[Frame]:
        frames = sorted(self._current.values(), key=lambda f: (f.capture_time_ns, f.camera))
        self._current = {}
        return frames


def round_time_ns(frames: Sequence[Frame]) -> int:
    """Give the time of a round: its newest capture time, whatever a clock that has jumped says."""
    times = sorted(frame.capture_time_ns for frame in frames)
    middle = times[(len(times) - 1) // 2]
    return max(time for time in times if abs(time - middle) <= SPREAD_NS)
