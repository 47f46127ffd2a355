"""Rounds of live cameras: the frames of about one time, put together as they arrive.

Cameras share no trigger, differ in rate, and fall silent. A round spans one beat of the fastest
camera in it, by capture times: whoever should have captured a frame within that beat is waited for,
and nobody else. It ends as soon as all of those are there, before a frame of the next beat or a
second one of a camera, or when it was held long enough. So a healthy rig waits for its slowest link
and for nothing else, and a camera that fails costs its hold once, not in every round: whoever
misses a beat is not waited for until it gives frames again.

No clock in here: frames carry when they arrived, and the caller says what time it is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from edge_node.perception import Frame

REMEMBERED_BEATS = 7
"""Intervals between a camera's frames that its beat is taken from."""
MISSED_BEATS = 0.5
"""A camera whose next frame was due so many beats before a round is not waited for."""
SPAN_BEATS = 0.75
"""Part of a beat that a round spans: what is due later belongs to the next one."""
LATER_BEATS = 0.9
"""A frame so many beats after a round's first one is of the next round."""
SPREAD_NS = 1_000_000_000
"""A capture time so far from the round's median says nothing about when the round was."""


@dataclass(frozen=True, slots=True)
class RoundOptions:
    """How long rounds wait."""

    hold_ns: int = 25_000_000
    """How long a round is held for a camera that is due, from its first frame's arrival."""


class Beat:
    """How a camera's frames follow each other."""

    def __init__(self) -> None:
        self._capture_ns: int | None = None
        self._intervals: deque[int] = deque(maxlen=REMEMBERED_BEATS)
        self.interval_ns: float | None = None
        """Between two capture times, usually; None where nobody knows yet."""

    def took(self, frame: Frame) -> None:
        """Take in a frame."""
        if self._capture_ns is not None:
            self._intervals.append(frame.capture_time_ns - self._capture_ns)
            self.interval_ns = max(median(self._intervals), 1.0)
        self._capture_ns = frame.capture_time_ns

    def due_ns(self) -> float | None:
        """Give the next capture time; None where nobody knows it."""
        if self._capture_ns is None or self.interval_ns is None:
            return None
        return self._capture_ns + self.interval_ns


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

    def add(self, frame: Frame) -> list[Frame] | None:
        """Take in a frame; gives the round that this one ended: it is the next one's first.

        Args:
            frame: With ``arrived_ns``; frames come in order of arrival.
        """
        self._beats.setdefault(frame.camera, Beat()).took(frame)
        ends = frame.camera in self._current or self._is_later(frame)
        ended = self._end() if ends else None
        if not self._current:
            self._since_ns = frame.arrived_ns
        self._current[frame.camera] = frame
        return ended

    def due(self, now_ns: int) -> list[Frame] | None:
        """Give the round if nothing more is to be waited for."""
        if not self._current:
            return None
        if now_ns < self._since_ns + self._hold_ns and self._awaited():
            return None
        return self._end()

    def _awaited(self) -> bool:
        """Say whether a missing camera should have captured a frame within this round's beat.

        One that has missed the beat before is silent, or later than the others by a beat: it would
        be waited for in vain.
        """
        beat_ns = self._beat_ns(self._current)
        first_ns = self._first_ns()
        missing = (beat for camera, beat in self._beats.items() if camera not in self._current)
        dues = (beat.due_ns() for beat in missing)
        return any(
            due is not None and -MISSED_BEATS * beat_ns < due - first_ns <= SPAN_BEATS * beat_ns
            for due in dues
        )

    def _is_later(self, frame: Frame) -> bool:
        """Say whether a frame is a beat after the round that waits for somebody who misses it.

        In it, it would take the round's time along, and who was captured with it came too late.
        """
        if not self._current:
            return False
        beat_ns = self._beat_ns((*self._current, frame.camera))
        after_ns = frame.capture_time_ns - self._first_ns()
        return 0.0 < LATER_BEATS * beat_ns <= after_ns < SPREAD_NS

    def _beat_ns(self, cameras: Collection[int]) -> float:
        """Give the shortest beat of some cameras; 0 where nobody knows any."""
        # A camera may have been forgotten since its frame came into the round.
        beats = [self._beats[camera].interval_ns for camera in cameras if camera in self._beats]
        return min((beat for beat in beats if beat is not None), default=0.0)

    def _first_ns(self) -> int:
        return min(frame.capture_time_ns for frame in self._current.values())

    def wait_ns(self, now_ns: int) -> int | None:
        """Give how long the current round may still be held; None where there is none."""
        if not self._current:
            return None
        return max(self._since_ns + self._hold_ns - now_ns, 0)

    def forget(self, camera: int) -> None:
        """Do not wait for a camera until it gives frames again; what it gave is not taken back."""
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
