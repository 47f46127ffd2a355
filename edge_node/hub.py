"""The hub: the newest snapshots, each encoded once, held for whoever follows the session.

The pipeline writes from its thread and is never kept waiting; subscribers read at their own place.
What is held is bounded by count and by bytes. A subscriber has no queue of its own: it is a place
in the hub's ring, and one whose place has gone is told so (:mod:`edge_node.subscription`).

The ring lies in order of epoch and sequence and goes on over a restart: what the journal kept of
earlier epochs comes first, and the first snapshot of each epoch knows the gap that stands before
it. A place is a number that rises by one from snapshot to snapshot; within the present epoch it is
the sequence, and what came before the restart lies at 0 and below.

A snapshot is prepared, made durable by whoever keeps a journal, and then published, in that order.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_node.availability import aged
from edge_node.description import EndReason, SessionDescription
from edge_node.encoding import (
    NOTHING_TO_SAY,
    encode_end,
    encode_heartbeat,
    encode_snapshot,
)
from edge_node.ring import READ_AHEAD, Held, HubLimits, Ring
from edge_node.utc import utc_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_node.description import SignedHead
    from edge_node.frames import NodeState, TrackedFrame


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended."""

    reason: EndReason
    """Why."""
    detail: str
    """Why, in words."""
    message: bytes
    """The encoded response."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """What a hub tells time by."""

    wall_ns: Callable[[], int] = utc_ns
    """Gives now, in ns UTC: what messages say."""
    steady_ns: Callable[[], int] = time.monotonic_ns
    """Gives now on a clock that nobody sets: how old what was said is."""


class Hub:
    """A sink that numbers, encodes and holds snapshots. Any thread may call any method.

    One thread at a time prepares, and publishes in the order of preparing.
    """

    stage = "hub"

    def __init__(
        self,
        description: SessionDescription,
        limits: HubLimits | None = None,
        clocks: Clocks | None = None,
        past: Sequence[Held] = (),
        first: int = 1,
    ) -> None:
        """Make a hub that holds the past.

        Args:
            description: The fixed part of the header. Its epoch must be new to the session, because
                the sequences begin at 1.
            limits: What is held at most.
            clocks: What it tells time by.
            past: What is left of earlier epochs, in order and without holes but between epochs.
            first: Sequence of the first snapshot to come: more than 1 where a past game is served
                again whose journal begins within an epoch.

        Raises:
            ValueError: The past is not in order, has holes, or reaches into the new epoch.
        """
        self.description = description
        self._clocks = clocks or Clocks()
        self._lock = threading.Lock()
        self._ring = Ring(description.epoch, limits or HubLimits(), past, first)
        self._prepared = first - 1
        self._closed = False
        self._end: SessionEnd | None = None
        self._said, self._said_ns = NOTHING_TO_SAY, self._clocks.steady_ns()
        self._head: SignedHead | None = None
        self._changes = 0
        self._listeners: list[Callable[[], None]] = []

    def prepare(self, frame: TrackedFrame, state: NodeState | None = None) -> Held:
        """Number and encode a frame; nobody sees it before :meth:`publish`.

        Args:
            frame: What was tracked.
            state: How the node does; None where nobody judges it.

        Raises:
            RuntimeError: The hub is closed, or the session has ended.
        """
        # One thread prepares: the number cannot change while it is encoded without the lock.
        if self._closed or self._end is not None:
            raise RuntimeError("a frame was written to the hub after its end")
        sequence = self._prepared + 1
        epoch, now_ns = self.description.epoch, self._clocks.wall_ns()
        said = state or NOTHING_TO_SAY
        message = encode_snapshot(frame, epoch, sequence, now_ns, said)
        self._prepared = sequence
        held = Held(epoch, sequence, frame.time_ns, message)
        with self._lock:
            self._say(said)
            # Behind what was prepared within this epoch there is no restart.
            return self._ring.behind_last(held) if sequence == self._ring.first else held

    def publish(self, held: Held) -> None:
        """Hold what was prepared, and tell whoever listens.

        The oldest ones go as far as the limits ask.

        Raises:
            RuntimeError: Something else is due before it.
        """
        with self._lock:
            self._ring.append(held)
        self._notify()

    def write(self, frame: TrackedFrame) -> None:
        """Prepare and publish a frame, where nobody keeps a journal.

        Raises:
            RuntimeError: The hub is closed, or the session has ended.
        """
        self.publish(self.prepare(frame))

    def close(self) -> None:
        """Take no more frames. How the session ended is said by :meth:`end`."""
        self._closed = True

    def end(self, reason: EndReason, detail: str = "") -> None:
        """End the session: subscribers get what is left, then this. Only the first call counts."""
        with self._lock:
            if self._end is not None:
                return
            message = encode_end(reason, detail, self.description.epoch, self._ring.newest)
            self._end = SessionEnd(reason, detail, message)
        self._notify()

    def beat(self, state: NodeState, head: SignedHead | None = None) -> None:
        """Say how the node does, also while no snapshot comes.

        Where the availability or the degradations have changed, subscribers are told at once;
        otherwise with the next heartbeat.

        Args:
            state: How it does.
            head: Newest signed head of the journal; None leaves the one that was said before.
        """
        with self._lock:
            self._head = head or self._head
            changed = self._say(state)
        if changed:
            self._notify()

    def _say(self, state: NodeState) -> bool:
        changed = _verdict(self._said) != _verdict(state)
        self._said, self._said_ns = state, self._clocks.steady_ns()
        self._changes += changed
        return changed

    def look(self) -> int:
        """Say how often what is said of the node has changed, silence being a change too.

        Whoever serves the hub asks now and then: an availability that nobody renews runs out by its
        own rules, and what comes of that is said by :meth:`heartbeat`.
        """
        with self._lock:
            self._age()
            return self._changes

    def _age(self) -> NodeState:
        """Give what may still be said of the node; the lock is held."""
        now_ns = self._clocks.steady_ns()
        said, rules = self._said, self.description.availability_rules
        if said.availability is None or rules is None:
            return said
        older = aged(said.availability, now_ns - self._said_ns, rules)
        state = replace(said, availability=older)
        if _verdict(state) != _verdict(said):
            self._said, self._said_ns = state, now_ns
            self._changes += 1
        return state

    def heartbeat(self) -> bytes:
        """Encode a heartbeat: how things stand now."""
        with self._lock:
            state, newest, head = self._age(), self._ring.newest, self._head
            sent_ns = self._clocks.wall_ns()
        return encode_heartbeat(self.description.epoch, newest, sent_ns, state, head)

    @property
    def ended(self) -> SessionEnd | None:
        """How the session ended; None while it goes on."""
        return self._end

    @property
    def newest(self) -> int:
        """Newest sequence of the present epoch; 0 before the first."""
        return self._ring.newest

    @property
    def first(self) -> int:
        """Sequence of the present epoch's first snapshot, held, gone or to come."""
        return self._ring.first

    @property
    def oldest_place(self) -> int:
        """Place of the oldest snapshot held; of the next one to come where none is."""
        return self._ring.oldest

    @property
    def held_bytes(self) -> int:
        """Bytes of all encoded snapshots held."""
        return self._ring.bytes

    def held_range(self) -> tuple[int, int]:
        """Return the oldest and the newest sequence held of the present epoch; zeros where none."""
        with self._lock:
            ring = self._ring
            return (
                (max(ring.oldest, ring.first), ring.newest) if ring.newest >= ring.first else (0, 0)
            )

    def find(self, epoch: int, sequence: int) -> int:
        """Return the place of the first snapshot held at (epoch, sequence) or behind it.

        Where none is, that of the next one to come.
        """
        with self._lock:
            return self._ring.find(epoch, sequence)

    def read(self, first: int, count: int = READ_AHEAD) -> list[Held]:
        """Return up to ``count`` snapshots from place ``first`` on.

        Where ``first`` is no longer held it begins with the oldest that is: the caller compares
        sequences. Empty where ``first`` has not come yet.
        """
        return self.read_at(first, count)[1]

    def read_at(self, first: int, count: int = READ_AHEAD) -> tuple[int, list[Held]]:
        """Return the place of the first snapshot that :meth:`read` gives, and what it gives."""
        with self._lock:
            return self._ring.read(first, count)

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called after every snapshot, at the end, and when a beat says more.

        It is called from the thread that does it.
        """
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


def _verdict(state: NodeState) -> object:
    """Give what a change of is told at once: not the values, which change all the time."""
    said = state.availability
    kinds = tuple(one.kind for one in state.degradations)
    if said is None:
        return kinds
    return kinds, said.state, said.failed, said.unexplained_cameras
