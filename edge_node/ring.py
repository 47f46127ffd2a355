"""The ring of encoded snapshots that a hub holds, in order of epoch and sequence.

A place is a number that rises by one from snapshot to snapshot. Within the present epoch it is the
sequence; what is held of earlier epochs lies at 0 and below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_node.description import Gap, GapReason
from edge_node.encoding import encode_gap

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_HELD_SNAPSHOTS = 18_000
"""Five minutes at 60 Hz."""
MAX_HELD_BYTES = 256 * 1024 * 1024
"""Five minutes of 13 people with 17 joints, 12 kB a snapshot, and room for a few more people."""
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
class Restart:
    """What stands before the first snapshot of an epoch."""

    last_epoch: int
    """The epoch before that has snapshots."""
    last_sequence: int
    """The last of its sequences."""
    message: bytes
    """The encoded gap."""


@dataclass(frozen=True, slots=True)
class Held:
    """An encoded snapshot."""

    epoch: int
    """Epoch that its sequence counts in."""
    sequence: int
    """Its number in the epoch, from 1."""
    time_ns: int
    """Time that it belongs to."""
    message: bytes
    """The encoded response, one object for all subscribers."""
    restart: Restart | None = None
    """What stands before it, where it is the first of an epoch behind another; the hub sees to
    it."""

    @property
    def key(self) -> tuple[int, int]:
        """Its place in the order of the session."""
        return self.epoch, self.sequence


class Ring:
    """Holds what is newest within its limits. Not thread-safe: its hub is."""

    def __init__(self, epoch: int, limits: HubLimits, past: Sequence[Held], first: int = 1) -> None:
        """Hold the past.

        Args:
            epoch: The present one.
            limits: What is held at most.
            past: What is left of earlier epochs, in order and without holes but between epochs.
            first: Sequence of the present epoch's first snapshot to come.

        Raises:
            ValueError: The past is not in order, has holes, or reaches into the present epoch.
        """
        self._epoch = epoch
        self._limits = limits
        self._held: dict[int, Held] = {}
        self.bytes = 0
        self.first = first
        self.oldest = first - len(past)
        self.newest = first - 1
        self.last: Held | None = None
        for place, held in enumerate(past, self.oldest):
            self._take_over(place, held)
        self._forget_oldest()

    def _take_over(self, place: int, held: Held) -> None:
        if held.epoch >= self._epoch or not _follows(self.last, held):
            raise ValueError(
                f"sequence {held.sequence} of epoch {held.epoch} cannot be held before epoch "
                f"{self._epoch}, behind {self.last and self.last.key}"
            )
        self._hold(place, self.behind_last(held))

    def _hold(self, place: int, held: Held) -> None:
        self._held[place] = self.last = held
        self.bytes += len(held.message)

    def append(self, held: Held) -> None:
        """Hold the next one of the present epoch; the oldest ones go as far as the limits ask.

        Raises:
            RuntimeError: Something else is due before it.
        """
        if held.key != (self._epoch, self.newest + 1):
            raise RuntimeError(
                f"sequence {held.sequence} of epoch {held.epoch} was published where "
                f"{self.newest + 1} of epoch {self._epoch} is due"
            )
        if held.sequence == self.first and held.restart is None:
            # What is served again was not prepared here.
            held = self.behind_last(held)
        self.newest = held.sequence
        self._hold(self.newest, held)
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        limits = self._limits
        while self.oldest < self.newest and (
            len(self._held) > limits.max_snapshots or self.bytes > limits.max_bytes
        ):
            self.bytes -= len(self._held.pop(self.oldest).message)
            self.oldest += 1

    def behind_last(self, held: Held) -> Held:
        """Put a gap before a snapshot that is the first behind an earlier epoch."""
        last = self.last
        if last is None or last.epoch == held.epoch:
            return held
        gap = Gap(
            epoch=last.epoch,
            first=0,
            last=0,
            reason=GapReason.RESTARTED,
            from_time_ns=last.time_ns,
            to_time_ns=held.time_ns,
            next_epoch=held.epoch,
        )
        return replace(held, restart=Restart(last.epoch, last.sequence, encode_gap(gap)))

    def find(self, epoch: int, sequence: int) -> int:
        """Return the place of the first snapshot held at (epoch, sequence) or behind it.

        Where none is, that of the next one to come.
        """
        low, high = self.oldest, self.newest + 1
        while low < high:
            middle = (low + high) // 2
            if self._held[middle].key < (epoch, sequence):
                low = middle + 1
            else:
                high = middle
        return low

    def read(self, first: int, count: int) -> tuple[int, list[Held]]:
        """Return where it begins, and up to ``count`` snapshots from there on.

        It begins with place ``first``, or with the oldest held.
        """
        start = max(first, self.oldest)
        stop = min(start + count, self.newest + 1)
        return start, [self._held[place] for place in range(start, stop)]


def _follows(last: Held | None, held: Held) -> bool:
    if last is None:
        return True
    if held.epoch > last.epoch:
        return held.sequence == 1
    return held.key == (last.epoch, last.sequence + 1)
