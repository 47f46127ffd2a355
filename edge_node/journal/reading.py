"""Reading a journal from its first record to its last, also while it is written."""

from __future__ import annotations

import fcntl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_node.journal.chain import first_hash
from edge_node.journal.codec import decode
from edge_node.journal.entries import Ended, Opened
from edge_node.journal.errors import JournalDamagedError
from edge_node.journal.folder import ASIDE, LOCK, file_bytes, places
from edge_node.journal.heads import SignedHead, Tip
from edge_node.journal.mark import BadMark, Marked, read_mark
from edge_node.journal.segment import SegmentReader
from tipoff.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_node.journal.chain import Record
    from edge_node.journal.folder import Place
    from edge_node.journal.segment import Beginning, Linked

MARK_READS = 5
"""Times that a mark is read before it counts as bad: it may have been read while it was written."""
MARK_WAIT_S = 0.002
"""Time between two of them."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What a journal is, without reading all of it."""

    session: str
    """Name of the session."""
    files: int
    """How many files it has."""
    size_bytes: int
    """Their size."""
    first: int
    """Number of the oldest record."""
    last: int
    """Number of the newest record."""
    epoch: int
    """Newest epoch."""
    opened: Opened
    """What the newest file says of itself."""
    written: bool
    """Whether a process writes it now."""
    aside: tuple[str, ...]
    """Where something damaged was moved."""
    ended: Ended | None = None
    """How the session ended, where that is the newest record; None: it goes on."""


class JournalReader:
    """Reads a journal and changes nothing.

    Args:
        folder: The journal's folder.

    Raises:
        NotFoundError: There is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Read first: what is written from now on is beyond it, and no loss.
        mark = _read_mark(folder)
        self.marked = mark if isinstance(mark, Marked) else None
        """Oldest and newest record that must be there; None: that is not known."""
        self.mark_reason = mark.reason if isinstance(mark, BadMark) else ""
        """Why it is not known."""
        self.places = places(folder)
        if not self.places:
            raise NotFoundError(
                f"there is no journal in {folder}; `tipoff journal ls` lists those that are here",
                path=str(folder),
            )
        self.written = is_written(folder)
        self.up_to = self.marked.tip.record if self.written and self.marked else None
        """Newest record that was acknowledged when reading began, of a journal that is written;
        None: all there is may be read."""

    def _open(self, place: Place) -> SegmentReader:
        written = self.written and place == self.places[-1]
        return SegmentReader(self.folder / place.name, written=written)

    def beginning(self) -> Beginning:
        """Give what the oldest file goes on from.

        Raises:
            JournalDamagedError: That cannot be read.
        """
        with self._open(self.places[0]) as reader:
            return reader.beginning

    def checked(self) -> Iterator[Linked]:
        """Give all records, each checked to follow the one before it.

        Raises:
            JournalDamagedError: One is missing, changed or cannot be read; says which.
        """
        tip: Tip | None = None
        session = ""
        for place in self.places:
            expected = place.first if tip is None else tip.record + 1
            try:
                reader = self._open(place)
            except JournalDamagedError as error:
                raise JournalDamagedError(
                    f"record {expected} cannot be read: {error}", record=expected
                ) from error
            with reader:
                beginning = reader.beginning
                session = session or beginning.session
                if tip is None:
                    tip = beginning.before
                    _check_start(tip, session)
                if beginning.session != session or beginning.before != tip:
                    raise JournalDamagedError(
                        f"record {expected} is missing: {place.name} goes on from record"
                        f" {beginning.before.record} of session {beginning.session!r}",
                        record=expected,
                    )
                for linked in reader.checked(tip):
                    tip = Tip(linked.record.record, linked.hash)
                    yield linked

    def records(self, first: int = 0) -> Iterator[Record]:
        """Give records from ``first`` on, unchecked.

        Raises:
            JournalDamagedError: They cannot be read.
        """
        for place, after in zip(self.places, [*self.places[1:], None], strict=True):
            if after is not None and after.first <= first:
                continue
            with self._open(place) as reader:
                for linked in reader.linked(first):
                    yield linked.record

    def heads(self) -> list[SignedHead]:
        """Give all signed heads, unchecked, in order.

        Raises:
            JournalDamagedError: They cannot be read.
        """
        heads: list[SignedHead] = []
        for place in self.places:
            with self._open(place) as reader:
                heads += reader.heads()
        return heads

    def overview(self) -> Overview:
        """Say what the journal is.

        Raises:
            JournalDamagedError: Its newest file cannot be read.
        """
        place = self.places[-1]
        with self._open(place) as reader:
            _, last = reader.size()
            opened = decode(next(reader.linked()).record)
            newest = [decode(linked.record) for linked in reader.linked(last)]
            session = reader.beginning.session
        if not isinstance(opened, Opened):
            raise JournalDamagedError(f"{place.name} does not begin as a file of a journal does")
        aside = self.folder / ASIDE
        return Overview(
            session=session,
            files=len(self.places),
            size_bytes=sum(file_bytes(self.folder, each) for each in self.places),
            first=self.places[0].first,
            last=last,
            epoch=place.epoch,
            opened=opened,
            written=self.written,
            aside=tuple(sorted(path.name for path in aside.iterdir())) if aside.is_dir() else (),
            ended=newest[-1] if newest and isinstance(newest[-1], Ended) else None,
        )


def _read_mark(folder: Path) -> Marked | BadMark:
    """Read the mark, again where it was being written over."""
    for _ in range(MARK_READS - 1):
        mark = read_mark(folder)
        if isinstance(mark, Marked):
            return mark
        time.sleep(MARK_WAIT_S)
    return read_mark(folder)


def _check_start(before: Tip, session: str) -> None:
    """A journal that was not pruned goes on from nothing."""
    if before.record == 0 and before.hash != first_hash(session):
        raise JournalDamagedError("record 1 does not begin as a journal does", record=1)


def is_written(folder: Path) -> bool:
    """Say whether a process writes the journal in a folder now."""
    try:
        with (folder / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
