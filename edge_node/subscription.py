"""A subscriber's place in the hub's ring, and what it may be sent next. No network in here.

What has been sent and not acknowledged is bounded: gRPC takes some 4 MB for a client that does not
read before it makes anybody wait, and a stream behind that cannot even be ended. With the bound
below it the client's own acknowledgements say when to wait, and the end reaches the wire at once.
How far behind a client is, is the age of the oldest thing sent to it that it has not acknowledged.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from edge_node.encoding import encode_skipped
from edge_node.gaps import opening_gaps
from edge_node.ring import READ_AHEAD
from tipoff.errors import InvalidInputError
from tipoff.stream_errors import OverloadedError, SequenceOutOfRangeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_node.hub import Hub
    from edge_node.ring import Held

MAX_UNACKNOWLEDGED_BYTES = 2 * 1024 * 1024
"""Most that is on the way to one subscriber; one snapshot is in any case. Below what gRPC takes
for a client that does not read (4 MB measured), above a second of a game (0.7 MB)."""
MAX_LAG_S = 2.0
"""Longest time from sending to acknowledgement."""
MAX_RATE_HZ = 10_000.0
"""Highest rate that may be asked for; more is every snapshot anyway."""
MAX_PERIOD_NS = 2**62
"""Longest time between two snapshots of a stream: 146 years, however low a rate is asked for."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asked for."""

    from_sequence: int = 0
    """First sequence wanted; 0: from the newest."""
    from_epoch: int = 0
    """Epoch of ``from_sequence``; 0: the current one."""
    max_rate_hz: float = 0.0
    """Highest rate in snapshots per second of ``time_ns``; 0: every snapshot."""

    def __post_init__(self) -> None:
        """Refuse a rate that is none."""
        if not 0.0 <= self.max_rate_hz <= MAX_RATE_HZ:
            raise InvalidInputError(
                f"max_rate_hz is {self.max_rate_hz}: give 0 for every snapshot, or a rate up to "
                f"{MAX_RATE_HZ:g}"
            )


class Decimator:
    """Keeps at most so many snapshots per second of their own time.

    A credit grows with time and each snapshot kept costs one period. It is capped at two, so that
    a stream of just this rate with unsteady times loses nothing, and a pause buys no burst.
    """

    def __init__(self, max_rate_hz: float) -> None:
        """Keep everything where ``max_rate_hz`` is 0."""
        self._period_ns = round(min(_NS / max_rate_hz, MAX_PERIOD_NS)) if max_rate_hz else 0
        self._credit_ns = self._period_ns
        self._last_ns: int | None = None

    def keep(self, time_ns: int) -> bool:
        """Say whether the snapshot at ``time_ns`` is kept; call it once for each, in order."""
        if not self._period_ns:
            return True
        if self._last_ns is not None:
            earned = max(0, time_ns - self._last_ns)
            self._credit_ns = min(self._credit_ns + earned, 2 * self._period_ns)
        self._last_ns = time_ns
        if self._credit_ns < self._period_ns:
            return False
        self._credit_ns -= self._period_ns
        return True


@dataclass(frozen=True, slots=True)
class Patience:
    """How much a subscriber may owe."""

    max_unacknowledged_bytes: int = MAX_UNACKNOWLEDGED_BYTES
    """Most that is on the way to it; one snapshot is in any case."""
    max_lag_s: float = MAX_LAG_S
    """Longest time from sending to acknowledgement."""
    clock_s: Callable[[], float] = time.monotonic
    """Gives now."""


class _Sent(NamedTuple):
    """A snapshot on its way. One is made for each snapshot and subscriber, so it is a tuple."""

    key: tuple[int, int]
    """Epoch and sequence."""
    size: int
    """Bytes."""
    sent_s: float
    """When it was handed to the network."""


class Subscription:
    """One subscriber's place. Not thread-safe: it lives in the server's loop."""

    def __init__(self, hub: Hub, wish: Wish, patience: Patience | None = None) -> None:
        """Find the place to begin.

        Raises:
            SequenceOutOfRangeError: The first one wanted lies beyond the next to come.
        """
        self._hub = hub
        self._patience = patience or Patience()
        self._clock_s = self._patience.clock_s
        self._decimator = Decimator(wish.max_rate_hz)
        self._pending: deque[Held] = deque()
        self._unacknowledged: deque[_Sent] = deque()
        self._unacknowledged_bytes = 0
        self._skipped_from = 0
        self._last: tuple[int, int] | None = None
        self._wanted = self._find_start(wish)
        self._next = hub.find(*self._wanted)
        self.acknowledged = (0, 0)
        self.last_sent = (0, 0)
        self.taken: list[int] = []
        """Sequences of the snapshots that were taken last."""

    def _find_start(self, wish: Wish) -> tuple[int, int]:
        epoch, newest = self._hub.description.epoch, self._hub.newest
        if not wish.from_sequence:
            return epoch, max(newest, self._hub.first)
        asked = wish.from_epoch or epoch
        if asked > epoch or (asked == epoch and wish.from_sequence > newest + 1):
            raise SequenceOutOfRangeError(
                f"sequence {wish.from_sequence} of epoch {asked} was asked for, and the next to "
                f"come is {newest + 1} of epoch {epoch}: ask for that or an older one, or for 0 to "
                "begin with the newest",
                reason="BEYOND_HEAD",
                from_sequence=wish.from_sequence,
                from_epoch=asked,
                next_sequence=newest + 1,
                epoch=epoch,
            )
        return asked, wish.from_sequence

    def take(self) -> list[bytes]:
        """Return the next messages to send, in order; empty where there is none or the way is full.

        Raises:
            OverloadedError: The next snapshot is no longer held.
        """
        messages: list[bytes] = []
        self.taken = []
        more = True
        while not self.full:
            if not self._pending:
                # A read that gave less than it might has given all there is.
                more = more and self._refill()
                if not self._pending:
                    break
            held = self._pending.popleft()
            messages += self._gaps_before(held)
            if self._decimator.keep(held.time_ns):
                messages.append(self._send(held))
            else:
                self._skipped_from = self._skipped_from or held.sequence
            self._last = held.key
        return messages

    def _refill(self) -> bool:
        """Read on, and say whether there may be more."""
        place, batch = self._hub.read_at(self._next)
        if batch and place != self._next and self._last:
            raise self._lost()
        self._pending.extend(batch)
        self._next = place + len(batch) if batch else self._next
        return len(batch) == READ_AHEAD

    def _gaps_before(self, held: Held) -> list[bytes]:
        if self._last is None:
            return opening_gaps(self._wanted, held)
        if held.restart is None:
            return []
        return [held.restart.message + self._take_skipped(self._last[1])]

    def _send(self, held: Held) -> bytes:
        self._unacknowledged.append(_Sent(held.key, len(held.message), self._clock_s()))
        self._unacknowledged_bytes += len(held.message)
        self.last_sent = held.key
        self.taken.append(held.sequence)
        return held.message + self._take_skipped(held.sequence - 1)

    def finish(self, end: bytes) -> bytes:
        """Return the session's end with what was left out before it."""
        return end + self._take_skipped(self._last[1] if self._last else 0)

    def _take_skipped(self, last: int) -> bytes:
        if not self._skipped_from:
            # Nothing behind the shared bytes: adding it gives the same object, not a copy.
            return b""
        skipped = encode_skipped(self._skipped_from, last)
        self._skipped_from = 0
        return skipped

    def _lost(self) -> OverloadedError:
        epoch, sequence = self._last or self._wanted
        return OverloadedError(
            f"what comes behind sequence {sequence} of epoch {epoch} is no longer held: "
            "acknowledge faster, or ask for a lower max_rate_hz",
            reason="TOO_SLOW",
            epoch=epoch,
            sequence=sequence,
        )

    def check(self) -> None:
        """Find out whether the client still follows, also while nothing can be sent.

        Raises:
            OverloadedError: It is too far behind, or the next snapshot is no longer held.
        """
        if self._last and self._next < self._hub.oldest_place:
            raise self._lost()
        lag_s = self.lag_s
        if lag_s > self._patience.max_lag_s:
            raise OverloadedError(
                f"what was sent {lag_s:.1f} s ago is not acknowledged, and "
                f"{self._patience.max_lag_s:g} s are borne: resume where you are, read faster, or "
                "ask for a lower max_rate_hz",
                reason="TOO_FAR_BEHIND",
                lag_s=round(lag_s, 3),
            )

    def acknowledge(self, sequence: int, epoch: int = 0) -> None:
        """Note how far the client has come; an older or repeated sequence changes nothing.

        Args:
            sequence: The newest one that it has used; 0: none yet.
            epoch: Epoch of the sequence; 0: the present one, as the header says it.

        Raises:
            InvalidInputError: It has not been sent yet.
        """
        if not sequence:
            return
        key = epoch or self._hub.description.epoch, sequence
        if key > self.last_sent:
            raise InvalidInputError(
                f"sequence {sequence} of epoch {key[0]} was acknowledged, and the last one sent is "
                f"{self.last_sent[1]} of epoch {self.last_sent[0]}: acknowledge what has been "
                "received in this stream",
                sequence=sequence,
                epoch=key[0],
                last_sent=self.last_sent,
            )
        self.acknowledged = max(self.acknowledged, key)
        while self._unacknowledged and self._unacknowledged[0].key <= self.acknowledged:
            self._unacknowledged_bytes -= self._unacknowledged.popleft().size

    @property
    def lag_s(self) -> float:
        """Age of the oldest thing sent that is not acknowledged; 0 where everything is."""
        if not self._unacknowledged:
            return 0.0
        return self._clock_s() - self._unacknowledged[0].sent_s

    @property
    def full(self) -> bool:
        """Whether the client must acknowledge before it is sent more."""
        return self._unacknowledged_bytes >= self._patience.max_unacknowledged_bytes

    @property
    def caught_up(self) -> bool:
        """Whether everything that the hub has was sent or skipped."""
        return not self._pending and self._next > self._hub.newest

    @property
    def behind(self) -> int:
        """How many snapshots the hub has that were neither sent nor skipped."""
        return self._hub.newest + 1 - self._next + len(self._pending)

    @property
    def settled(self) -> bool:
        """Whether everything sent was acknowledged."""
        return not self._unacknowledged

    @property
    def resume(self) -> tuple[int, int]:
        """Epoch and sequence of the first snapshot that a resumed stream has to ask for."""
        if self.acknowledged > (0, 0):
            return self.acknowledged[0], self.acknowledged[1] + 1
        return self._wanted
