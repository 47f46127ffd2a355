"""A file of records: one SQLite database, one table, written by one connection.

A commit is one transaction of SQLite's write-ahead log with ``synchronous=FULL``: it is on disk
when :meth:`SegmentWriter.append` returns. The log is folded into the file by another connection
(:func:`fold`), because inside a commit that would be paid by whoever waits for it.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_node.journal.chain import HASH_BYTES, MAX_PAYLOAD_BYTES, Record, link, session_id
from edge_node.journal.codec import Kind
from edge_node.journal.errors import JournalDamagedError
from edge_node.journal.folder import move_file, remove_file, sync_folder
from edge_node.journal.heads import SignedHead, Tip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

PAGE_BYTES = 4096
SYNCHRONOUS = "FULL"
BUSY_S = 5.0
"""How long a connection waits for another one's lock."""
FOLDS = 4
"""Times that the log is folded until nothing is left, at most."""

_WARM = "warm"
"""Name in the meta of a file that was prepared; it says nothing."""
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE records (
    record INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    time_ns INTEGER NOT NULL,
    raw_bytes INTEGER NOT NULL,
    hash BLOB NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE TABLE heads (
    record INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    signed_ns INTEGER NOT NULL,
    signature BLOB NOT NULL,
    public_key BLOB NOT NULL
) STRICT;
"""
_INSERT_META = "INSERT INTO meta VALUES (?, ?)"
_INSERT = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_HEAD = "INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?, ?)"
_SELECT = "SELECT * FROM records WHERE record >= ? ORDER BY record"
_SELECT_META = "SELECT name, value FROM meta NOT INDEXED LIMIT 16"
_SELECT_META_BY_INDEX = "SELECT name, value FROM meta ORDER BY name LIMIT 16"
_SELECT_ONE = "SELECT * FROM records WHERE record = ?"
_SELECT_HEADS = "SELECT * FROM heads ORDER BY record"

READING = (sqlite3.Error, ValueError, OverflowError, MemoryError)
"""What a damaged file makes SQLite and Python raise."""


@dataclass(frozen=True, slots=True)
class Linked:
    """A record with its hash."""

    record: Record
    """The record."""
    hash: bytes
    """Its hash, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a file goes on from."""

    session: str
    """Name of the session."""
    before: Tip
    """The record before its first."""


def create(path: Path, beginning: Beginning, records: Sequence[Linked]) -> None:
    """Write a new file, whole or not at all, durable on return.

    Args:
        path: The file; it must not be there.
        beginning: What it goes on from.
        records: Its first records.

    Raises:
        sqlite3.Error, OSError: It cannot be written.
    """
    part = path.with_name(path.name + ".part")
    create_blank(part, beginning, records)
    part.rename(path)
    sync_folder(path.parent)


def create_blank(
    path: Path, beginning: Beginning | None = None, records: Sequence[Linked] = ()
) -> None:
    """Write a file that nobody looks at yet; its content is durable on return, its name is not.

    Args:
        path: The file; what is there of it goes.
        beginning: What it goes on from; None: that is said later.
        records: Its first records.

    Raises:
        sqlite3.Error, OSError: It cannot be written.
    """
    remove_file(path)
    with closing(_connect(path)) as base:
        base.execute(f"PRAGMA page_size={PAGE_BYTES}")
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=OFF")  # The whole file is synced below.
        base.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            base.execute(statement)
        if beginning is not None:
            base.executemany(_INSERT_META, _meta(beginning))
        base.executemany(_INSERT, map(_row, records))
        base.execute("COMMIT")
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("rb") as file:
        os.fsync(file.fileno())


class SegmentWriter:
    """Appends to a file.

    Args:
        path: The file, made by :func:`create`.
        max_pages: Most pages that it may have; None: as many as SQLite allows.
    """

    def __init__(self, path: Path, max_pages: int | None = None) -> None:
        self.path = path
        self._base = _connect(path)
        self._base.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
        self._base.execute("PRAGMA wal_autocheckpoint=0")
        if max_pages is not None:
            self._base.execute(f"PRAGMA max_page_count={max_pages}")

    def append(self, records: Sequence[Linked], heads: Iterable[SignedHead] = ()) -> None:
        """Add records and heads in one transaction, durable on return.

        Raises:
            sqlite3.Error: Nothing was added.
        """
        self._transact((), records, heads)

    def begin(
        self, beginning: Beginning, records: Sequence[Linked], heads: Iterable[SignedHead] = ()
    ) -> None:
        """Say what a blank file goes on from and add its first records, in one transaction.

        Args:
            beginning: What it goes on from.
            records: Its first records, one at least.
            heads: Signed heads that are not on disk.

        Raises:
            sqlite3.Error: Nothing was added.
        """
        self._transact(_meta(beginning), records, heads)

    def warm_up(self) -> None:
        """Begin the log of a blank file, so that the first commit is like any other.

        SQLite makes the log, syncs its head and the folder with the first transaction.

        Raises:
            sqlite3.Error: It cannot be written.
        """
        self._transact([(_WARM, b"")], (), ())

    def move(self, path: Path) -> None:
        """Give the file its name, with what SQLite keeps beside it; the names are not yet synced.

        The connection holds the files and not their names.

        Raises:
            OSError: It has its old name, or a part of it has.
        """
        move_file(self.path, path)
        self.path = path

    def _transact(
        self,
        meta: Sequence[tuple[str, bytes]],
        records: Sequence[Linked],
        heads: Iterable[SignedHead],
    ) -> None:
        base = self._base
        try:
            base.execute("BEGIN IMMEDIATE")
            base.executemany(_INSERT_META, meta)
            base.executemany(_INSERT, map(_row, records))
            base.executemany(_INSERT_HEAD, map(_head_row, heads))
            base.execute("COMMIT")
        except sqlite3.Error:
            if base.in_transaction:
                with suppress(sqlite3.Error):
                    base.execute("ROLLBACK")
            elif records and self._has(records[-1]):
                return  # What failed came after the commit.
            raise

    def _has(self, linked: Linked) -> bool:
        """Say whether a record is there after all."""
        query = "SELECT hash FROM records WHERE record = ?"
        with suppress(sqlite3.Error):
            row = self._base.execute(query, (linked.record.record,)).fetchone()
            return row is not None and bytes(row[0]) == linked.hash
        return False

    def close(self) -> None:
        """Close the connection; the log of a file that was moved is left to :func:`fold`."""
        self._base.close()


def fold(path: Path, *, truncate: bool = False) -> bool:
    """Fold a file's log into it while it is written.

    Args:
        path: The file.
        truncate: Leave no log behind, and wait for writers.

    Returns:
        Whether nothing is left in the log.
    """
    mode = "TRUNCATE" if truncate else "PASSIVE"
    with closing(_connect(path)) as base:
        base.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
        for _ in range(FOLDS):
            busy, logged, folded = base.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            if not busy and logged == folded:
                return True
    return False


class SegmentReader:
    """Reads a file, also while it is written, and changes nothing.

    Args:
        path: The file.
        written: Whether a process may be writing it now.

    Raises:
        JournalDamagedError: It is no file of a journal.
    """

    def __init__(self, path: Path, *, written: bool = False) -> None:
        self.path = path
        try:
            self._base = _connect_reader(path, written=written)
            try:
                self.beginning = self._beginning()
            except BaseException:
                self._base.close()
                raise
        except READING as error:
            raise JournalDamagedError(
                f"{path.name} cannot be read: {error}", path=str(path)
            ) from error
        self._session = session_id(self.beginning.session)

    def _beginning(self) -> Beginning:
        # Every name stands in the table and in its index; one of them may be damaged.
        try:
            return self._read_beginning(_SELECT_META_BY_INDEX)
        except READING:
            return self._read_beginning(_SELECT_META)

    def _read_beginning(self, query: str) -> Beginning:
        meta = dict(self._base.execute(query))
        try:
            (record,) = struct.unpack("<Q", meta["before_record"])
            before = Tip(record, meta["before_hash"])
            session = meta["session"].decode("utf-8", "surrogatepass")
        except (KeyError, struct.error, TypeError, AttributeError) as error:
            raise ValueError(f"what it goes on from is not said: {error!r}") from None
        if type(before.hash) is not bytes or len(before.hash) != HASH_BYTES:
            raise ValueError("the hash that it goes on from is cut short")
        return Beginning(session, before)

    def __enter__(self) -> SegmentReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def linked(self, first: int = 0) -> Iterator[Linked]:
        """Give records with the hashes that they claim, from ``first`` on.

        Raises:
            JournalDamagedError: They cannot be read.
        """
        first = max(first, self.beginning.before.record + 1)
        try:
            for row in self._base.execute(_SELECT, (first,)):
                yield _linked(row)
                first = row[0] + 1
        except READING as error:
            # A cursor looks ahead: what it had not given when it met a bad page is asked for by
            # number.
            while (one := self._one(first)) is not None:
                yield one
                first += 1
            raise JournalDamagedError(f"{self.path.name}: {error}") from error

    def _one(self, record: int) -> Linked | None:
        """Give one record; None where it cannot be read."""
        try:
            row = self._base.execute(_SELECT_ONE, (record,)).fetchone()
            return None if row is None else _linked(row)
        except READING:
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
            rows = self._base.execute(_SELECT_HEADS).fetchall()
        except READING as error:
            raise JournalDamagedError(f"the heads in {self.path.name}: {error}") from error
        return [_head(self.beginning.session, row) for row in rows]

    def has_base(self) -> bool:
        """Say whether a replay can begin within this file.

        Raises:
            JournalDamagedError: That cannot be read.
        """
        query = "SELECT 1 FROM records WHERE kind IN (?, ?) LIMIT 1"
        try:
            row = self._base.execute(query, (Kind.CHECKPOINTED, Kind.RESTARTED)).fetchone()
        except READING as error:
            raise JournalDamagedError(f"{self.path.name}: {error}") from error
        return row is not None

    def size(self) -> tuple[int, int]:
        """Give the numbers of the first and the last record; zeros where there is none."""
        try:
            row = self._base.execute("SELECT MIN(record), MAX(record) FROM records").fetchone()
        except READING as error:
            raise JournalDamagedError(f"{self.path.name}: {error}") from error
        return (int(row[0] or 0), int(row[1] or 0))


def _connect(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, BUSY_S, isolation_level=None, check_same_thread=False)
    return _limited(base)


def _connect_reader(path: Path, *, written: bool) -> sqlite3.Connection:
    log = path.with_name(path.name + "-wal")
    # What nobody writes is read without an index of the log, which SQLite would leave behind.
    still = not written and not (log.exists() and log.stat().st_size)
    uri = path.absolute().as_uri() + ("?mode=ro&immutable=1" if still else "?mode=ro")
    base = sqlite3.connect(uri, BUSY_S, isolation_level=None, check_same_thread=False, uri=True)
    return _limited(base)


def _limited(base: sqlite3.Connection) -> sqlite3.Connection:
    """Keep damaged files from asking for more memory than a record can have."""
    base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_PAYLOAD_BYTES + PAGE_BYTES)
    base.execute("PRAGMA trusted_schema=OFF")
    return base


def _meta(beginning: Beginning) -> list[tuple[str, bytes]]:
    before = beginning.before
    return [
        ("session", beginning.session.encode("utf-8", "surrogatepass")),
        ("before_record", struct.pack("<Q", before.record)),
        ("before_hash", before.hash),
    ]


def _row(linked: Linked) -> tuple[Any, ...]:
    r = linked.record
    return (
        r.record,
        r.epoch,
        r.kind,
        r.codec,
        r.sequence,
        r.time_ns,
        r.raw_bytes,
        linked.hash,
        r.payload,
    )


def _linked(row: tuple[Any, ...]) -> Linked:
    record, epoch, kind, codec, sequence, time_ns, raw_bytes, digest, payload = row
    if not all(type(number) is int for number in row[:7]):
        raise ValueError("a number is none")
    if type(digest) is not bytes or type(payload) is not bytes:
        raise ValueError("a payload is none")
    columns = Record(record, epoch, kind, codec, sequence, time_ns, raw_bytes, payload)
    return Linked(columns, digest)


def _head_row(head: SignedHead) -> tuple[Any, ...]:
    return (head.record, head.hash, head.signed_ns, head.signature, head.public_key)


def _head(session: str, row: tuple[Any, ...]) -> SignedHead:
    record, digest, signed_ns, signature, public = row
    numbers = type(record) is int and type(signed_ns) is int
    if not numbers or not all(type(item) is bytes for item in (digest, signature, public)):
        raise JournalDamagedError("a signed head holds what cannot be")
    return SignedHead(session, record, digest, signed_ns, signature, public)
