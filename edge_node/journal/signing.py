"""When a journal's head is signed: once a second, of the clock or of the play, and at the end.

A session of recordings may be played faster than it was: a second of the clock is minutes of play
then, which nobody could prove if the node were killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_node.journal.entries import Snapped
from edge_node.journal.heads import sign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_node.journal.entries import Entry
    from edge_node.journal.heads import SignedHead, Tip
    from edge_node.journal.keys import NodeKey

SIGN_EVERY_NS = 1_000_000_000
"""How often a head is signed, on the clock."""
SIGN_PLAY_NS = 1_000_000_000
"""Play after which it is signed whatever the clock says."""


class Signer:
    """Signs the head of one writer, and holds what is not on disk. Not thread-safe.

    Args:
        key: The node's.
        session: Name of the session.
        every_ns: How often the head is signed at most, on the clock.
        clock_ns: Gives now, ns UTC.
    """

    def __init__(
        self, key: NodeKey, session: str, every_ns: int, clock_ns: Callable[[], int]
    ) -> None:
        self._key, self._session = key, session
        self._every_ns, self._clock_ns = every_ns, clock_ns
        self._head: SignedHead | None = None
        self._unsaved: list[SignedHead] = []
        self._play_ns = 0
        """Play since the last head: the steps from one live snapshot to the next."""
        self._live_ns: int | None = None

    def head(self, tip: Tip) -> SignedHead:
        """Give the newest head, signed anew where the last signature is old enough."""
        return self._signed(tip)

    def newest(self, tip: Tip) -> SignedHead:
        """Give the head that was given last; any thread may ask, it is not kept."""
        return self._head or sign(self._key, self._session, tip, self._clock_ns())

    def to_save(self, tip: Tip, *, last: bool = False) -> list[SignedHead]:
        """Give heads that are not on disk, with one of the newest record where it is due.

        Args:
            tip: The newest record.
            last: Whether nothing comes after it.
        """
        due = not self._is_recent() or self._play_ns >= SIGN_PLAY_NS
        if tip.record and (due or last):
            self._signed(tip, now=True)
        return list(self._unsaved)

    def saved(self, entries: Sequence[Entry] = ()) -> None:
        """Say that what :meth:`to_save` gave is on disk, with these entries behind it."""
        self._unsaved = []
        for entry in entries:
            if isinstance(entry, Snapped) and entry.kind == "live":
                if self._live_ns is not None:
                    self._play_ns += abs(entry.time_ns - self._live_ns)
                self._live_ns = entry.time_ns

    def _signed(self, tip: Tip, *, now: bool = False) -> SignedHead:
        head = self._head
        fresh = head is not None and head.record == tip.record
        if head is not None and (fresh or (not now and self._is_recent())):
            return head
        head = sign(self._key, self._session, tip, self._clock_ns())
        self._head, self._play_ns = head, 0
        self._unsaved = [*self._unsaved, head]
        return head

    def _is_recent(self) -> bool:
        """Say whether a head was signed lately; not one from a time to which a clock goes back."""
        head = self._head
        return head is not None and 0 <= self._clock_ns() - head.signed_ns < self._every_ns
