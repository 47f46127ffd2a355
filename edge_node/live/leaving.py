"""The way out: one deadline for all that a node does once it is told to go.

Every step has until a moment that is counted from the word to go, so that steps that hang do not
add up. One that hangs all the same (a camera, a disk, a client) is left to its own thread, which
goes with the process.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

LEAVE_WITHIN_S = 10.0
"""A node that is told to go has gone after so long, whatever hangs."""
TRACKED_UNTIL_S = 1.5
"""Until then what is in flight is answered, tracked and handed over,"""
CAMERAS_UNTIL_S = 2.0
"""the cameras' threads have ended,"""
RING_UNTIL_S = 3.0
"""the newest video is in the ring,"""
COMMITTED_UNTIL_S = 6.0
"""what was handed over is on disk and sent,"""
ENDED_UNTIL_S = 6.5
"""the session's end is on disk, where it has ended,"""
DRAINED_UNTIL_S = 8.5
"""subscribers have taken what is left,"""
TOLD_UNTIL_S = 9.0
"""whoever watches the node knows the rest,"""
CLOSED_UNTIL_S = 9.5
"""all files and connections are closed,"""
MODELS_UNTIL_S = 9.8
"""and a models' server that the node has started itself has ended, or is killed."""
LEAST_S = 0.1
"""What a step has at least, however late it begins."""

log = structlog.get_logger(__name__)


class Leaving:
    """Counts from the word to go. Any thread may call any method, and a signal's handler `begin`.

    Args:
        clock_s: Gives now, in seconds on a clock that does not jump.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._began_s: float | None = None

    def begin(self) -> None:
        """Take the word to go; the first one counts."""
        if self._began_s is None:
            self._began_s = self._clock_s()

    def left_s(self, until_s: float) -> float:
        """Give how long a step has that is to be done so long after the word to go."""
        self.begin()
        assert self._began_s is not None
        return max(self._began_s + until_s - self._clock_s(), LEAST_S)

    def step(self, what: str, call: Callable[[], object], until_s: float) -> bool:
        """Do a step in a thread of its own, and leave it there if it takes longer than it has.

        Args:
            what: What it does, for the log.
            call: Does it; what it raises is written to the log.
            until_s: When it is to be done, after the word to go.

        Returns:
            Whether it was done in time and raised nothing.
        """
        done = threading.Event()

        def run() -> None:
            try:
                call()
            except Exception:
                log.exception("a step on the way out failed", step=what)
            else:
                done.set()

        thread = threading.Thread(target=run, name=f"leaving-{what}", daemon=True)
        thread.start()
        thread.join(self.left_s(until_s))
        if thread.is_alive():
            log.error("a step on the way out hangs and is left behind", step=what)
        return done.is_set()
