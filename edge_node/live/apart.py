"""Cameras whose times are so far from the others' that one tracker cannot follow both.

Frames of one moment should arrive after about the same time, by the times that they carry. A
tracker takes what is at most `max_delay_ms` older than its newest frame. So of all cameras' ways
(arrival less capture time) that stretch of this length counts which holds most cameras, the shorter
ways where two hold as many: whoever is outside has a clock that is ahead or behind, or a connection
that is too slow. Were a camera ahead of the stretch let in, everybody else would be refused; one
behind it would be looked at for nothing. Their frames are held back, and they are named until their
frames come in time again.

A camera's way is the shortest of its last frames, so that one that was held up for a moment counts
as before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_node.perception import Frame

_MS = 1_000_000
WAYS = 8
"""Frames of which the shortest way counts."""
LEAST_WAYS = 4
"""Frames before a camera's way is a measure for others."""
SILENT_AFTER_NS = 1_000_000_000
"""A camera that gave nothing for so long is no measure for others."""
LEAST_CAMERAS = 3
"""Of two cameras nobody can tell which is wrong: none is held back."""
SAID_AFTER_NS = 500_000_000
"""A camera is named once its frames were held back for so long; a moment's delay is no verdict."""
SLACK = 0.1
"""By this part of the stretch a camera may leave it before it is held back."""


@dataclass(slots=True)
class _Way:
    """How one camera's frames come."""

    ways_ns: deque[int] = field(default_factory=lambda: deque(maxlen=WAYS))
    arrived_ns: int = 0
    since_ns: int | None = None
    """When its frames began to be held back; None: they are not."""
    off_ns: int = 0
    """How far outside the stretch it was last; below 0: ahead."""

    @property
    def shortest_ns(self) -> int:
        return min(self.ways_ns)


class Apart:
    """Says of each frame whether its camera keeps the others' time.

    Args:
        names: The cameras.
        most_ns: How far a camera may be off: what the tracker waits for late frames.
    """

    def __init__(self, names: Sequence[str], most_ns: int) -> None:
        self._names, self._most_ns = names, most_ns
        self._ways: dict[int, _Way] = {}

    def holds_back(self, frame: Frame) -> bool:
        """Take in a frame, in order of arrival, and say whether it is to be held back."""
        now_ns = frame.arrived_ns
        way = self._ways.setdefault(frame.camera, _Way())
        if now_ns - way.arrived_ns > SILENT_AFTER_NS:
            way.ways_ns.clear()  # a new connection may have another clock
            way.since_ns = None
        way.ways_ns.append(now_ns - frame.capture_time_ns)
        way.arrived_ns = now_ns
        stretch = self._stretch(now_ns)
        if stretch is None:
            way.since_ns = None
            return False
        way.off_ns = _outside(way.shortest_ns, *stretch)
        slack_ns = 0.0 if way.since_ns is not None else SLACK * self._most_ns
        if abs(way.off_ns) <= slack_ns:
            way.since_ns = None
        elif way.since_ns is None:
            way.since_ns = now_ns
        return way.since_ns is not None

    def _stretch(self, now_ns: int) -> tuple[int, int] | None:
        """Give the shortest and the longest way that are within reach; None: nobody can tell."""
        measured = [
            way
            for way in self._ways.values()
            if len(way.ways_ns) >= LEAST_WAYS and now_ns - way.arrived_ns <= SILENT_AFTER_NS
        ]
        if len(measured) < LEAST_CAMERAS:
            return None
        ways = sorted(way.shortest_ns for way in measured)
        held = [bisect_right(ways, first + self._most_ns) - i for i, first in enumerate(ways)]
        best = held.index(max(held))
        # The cameras in it may all wander a little to either side.
        spare_ns = self._most_ns - (ways[best + held[best] - 1] - ways[best])
        return ways[best] - spare_ns, ways[best] + self._most_ns

    def said(self) -> Mapping[str, str]:
        """Give the cameras that are held back, and why in words."""
        return {
            self._names[camera]: _words(way.off_ns)
            for camera, way in self._ways.items()
            if way.since_ns is not None and way.arrived_ns - way.since_ns >= SAID_AFTER_NS
        }


def _outside(way_ns: int, shortest_ns: int, longest_ns: int) -> int:
    return min(way_ns - shortest_ns, 0) or max(way_ns - longest_ns, 0)


def _words(off_ns: int) -> str:
    how = "earlier" if off_ns < 0 else "later"
    return (
        f"its frames come much {how} than the other cameras', by the times that they carry: set all"
        " clocks by NTP or PTP, and see to its network"
    )
