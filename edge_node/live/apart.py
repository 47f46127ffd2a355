"""Cameras whose clocks are so far from the others' that one tracker cannot follow both.

Frames of one moment should arrive after about the same time, by the times that they carry. A camera
whose way (arrival less capture time) differs from the middle of all by more than the tracker waits
has a clock that is ahead or behind, or a connection that is too slow. Were a frame from the future
let in, the tracker would refuse everybody else's as too late; so such frames are held back, and the
camera is named until its frames come in time again.

A camera's way is the shortest of its last frames, so that one that was held up for a moment counts
as before. The middle is the upper one of two: a clock that is ahead is worse than a long way.
"""

from __future__ import annotations

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
"""Of two cameras nobody can tell which is wrong."""
SAID_AFTER_NS = 500_000_000
"""A camera is named once its frames were held back for so long; a moment's delay is no verdict."""
LEAD_NS = 25_000_000
"""A camera whose times are ahead of the middle by more does not say when a round was."""
BACK = 0.8
"""A camera is one of the others again within this part of the limit."""


@dataclass(slots=True)
class _Way:
    """How one camera's frames come."""

    ways_ns: deque[int] = field(default_factory=lambda: deque(maxlen=WAYS))
    arrived_ns: int = 0
    since_ns: int | None = None
    """When its frames began to be held back; None: they are not."""
    off_ns: int = 0

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
        self._now_ns = 0
        self._measured = False
        """Whether enough cameras give frames to tell who is off."""

    def holds_back(self, frame: Frame) -> bool:
        """Take in a frame, in order of arrival, and say whether it is to be held back."""
        self._now_ns = frame.arrived_ns
        way = self._ways.setdefault(frame.camera, _Way())
        if frame.arrived_ns - way.arrived_ns > SILENT_AFTER_NS:
            way.ways_ns.clear()  # a new connection may have another clock
            way.since_ns = None
        way.ways_ns.append(frame.arrived_ns - frame.capture_time_ns)
        way.arrived_ns = frame.arrived_ns
        middle_ns = self._middle_ns()
        self._measured = middle_ns is not None
        if middle_ns is None:
            if self._is_alone(frame.camera):
                way.since_ns = None
            return way.since_ns is not None
        way.off_ns = way.shortest_ns - middle_ns
        most_ns = self._most_ns * (1.0 if way.since_ns is None else BACK)
        if abs(way.off_ns) <= most_ns:
            way.since_ns = None
        elif way.since_ns is None:
            way.since_ns = frame.arrived_ns
        return way.since_ns is not None

    def leads(self, camera: int) -> bool:
        """Say whether a camera's times are ahead, though not so far that it is held back."""
        way = self._ways.get(camera)
        return self._measured and way is not None and way.off_ns < -LEAD_NS

    def _is_alone(self, camera: int) -> bool:
        others = (way for other, way in self._ways.items() if other != camera)
        return all(self._now_ns - way.arrived_ns > SILENT_AFTER_NS for way in others)

    def _middle_ns(self) -> int | None:
        """Give the middle of all cameras' ways; None where too few say anything."""
        ways = sorted(
            way.shortest_ns
            for way in self._ways.values()
            if len(way.ways_ns) >= LEAST_WAYS and self._now_ns - way.arrived_ns <= SILENT_AFTER_NS
        )
        return ways[len(ways) // 2] if len(ways) >= LEAST_CAMERAS else None

    def forget(self, camera: int) -> None:
        """Know nothing of a camera: it has another source."""
        self._ways.pop(camera, None)

    def said(self) -> Mapping[str, str]:
        """Give the cameras that are held back, and why in words."""
        return {
            self._names[camera]: _words(way.off_ns)
            for camera, way in self._ways.items()
            if way.since_ns is not None and way.arrived_ns - way.since_ns >= SAID_AFTER_NS
        }


def _words(off_ns: int) -> str:
    # In whole tenths of a second: who is told of every change must not be told of each frame.
    tenths = f"about {abs(off_ns) / 1e9:.1f} s"
    if off_ns < 0:
        return f"its times are {tenths} ahead of the other cameras': set all clocks by NTP or PTP"
    return f"its frames come {tenths} later than the other cameras': see its clock and network"
