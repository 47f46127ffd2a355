"""From a file's presentation times to capture times, and playing at a recording's own pace."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RecordingClock:
    """Gives the frames of recordings their capture times.

    A recording starts at ``start_ns``, each camera later by its own offset. Presentation times
    are exact fractions of a second, so cameras that ran in step stay in step to the nanosecond.
    """

    start_ns: int = 0
    """When the recordings began, ns UTC; 0 where nobody knows."""
    offsets_ns: Mapping[str, int] = field(default_factory=dict)
    """How much later than that a camera's recording began, by camera name."""

    def capture_time_ns(self, camera: str, ticks: int, time_base: Fraction) -> int:
        """Give the capture time of a frame.

        Args:
            camera: The camera's name.
            ticks: The frame's presentation time since its recording began.
            time_base: Length of a tick in seconds.
        """
        elapsed_ns = ticks * time_base.numerator * NS // time_base.denominator
        return self.start_ns + self.offsets_ns.get(camera, 0) + elapsed_ns


class Pace:
    """Lets recordings be played as fast as they were taken, as if their cameras were live."""

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._began: float | None = None

    def wait_until(self, time_ns: int, stop: threading.Event) -> None:
        """Wait until a recording's time has come, or until ``stop`` is set."""
        if self._began is None:
            self._began = time.monotonic()
        left_s = self._began + (time_ns - self._start_ns) / NS - time.monotonic()
        if left_s > 0:
            stop.wait(left_s)
