"""What officials were told by hand outlives the process: it stands in the journal.

It is said when it changes and again with every checkpoint, since a restart reads back no further
than the last one for certain. What is said again is made where it is written: a value that waited
in a queue could undo a newer one.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import structlog

from edge_node.journal.entries import Checkpointed, StateChanged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_node.availability import Officials
    from edge_node.journal.entries import Entry

OFFICIALS = "officials"
"""Name of the state in the journal."""


class Log(Protocol):
    """The part of ``edge_node.journal.Journal`` that is used here."""

    def commit(self, entries: Sequence[Entry]) -> None:
        """Make entries durable, all or none."""


class ByHand:
    """Turns officials off and back, durably; a log for the committer. Any thread may call it.

    Args:
        journal: Where it is kept.
        officials: Who judges; off from the beginning where it was left so.
        off_reason: Who turned it off before the restart, and why; empty: nobody has.
    """

    def __init__(self, journal: Log, officials: Officials, off_reason: str = "") -> None:
        self._journal, self._officials = journal, officials
        self._reason = off_reason
        self._lock = threading.Lock()
        if off_reason:
            officials.turn_off(off_reason)
            log = structlog.get_logger(__name__)
            log.warning("officials are still off, by hand", reason=off_reason)

    def commit(self, entries: Sequence[Entry]) -> None:
        """Make entries durable, all or none; with a checkpoint what was said by hand is said again.

        Raises:
            JournalError: As the journal says.
        """
        with self._lock:
            if any(isinstance(entry, Checkpointed) for entry in entries):
                entries = [*entries, self._state()]
            self._journal.commit(entries)

    def turn_off(self, reason: str) -> None:
        """Turn it off: at once, and on return durably.

        Raises:
            InvalidInputError: Nobody says who and why.
            JournalError: It is off, but a restart would not know.
        """
        # In force before it is on disk: nobody is to rely on the streams because a disk hangs.
        self._officials.turn_off(reason)
        with self._lock:
            # Off stays off where this fails, and goes to disk with the next checkpoint.
            self._reason = reason.strip()
            self._journal.commit([self._state()])
            # Somebody may have taken it back while this waited for the disk.
            self._officials.turn_off(reason)

    def leave_to_rules(self) -> None:
        """Take back what was turned off by hand, once that is on disk.

        Raises:
            JournalError: It stays as it was.
        """
        with self._lock:
            before, self._reason = self._reason, ""
            try:
                self._journal.commit([self._state()])
            except Exception:
                self._reason = before
                raise
            self._officials.leave_to_rules()

    def _state(self) -> StateChanged:
        return StateChanged(OFFICIALS, {"off": bool(self._reason), "reason": self._reason})
