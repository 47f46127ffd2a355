"""The hub: the newest snapshots, each encoded once, held for whoever follows the session.

The pipeline writes from its thread and is never kept waiting; subscribers read at their own place.
What is held is bounded by count and by bytes. A subscriber has no queue of its own: it is a place
in the hub's ring, and one whose place has gone is told so (:mod:`edge_node.subscription`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_node.encoding import EndReason, SessionDescription, encode_end, encode_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_node.frames import TrackedFrame

MAX_HELD_SNAPSHOTS = 18_000
"""Five minutes at 60 Hz."""
MAX_HELD_BYTES = 192 * 1024 * 1024
"""Five minutes of 13 people with 17 joints, 9.3 kB a snapshot, and room for more people."""
READ_AHEAD = 64
"""Most snapshots that one read gives."""


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds on what a hub holds. The newest snapshot is held in any case."""

    max_snapshots: int = MAX_HELD_SNAPSHOTS
    """Most snapshots."""
    max_bytes: int = MAX_HELD_BYTES
    """Most bytes of encoded snapshots."""


@dataclass(frozen=True, slots=True)
class Held:
    """An encoded snapshot."""

    sequence: int
    """Its number in the epoch, from 1."""
    time_ns: int
    """Time that it belongs to."""
    message: bytes
    """The encoded response, one object for all subscribers."""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended."""

    reason: EndReason
    """Why."""
    detail: str
    """Why, in words."""
    message: bytes
    """The encoded response."""


class Hub:
    """A sink that numbers, encodes and holds snapshots. Any thread may call any method."""

    stage = "hub"

    def __init__(
        self,
        description: SessionDescription,
        limits: HubLimits | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Make an empty hub.

        Args:
            description: The fixed part of the header. Its epoch must be new to the session, because
                the sequences begin at 1.
            limits: What is held at most.
            clock_ns: Gives now, in ns UTC.
        """
        self.description = description
        self._limits = limits or HubLimits()
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._held: dict[int, Held] = {}
        self._bytes = 0
        self._oldest = 0
        self._newest = 0
        self._closed = False
        self._end: SessionEnd | None = None
        self._listeners: list[Callable[[], None]] = []

    def write(self, frame: TrackedFrame) -> None:
        """Number, encode and hold a frame; the oldest ones go as far as the limits ask.

        Raises:
            RuntimeError: The hub is closed, or the session has ended.
        """
        # One thread writes, so that the number cannot change while it is encoded without the lock.
        if self._closed or self._end is not None:
            raise RuntimeError("a frame was written to the hub after its end")
        sequence = self._newest + 1
        message = encode_snapshot(frame, self.description.epoch, sequence, self._clock_ns())
        with self._lock:
            self._held[sequence] = Held(sequence, frame.time_ns, message)
            self._bytes += len(message)
            self._newest = sequence
            self._oldest = self._oldest or sequence
            self._forget_oldest()
        self._notify()

    def _forget_oldest(self) -> None:
        limits = self._limits
        while self._oldest < self._newest and (
            len(self._held) > limits.max_snapshots or self._bytes > limits.max_bytes
        ):
            self._bytes -= len(self._held.pop(self._oldest).message)
            self._oldest += 1

    def close(self) -> None:
        """Take no more frames. How the session ended is said by :meth:`end`."""
        self._closed = True

    def end(self, reason: EndReason, detail: str = "") -> None:
        """End the session: subscribers get what is left, then this. Only the first call counts."""
        with self._lock:
            if self._end is not None:
                return
            message = encode_end(reason, detail, self.description.epoch, self._newest)
            self._end = SessionEnd(reason, detail, message)
        self._notify()

    @property
    def ended(self) -> SessionEnd | None:
        """How the session ended; None while it goes on."""
        return self._end

    @property
    def newest(self) -> int:
        """Newest sequence; 0 before the first."""
        return self._newest

    @property
    def oldest(self) -> int:
        """Oldest sequence held; 0 before the first."""
        return self._oldest

    @property
    def held_bytes(self) -> int:
        """Bytes of all encoded snapshots held."""
        return self._bytes

    def held_range(self) -> tuple[int, int]:
        """Return the oldest and the newest sequence held at one moment; zeros where none is."""
        with self._lock:
            return self._oldest, self._newest

    def read(self, first: int, count: int = READ_AHEAD) -> list[Held]:
        """Return up to ``count`` snapshots from ``first`` on.

        Where ``first`` is no longer held it begins with the oldest that is: the caller compares
        sequences. Empty where ``first`` has not come yet.
        """
        with self._lock:
            start = max(first, self._oldest, 1)
            stop = min(start + count, self._newest + 1)
            return [self._held[sequence] for sequence in range(start, stop)]

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called, from the writing thread, after every write and at the end."""
        with self._lock:
            self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` no more."""
        with self._lock:
            self._listeners.remove(listener)

    def _notify(self) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()
