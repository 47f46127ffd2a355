"""A subscriber's place in the hub's ring, and what it may be sent next. No network in here.

What has been sent and not acknowledged is bounded: gRPC takes some 4 MB for a client that does not
read before it makes anybody wait, and a stream behind that cannot even be ended. With the bound
below it the client's own acknowledgements say when to wait, and the end reaches the wire at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_node.encoding import GapReason, encode_gap, encode_skipped
from tipoff.errors import InvalidInputError
from tipoff.stream_errors import OverloadedError, SequenceOutOfRangeError

if TYPE_CHECKING:
    from edge_node.hub import Held, Hub

MAX_UNACKNOWLEDGED_BYTES = 2 * 1024 * 1024
"""Most that is on the way to one subscriber; one snapshot is in any case. Below what gRPC takes
for a client that does not read (4 MB measured), above a second of a game (0.6 MB)."""
MAX_RATE_HZ = 10_000.0
"""Highest rate that may be asked for; more is every snapshot anyway."""
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
        self._period_ns = round(_NS / max_rate_hz) if max_rate_hz else 0
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


class Subscription:
    """One subscriber's place. Not thread-safe: it lives in the server's loop."""

    def __init__(
        self, hub: Hub, wish: Wish, max_unacknowledged_bytes: int = MAX_UNACKNOWLEDGED_BYTES
    ) -> None:
        """Find the place to begin.

        Raises:
            SequenceOutOfRangeError: The first one wanted lies beyond the next to come.
        """
        self._hub = hub
        self._max_bytes = max_unacknowledged_bytes
        self._decimator = Decimator(wish.max_rate_hz)
        self._pending: deque[Held] = deque()
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self._unacknowledged_bytes = 0
        self._skipped_from = 0
        self._started = False
        self._preamble: list[bytes] = []
        self._next = self._find_start(wish)
        self.acknowledged = 0
        self.last_sent = 0
        self._resume_from = wish.from_sequence

    def _find_start(self, wish: Wish) -> int:
        epoch, newest = self._hub.description.epoch, self._hub.newest
        if not wish.from_sequence:
            return max(newest, 1)
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
        if asked == epoch:
            return wish.from_sequence
        gap = encode_gap(asked, wish.from_sequence, 0, GapReason.EPOCH_OVER)
        self._preamble.append(gap)
        return 1

    def take(self) -> list[bytes]:
        """Return the next messages to send, in order; empty where there is none or the way is full.

        Raises:
            OverloadedError: The next snapshot is no longer held.
        """
        messages, self._preamble = self._preamble, []
        while not self.full:
            if not self._pending and not self._refill(messages):
                break
            held = self._pending.popleft()
            if self._decimator.keep(held.time_ns):
                messages.append(self._send(held))
            else:
                self._skipped_from = self._skipped_from or held.sequence
        return messages

    def _refill(self, messages: list[bytes]) -> bool:
        batch = self._hub.read(self._next)
        if not batch:
            return False
        first = batch[0].sequence
        if first != self._next:
            self._refuse_if_started()
            epoch = self._hub.description.epoch
            messages.append(encode_gap(epoch, self._next, first - 1, GapReason.EXPIRED))
        self._started = True
        self._pending.extend(batch)
        self._next = batch[-1].sequence + 1
        return True

    def _send(self, held: Held) -> bytes:
        self._unacknowledged.append((held.sequence, len(held.message)))
        self._unacknowledged_bytes += len(held.message)
        self.last_sent = held.sequence
        return held.message + self._take_skipped(held.sequence - 1)

    def finish(self, end: bytes) -> bytes:
        """Return the session's end with what was left out before it."""
        return end + self._take_skipped(self._next - 1)

    def _take_skipped(self, last: int) -> bytes:
        if not self._skipped_from:
            # Nothing behind the shared bytes: adding it gives the same object, not a copy.
            return b""
        skipped = encode_skipped(self._skipped_from, last)
        self._skipped_from = 0
        return skipped

    def _refuse_if_started(self) -> None:
        if self._started:
            raise OverloadedError(
                f"sequence {self._next} is no longer held, the oldest is {self._hub.oldest}: "
                "acknowledge faster, or ask for a lower max_rate_hz",
                reason="TOO_SLOW",
                next_sequence=self._next,
                oldest_sequence=self._hub.oldest,
            )

    def check(self) -> None:
        """Find out whether the place is still there, also while nothing can be sent.

        Raises:
            OverloadedError: The next snapshot is no longer held.
        """
        if self._next < self._hub.oldest:
            self._refuse_if_started()

    def acknowledge(self, sequence: int) -> None:
        """Note how far the client has come; an older or repeated sequence changes nothing.

        Raises:
            InvalidInputError: It has not been sent yet.
        """
        if sequence > self.last_sent:
            raise InvalidInputError(
                f"sequence {sequence} was acknowledged, and the last one sent is "
                f"{self.last_sent}: acknowledge what has been received in this stream",
                sequence=sequence,
                last_sent=self.last_sent,
            )
        self.acknowledged = max(self.acknowledged, sequence)
        while self._unacknowledged and self._unacknowledged[0][0] <= self.acknowledged:
            self._unacknowledged_bytes -= self._unacknowledged.popleft()[1]

    @property
    def full(self) -> bool:
        """Whether the client must acknowledge before it is sent more."""
        return self._unacknowledged_bytes >= self._max_bytes

    @property
    def caught_up(self) -> bool:
        """Whether everything that the hub has was sent or skipped."""
        return not self._pending and self._next > self._hub.newest

    @property
    def settled(self) -> bool:
        """Whether everything sent was acknowledged."""
        return not self._unacknowledged

    @property
    def resume_sequence(self) -> int:
        """First sequence that a resumed stream has to ask for."""
        if self.acknowledged:
            return self.acknowledged + 1
        if self._unacknowledged:
            return self._unacknowledged[0][0]
        return self._resume_from or self._next
