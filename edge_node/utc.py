"""UTC as this process tells it: even, whatever is done to the machine's clock meanwhile.

Times of frames, snapshots and messages must not fall, nor leap past what comes next. So they are
made of the monotonic clock and an offset: what UTC was ahead of it when the process began. Where
somebody sets the machine's clock by less than ``STEP_NS`` the offset follows, no faster than
``SLEW``; a larger step is for the next start of the process, and is said in the log.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

SLEW = 500e-6
"""Fastest change of the offset, in seconds a second: what an NTP daemon does at most."""
STEP_NS = 1_000_000_000
"""A clock that is off by more was set."""

log = structlog.get_logger(__name__)


class SteadyClock:
    """Tells UTC. Any thread may ask.

    Args:
        wall_ns: Gives the machine's UTC, ns.
        monotonic_ns: Gives a time that never falls, ns.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self._lock = threading.Lock()
        self._at_ns = monotonic_ns()
        self._offset_ns = wall_ns() - self._at_ns
        self._told = False

    def now_ns(self) -> int:
        """Give now, ns UTC."""
        with self._lock:
            at_ns = self._monotonic_ns()
            off_ns = self._wall_ns() - at_ns - self._offset_ns
            stepped = abs(off_ns) >= STEP_NS
            if not stepped:
                most_ns = round(SLEW * (at_ns - self._at_ns))
                self._offset_ns += max(-most_ns, min(off_ns, most_ns))
            self._at_ns = at_ns
            tell, self._told = stepped and not self._told, stepped
            now_ns = at_ns + self._offset_ns
        if tell:
            log.warning(
                "this machine's clock was set: times go on from before until the process is "
                "started again",
                by_s=round(off_ns / 1e9, 3),
            )
        return now_ns


_CLOCK = SteadyClock()


def utc_ns() -> int:
    """Give now, ns UTC, by the clock of this process."""
    return _CLOCK.now_ns()
