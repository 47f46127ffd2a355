"""Whether a node may be followed: named conditions, all of which must hold.

Models, rig, cameras and clocks have to be right, and a first frame must have come all the way. The
first thing that a node does when it is told to go is not to be ready any more.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLOSE_WITHIN_S = 1.0
"""How long whoever is told of readiness is waited for at the end."""

log = structlog.get_logger(__name__)


class Readiness:
    """Keeps the conditions. Any thread may call any method.

    Args:
        conditions: Names of all that must hold; none does at first.
        tell: Told whenever readiness changes, in the order of the changes. It returns at once and
            changes nothing here.
    """

    def __init__(self, conditions: Sequence[str], tell: Callable[[bool], None]) -> None:
        self._waits: dict[str, str] = dict.fromkeys(conditions, "not looked at yet")
        self._tell = tell
        self._ready = False
        self._leaving = False
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        """Held over a change and its telling: what is told last is how things stand."""

    def hold(self, condition: str) -> None:
        """Say that a condition holds."""
        self._change(condition, None)

    def fail(self, condition: str, why: str) -> None:
        """Say that a condition does not hold, and why."""
        self._change(condition, why)

    def leave(self) -> None:
        """Not be ready any more, whatever holds."""
        with self._telling:
            with self._lock:
                self._leaving = True
            self._spread()

    def _change(self, condition: str, why: str | None) -> None:
        with self._telling:
            with self._lock:
                if why is None:
                    self._waits.pop(condition, None)
                else:
                    self._waits[condition] = why
            self._spread()

    def _spread(self) -> None:
        with self._lock:
            ready = not self._waits and not self._leaving
            changed, self._ready = ready != self._ready, ready
        if changed:
            self._tell(ready)

    @property
    def ready(self) -> bool:
        """Whether all conditions hold."""
        return self._ready

    @property
    def waits_for(self) -> tuple[str, ...]:
        """What does not hold, in words."""
        with self._lock:
            said = [f"{name}: {why}" for name, why in self._waits.items()]
            return ("told to go", *said) if self._leaving else tuple(said)


class Teller:
    """Hands on what it is told in a thread of its own, one after the other.

    Args:
        tell: Told; it may take its time, and fail.
    """

    def __init__(self, tell: Callable[[bool], None]) -> None:
        self._tell = tell
        self._said: SimpleQueue[bool | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="readiness", daemon=True)
        self._thread.start()

    def __call__(self, ready: bool) -> None:
        """Take what is to be told; returns at once."""
        self._said.put(ready)

    def close(self) -> None:
        """Tell what is left, for CLOSE_WITHIN_S at most, and nothing more."""
        self._said.put(None)
        self._thread.join(CLOSE_WITHIN_S)

    def _run(self) -> None:
        while (ready := self._said.get()) is not None:
            try:
                self._tell(ready)
            except Exception:
                log.exception("readiness was not told", ready=ready)
