"""Reading a journal from its first record to its last, also while it is written."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import structlog

from edge_node.journal.chain import first_hash
from edge_node.journal.codec import decode
from edge_node.journal.entries import Ended, Opened
from edge_node.journal.errors import JournalDamagedError, JournalError, JournalPrunedError
from edge_node.journal.folder import ASIDE, LOCK, file_bytes, places
from edge_node.journal.heads import SignedHead, Tip
from edge_node.journal.mark import BadMark, Marked, read_mark
from edge_node.journal.segment import SegmentReader
from tipoff.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_node.journal.chain import Record
    from edge_node.journal.folder import Place
    from edge_node.journal.segment import Beginning, Linked

MARK_READS = 5
"""Times that a mark is read before it counts as bad: it may have been read while it was written."""
MARK_WAIT_S = 0.002
"""Time between two of them."""
BEGINNINGS = 8
"""Times that a journal is read from its beginning because its node prunes it, at most."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


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
        JournalError: The machine does not let it be read now; so do all methods.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Its tip is read first: what is written from now on is beyond it, and no loss. Its oldest
        # record is read behind the files: what is pruned from now on is listed yet.
        before = _read_mark(folder)
        try:
            self.places = places(folder)
        except PermissionError as error:
            raise _unreadable(folder, str(error.strerror)) from error
        mark = _read_mark(folder)
        if isinstance(mark, BadMark) and mark.passing:
            raise _unreadable(folder, mark.reason)
        if isinstance(before, Marked) and isinstance(mark, Marked):
            mark = Marked(mark.oldest, before.tip)
        self.marked = mark if isinstance(mark, Marked) else None
        """Oldest and newest record that must be there; None: that is not known."""
        self.mark_reason = mark.reason if isinstance(mark, BadMark) else ""
        """Why it is not known."""
        if not self.places:
            raise NotFoundError(
                f"there is no journal in {folder}; `tipoff journal ls` lists those that are here",
                path=str(folder),
            )
        self.written = is_written(folder)
        self.up_to: int | None = None
        """Newest record that was acknowledged when reading began, of a journal that is written;
        None: all there is may be read."""
        if self.written and self.marked:
            # In the moment in which its first file is made nothing was acknowledged yet.
            self.up_to = max(self.marked.tip.record, self.places[0].first)

    def _open(self, place: Place) -> SegmentReader:
        written = self.written and place == self.places[-1]
        return SegmentReader(self.folder / place.name, written=written)

    @contextmanager
    def _pruning(self, *read: Place) -> Iterator[None]:
        """Tell damage in files from their having gone since they were listed."""
        try:
            yield
        except (JournalDamagedError, JournalError) as error:
            if not any(self._is_pruned(place) for place in read):
                raise
            raise JournalPrunedError(
                f"files of the journal in {self.folder} were pruned while it was read; begin again",
                path=str(self.folder),
            ) from error

    def _is_pruned(self, place: Place) -> bool:
        """Say whether a file went, or is going: before one goes, the mark says so."""
        mark = _read_mark(self.folder)
        going = isinstance(mark, Marked) and mark.oldest > place.first
        # Where nobody writes, an interrupted pruning left it: beginning again finds the same.
        return (going and is_written(self.folder)) or not (self.folder / place.name).exists()

    def beginning(self) -> Beginning:
        """Give what the oldest file goes on from.

        Raises:
            JournalDamagedError: That cannot be read.
            JournalPrunedError: It went meanwhile.
        """
        place = self.places[0]
        with self._pruning(place), self._open(place) as reader:
            return reader.beginning

    def ends(self, place: Place, kind: int) -> tuple[Record, Record] | None:
        """Give the first and the last record of a kind in a file, unchecked.

        Args:
            place: The file.
            kind: Of the records.

        Returns:
            Both; None where it has none, or was pruned since it was listed.

        Raises:
            JournalDamagedError: They cannot be read.
        """
        try:
            with self._pruning(place), self._open(place) as reader:
                return reader.ends(kind)
        except JournalPrunedError:
            return None

    def checked(self, first: int = 0) -> Iterator[Linked]:
        """Give records, each checked to follow the one before it.

        Args:
            first: A record; those in the files before its own are left out. 0: all are given.

        Raises:
            JournalDamagedError: One is missing, changed or cannot be read; says which.
            JournalPrunedError: The file that is read went meanwhile.
        """
        tip: Tip | None = None
        session = ""
        before: Place | None = None
        for place in self._from(first):
            with self._pruning(place), self._open_at(place, tip) as reader:
                beginning = reader.beginning
                session = session or beginning.session
                if tip is None:
                    tip = beginning.before
                    _check_start(tip, session)
                # A file that is going loses its log first, and with it its last records.
                with self._pruning(*([before] if before else [])):
                    _check_follows(beginning, place, tip, session)
                for linked in reader.checked(tip):
                    tip = Tip(linked.record.record, linked.hash)
                    yield linked
            before = place

    def _from(self, first: int) -> list[Place]:
        """Give the files from a record's own on."""
        begins = [after.first > first for after in self.places[1:]]
        return self.places[begins.index(True) if True in begins else -1 :]

    def _open_at(self, place: Place, tip: Tip | None) -> SegmentReader:
        """Open the file behind a record; where it cannot be read, that one's successor cannot."""
        expected = place.first if tip is None else tip.record + 1
        try:
            return self._open(place)
        except JournalDamagedError as error:
            raise JournalDamagedError(
                f"record {expected} cannot be read: {error}", record=expected
            ) from error

    def records(self, first: int = 0, *, past_pruned: bool = False) -> Iterator[Record]:
        """Give records from ``first`` on, unchecked.

        Args:
            first: Number of the first.
            past_pruned: Go on behind files that went meanwhile.

        Raises:
            JournalDamagedError: They cannot be read.
            JournalPrunedError: Files went meanwhile.
        """
        for place in self._from(first):
            try:
                with self._pruning(place), self._open(place) as reader:
                    for linked in reader.linked(first):
                        yield linked.record
            except JournalPrunedError:
                if not past_pruned:
                    raise
                log.warning("a journal's file was pruned before it was read", file=place.name)

    def heads(self) -> list[SignedHead]:
        """Give all signed heads, unchecked, in order.

        Raises:
            JournalDamagedError: They cannot be read.
            JournalPrunedError: Files went meanwhile.
        """
        heads: list[SignedHead] = []
        for place in self.places:
            with self._pruning(place), self._open(place) as reader:
                heads += reader.heads()
        return heads

    def overview(self) -> Overview:
        """Say what the journal is.

        Raises:
            JournalDamagedError: Its newest file cannot be read.
            JournalPrunedError: It went meanwhile.
        """
        place = self.places[-1]
        with self._pruning(place), self._open(place) as reader:
            _, last = reader.size()
            first = next(reader.linked(), None)
            if first is None:
                raise JournalDamagedError(f"{place.name} holds no record", path=str(reader.path))
            opened = decode(first.record)
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


def begin_again(folder: Path, read: Callable[[JournalReader], T]) -> T:
    """Read a journal, and from its new beginning where its node pruned it meanwhile.

    Args:
        folder: The journal's folder.
        read: Reads it.

    Raises:
        NotFoundError: There is none.
        JournalPrunedError: It was pruned each time.
    """
    for _ in range(BEGINNINGS - 1):
        try:
            return read(JournalReader(folder))
        except JournalPrunedError as error:
            log.info("reading a journal again from its beginning", reason=error.message)
    return read(JournalReader(folder))


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


def _check_follows(beginning: Beginning, place: Place, tip: Tip, session: str) -> None:
    """A file goes on with the session where the one before it ended."""
    if beginning.session != session or beginning.before != tip:
        raise JournalDamagedError(
            f"record {tip.record + 1} is missing: {place.name} goes on from record"
            f" {beginning.before.record} of session {beginning.session!r}",
            record=tip.record + 1,
        )


def is_written(folder: Path) -> bool:
    """Say whether a process writes the journal in a folder now.

    Raises:
        JournalError: This user may not ask.
    """
    try:
        with (folder / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except PermissionError as error:
        raise _unreadable(folder, str(error.strerror)) from error
    return False


def _unreadable(folder: Path, why: str) -> JournalError:
    return JournalError(
        f"the journal in {folder} cannot be read now: {why}. That says nothing against it; run this"
        " as the user of its node, or on a copy",
        path=str(folder),
    )
