"""Reading a file of records, also while it is written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edge_node.journal import rows
from edge_node.journal.chain import link, session_id
from edge_node.journal.codec import Kind
from edge_node.journal.errors import JournalDamagedError, JournalError
from edge_node.journal.heads import SignedHead, Tip
from edge_node.journal.rows import WARM, Beginning, Linked, connect, read_beginning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge_node.journal.chain import Record
    from tipoff.errors import TipoffError

_SELECT = "SELECT * FROM records WHERE record >= ? ORDER BY record"
_SELECT_META = "SELECT name, value FROM meta NOT INDEXED LIMIT 16"
_SELECT_META_BY_INDEX = "SELECT name, value FROM meta ORDER BY name LIMIT 16"
_SELECT_ONE = "SELECT * FROM records WHERE record = ?"
_SELECT_FIRST = "SELECT * FROM records WHERE kind = ? ORDER BY record LIMIT 1"
_SELECT_LAST = "SELECT * FROM records WHERE kind = ? ORDER BY record DESC LIMIT 1"
_SELECT_HEADS = "SELECT * FROM heads ORDER BY record"
_SELECT_HEAD = "SELECT * FROM heads WHERE record = ?"
READING = (sqlite3.Error, ValueError, OverflowError, MemoryError)
"""What SQLite and Python raise over a file that is damaged, or that cannot be read now."""
_PASSING = frozenset(
    {
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""Primary codes of what the machine refuses, whatever the file holds."""
_LOST = frozenset(
    {
        sqlite3.SQLITE_IOERR_CORRUPTFS,
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
    }
)
"""Failures to read that tell of the file itself: it is cut short, or its disk has lost a part."""


def is_damage(error: BaseException) -> bool:
    """Tell what a file does not hold any more from what the machine refuses now.

    A disk without room for the index of a log, a process with too many open files, memory that is
    out: none of them says anything about the file.
    """
    if isinstance(error, MemoryError):
        return False
    code = getattr(error, "sqlite_errorcode", 0)
    return code in _LOST or code & 0xFF not in _PASSING


def _failed(error: BaseException, path: Path, what: str) -> TipoffError:
    """Make the error for a file that could not be read."""
    if is_damage(error):
        return JournalDamagedError(f"{what}: {error}", path=str(path))
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    return JournalError(
        f"{what} now: {error or 'the memory is out'} ({name}). That says nothing against the file,"
        " and nothing was changed; see that its disk has room, that there is memory, that the"
        " process may open more files and may read and write the folder, and try again",
        path=str(path),
    )


REFUSED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
"""Primary codes where it may not make its index of the log."""
LOG = "-wal"
"""What the log's name ends with."""


class SegmentReader:
    """Reads a file, also while it is written, and changes nothing.

    Args:
        path: The file.
        written: Whether a process may be writing it now.

    Raises:
        JournalDamagedError: It is no file of a journal.
        JournalError: The machine, or the rights of this user, do not let it be read now; so do all
            methods.
    """

    def __init__(self, path: Path, *, written: bool = False) -> None:
        self.path = path
        self._copy = ExitStack()
        try:
            try:
                self._open(path, written=written)
            except sqlite3.OperationalError as error:
                if written or not _takes_a_copy(path, error):
                    raise
                self._open_copy(path)
        except READING as error:
            raise _failed(error, path, f"{path.name} cannot be read") from error
        self._session = session_id(self.beginning.session)

    def _open(self, path: Path, *, written: bool) -> None:
        self._base = _connect_reader(path, written=written)
        try:
            self.beginning = self._beginning()
        except BaseException:
            self._base.close()
            raise

    def _open_copy(self, path: Path) -> None:
        """Open a copy, where SQLite may write: it reads no log without an index beside it."""
        try:
            folder = Path(self._copy.enter_context(TemporaryDirectory(prefix="tipoff-journal-")))
            for companion in ("", LOG):
                name = path.name + companion
                shutil.copyfile(path.with_name(name), folder / name)
            self._open(folder / path.name, written=False)
        except OSError as error:
            self._copy.close()
            raise JournalError(
                f"{path.name} has a log, may not be written here, and no copy can be made of it:"
                f" {error}; make room, or set TMPDIR to where there is some",
                path=str(path),
            ) from error
        except BaseException:
            self._copy.close()
            raise

    def _beginning(self) -> Beginning:
        # Every name stands in the table and in its index; one of them may be damaged.
        try:
            return read_beginning(self._base.execute(_SELECT_META_BY_INDEX))
        except READING:
            return read_beginning(self._base.execute(_SELECT_META))

    def __enter__(self) -> SegmentReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()
        self._copy.close()

    def linked(self, first: int = 0) -> Iterator[Linked]:
        """Give records with the hashes that they claim, from ``first`` on.

        Raises:
            JournalDamagedError: They cannot be read.
        """
        first = max(first, self.beginning.before.record + 1)
        try:
            for row in self._base.execute(_SELECT, (first,)):
                yield rows.linked(row)
                first = row[0] + 1
        except READING as error:
            if not is_damage(error):
                raise self._failed(error) from error
            # A cursor looks ahead: what it had not given when it met a bad page is asked for by
            # number.
            while (one := self._one(first)) is not None:
                yield one
                first += 1
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> TipoffError:
        return _failed(error, self.path, f"{self.path.name} cannot be read")

    def _one(self, record: int) -> Linked | None:
        """Give one record; None where it cannot be read."""
        try:
            row = self._base.execute(_SELECT_ONE, (record,)).fetchone()
            return None if row is None else rows.linked(row)
        except READING as error:
            if not is_damage(error):
                raise self._failed(error) from error
            return None

    def checked(self, before: Tip) -> Iterator[Linked]:
        """Give all records, each checked to follow the one before it.

        Args:
            before: The record before the first.

        Raises:
            JournalDamagedError: A record is missing, changed or cannot be read.
        """
        tip = before
        try:
            for linked in self.linked():
                tip = self._follow(tip, linked)
                yield linked
        except JournalDamagedError as error:
            if "record" in error.ids:
                raise
            raise JournalDamagedError(
                f"record {tip.record + 1} cannot be read: {error}", record=tip.record + 1
            ) from error

    def _follow(self, tip: Tip, linked: Linked) -> Tip:
        expected = tip.record + 1
        record = linked.record
        if record.record != expected:
            raise JournalDamagedError(
                f"record {expected} is missing: {self.path.name} goes on with {record.record}",
                record=expected,
            )
        try:
            digest = link(tip.hash, record, self._session)
        except struct.error as error:
            raise JournalDamagedError(
                f"record {expected} holds numbers that cannot be: {error}", record=expected
            ) from error
        if digest != linked.hash:
            raise JournalDamagedError(
                f"record {expected} is not what was written: its hash is another one",
                record=expected,
            )
        return Tip(expected, digest)

    def heads(self) -> list[SignedHead]:
        """Give the signed heads in this file, unchecked.

        Raises:
            JournalDamagedError: They cannot be read.
        """
        try:
            found = self._base.execute(_SELECT_HEADS).fetchall()
        except READING as error:
            what = f"the heads in {self.path.name} cannot be read"
            raise _failed(error, self.path, what) from error
        return [rows.head(self.beginning.session, row) for row in found]

    def heads_of(self, records: Iterable[int]) -> tuple[list[SignedHead], str]:
        """Give the signed heads that can be read, unchecked, in order.

        Args:
            records: Whose heads are asked for one by one where not all in this file can be read.

        Returns:
            The heads, and why others cannot be read; empty where all can.
        """
        try:
            return self.heads(), ""
        except JournalDamagedError as error:
            read = (self._head(record) for record in sorted(records))
            return [head for head in read if head is not None], error.message

    def _head(self, record: int) -> SignedHead | None:
        """Give one record's head; None where it has none, or it cannot be read."""
        try:
            row = self._base.execute(_SELECT_HEAD, (record,)).fetchone()
            return None if row is None else rows.head(self.beginning.session, row)
        except JournalDamagedError:
            return None
        except READING as error:
            if not is_damage(error):
                raise self._failed(error) from error
            return None

    def has_base(self) -> bool:
        """Say whether a replay can begin within this file.

        Raises:
            JournalDamagedError: That cannot be read.
        """
        query = "SELECT 1 FROM records WHERE kind IN (?, ?) LIMIT 1"
        try:
            row = self._base.execute(query, (Kind.CHECKPOINTED, Kind.RESTARTED)).fetchone()
        except READING as error:
            raise self._failed(error) from error
        return row is not None

    def ends(self, kind: int) -> tuple[Record, Record] | None:
        """Give the first and the last record of a kind, unchecked; None where there is none.

        Raises:
            JournalDamagedError: They cannot be read.
        """
        try:
            first, last = (
                self._base.execute(query, (kind,)).fetchone()
                for query in (_SELECT_FIRST, _SELECT_LAST)
            )
            return (rows.linked(first).record, rows.linked(last).record) if first and last else None
        except READING as error:
            raise self._failed(error) from error

    def size(self) -> tuple[int, int]:
        """Give the numbers of the first and the last record; zeros where there is none."""
        try:
            row = self._base.execute("SELECT MIN(record), MAX(record) FROM records").fetchone()
        except READING as error:
            raise self._failed(error) from error
        return (int(row[0] or 0), int(row[1] or 0))


def is_blank(path: Path) -> bool:
    """Say whether a file was prepared and never begun; one that cannot be read is not known to be.

    Raises:
        JournalError: The machine does not let it be read now.
    """
    try:
        with closing(_connect_reader(path, written=False)) as base:
            if not base.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall():
                return True
            names = {name for (name,) in base.execute("SELECT name FROM meta NOT INDEXED LIMIT 16")}
            return names <= {WARM} and not base.execute("SELECT 1 FROM records LIMIT 1").fetchall()
    except READING as error:
        if not is_damage(error):
            raise _failed(error, path, f"{path.name} cannot be read") from error
        return False


def _connect_reader(path: Path, *, written: bool) -> sqlite3.Connection:
    # What nobody writes is read without an index of the log, which SQLite would leave behind.
    still = not written and not _size(_log(path))
    uri = path.absolute().as_uri() + ("?mode=ro&immutable=1" if still else "?mode=ro")
    return connect(uri, uri=True)


def _takes_a_copy(path: Path, error: sqlite3.OperationalError) -> bool:
    """Say whether SQLite only lacks the right to write its index of the log beside the file."""
    refused = getattr(error, "sqlite_errorcode", 0) & 0xFF in REFUSED
    return refused and _size(_log(path)) > 0 and not os.access(path.parent, os.W_OK)


def _log(path: Path) -> Path:
    return path.with_name(path.name + LOG)


def _size(path: Path) -> int:
    """Give a file's size; 0 where it is not there: a log may go between two looks at it."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
