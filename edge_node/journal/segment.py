"""A file of records: one SQLite database, one table, written by one connection.

A commit is one transaction of SQLite's write-ahead log with ``synchronous=FULL``: it is on disk
when :meth:`SegmentWriter.append` returns. The log is folded into the file by another connection
(:func:`fold`), because inside a commit that would be paid by whoever waits for it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from edge_node.journal import rows
from edge_node.journal.folder import move_file, remove_file, sync_folder
from edge_node.journal.rows import PAGE_BYTES, SCHEMA, WARM, Beginning, Linked, connect
from edge_node.journal.segment_reading import SegmentReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edge_node.journal.heads import SignedHead

__all__ = [
    "SYNCHRONOUS",
    "Beginning",
    "Linked",
    "SegmentReader",
    "SegmentWriter",
    "create",
    "create_blank",
    "fold",
]

SYNCHRONOUS = "FULL"
FOLDS = 4
"""Times that the log is folded until nothing is left, at most."""
_INSERT_META = "INSERT INTO meta VALUES (?, ?)"
_INSERT = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_HEAD = "INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?, ?)"


def create(
    path: Path,
    beginning: Beginning,
    records: Sequence[Linked],
    heads: Iterable[SignedHead] = (),
) -> None:
    """Write a new file, whole or not at all, durable on return.

    Args:
        path: The file; it must not be there.
        beginning: What it goes on from.
        records: Its first records.
        heads: Its first signed heads.

    Raises:
        sqlite3.Error, OSError: It cannot be written.
    """
    part = path.with_name(path.name + ".part")
    create_blank(part, beginning, records, heads)
    part.rename(path)
    sync_folder(path.parent)


def create_blank(
    path: Path,
    beginning: Beginning | None = None,
    records: Sequence[Linked] = (),
    heads: Iterable[SignedHead] = (),
) -> None:
    """Write a file that nobody looks at yet; its content is durable on return, its name is not.

    Args:
        path: The file; what is there of it goes.
        beginning: What it goes on from; None: that is said later.
        records: Its first records.
        heads: Its first signed heads.

    Raises:
        sqlite3.Error, OSError: It cannot be written.
    """
    remove_file(path)
    with closing(connect(path)) as base:
        base.execute(f"PRAGMA page_size={PAGE_BYTES}")
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=OFF")  # The whole file is synced below.
        base.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            base.execute(statement)
        if beginning is not None:
            base.executemany(_INSERT_META, rows.meta(beginning))
        base.executemany(_INSERT, map(rows.row, records))
        base.executemany(_INSERT_HEAD, map(rows.head_row, heads))
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
        self._base = connect(path)
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
        self._transact(rows.meta(beginning), records, heads)

    def warm_up(self) -> None:
        """Begin the log of a blank file, so that the first commit is like any other.

        SQLite makes the log, syncs its head and the folder with the first transaction.

        Raises:
            sqlite3.Error: It cannot be written.
        """
        self._transact([(WARM, b"")], (), ())

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
            base.executemany(_INSERT, map(rows.row, records))
            base.executemany(_INSERT_HEAD, map(rows.head_row, heads))
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


def fold(path: Path, *, truncate: bool = False, wait_s: float = 0.0) -> bool:
    """Fold a file's log into it while it is written.

    Args:
        path: The file; it is not made where it is gone.
        truncate: Leave no log behind.
        wait_s: How long readers that hold on to the log are waited for then, seconds.

    Returns:
        Whether nothing is left in the log.
    """
    mode = "TRUNCATE" if truncate else "PASSIVE"
    with closing(connect(path.absolute().as_uri() + "?mode=rw", uri=True)) as base:
        base.execute(f"PRAGMA busy_timeout={round(wait_s * 1000)}")
        base.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
        for _ in range(FOLDS):
            busy, logged, folded = base.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            if busy:
                return False
            if logged == folded:
                return True
    return False
