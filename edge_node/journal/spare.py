"""The next file, made ready before the present one is full.

To make a file takes several syncs of the disk, which whoever waits for a commit should not pay. So
the keeper's thread makes one ahead of time, under a name that no reader looks at, with its log
begun and its connection open. A change of file is then one commit like any other, and three
renames:

1. the first records go into the spare file, durable;
2. it gets its name, its log and the log's index first;
3. the keeper syncs the names, and makes the next spare file.

A process that ends before the second step has left records that nobody was told of; a loss of power
before the third may take the names away of records that somebody was told of. Either way
:func:`adopt` finds the file under its old name, or halfway to the new one, and goes on with it.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from edge_node.journal.errors import JournalDamagedError
from edge_node.journal.folder import (
    SUFFIX,
    Place,
    move_aside,
    move_file,
    places,
    remove_file,
    sync_folder,
)
from edge_node.journal.segment import SegmentReader, SegmentWriter, create_blank
from edge_node.journal.segment_reading import is_blank

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edge_node.journal.heads import SignedHead
    from edge_node.journal.segment import Beginning, Linked

NAME = "next.part"
"""Made by the keeper."""
HURRIED_NAME = "now.part"
"""Made by a commit that found none ready."""
MAKING = ".new"
"""Follows the name of one that is being made."""

log = structlog.get_logger(__name__)


class Spare:
    """Holds one file ready. Any thread may call any method.

    Args:
        folder: The journal's folder.
        max_pages: Most pages that a file may have; None: as many as SQLite allows.
    """

    def __init__(self, folder: Path, max_pages: int | None = None) -> None:
        self._folder, self._max_pages = folder, max_pages
        self._lock = threading.Lock()
        self._ready: SegmentWriter | None = None
        self._beginning = False
        """Whether the one that was ready is being begun, and has its old name."""

    @property
    def is_ready(self) -> bool:
        """Whether the next change of file finds one."""
        with self._lock:
            return self._ready is not None

    def prepare(self) -> None:
        """Make one ready, where none is and the name is free.

        Raises:
            sqlite3.Error, OSError: It cannot be written.
        """
        with self._lock:
            if self._ready is not None or self._beginning:
                return
        # The one before may have its name since the last sync only, and this one takes its old one.
        sync_folder(self._folder)
        writer = self._make(NAME)
        try:
            writer.warm_up()
            sync_folder(self._folder)
        except BaseException:
            _discard(writer)
            raise
        with self._lock:
            self._ready = writer

    def begin(
        self,
        path: Path,
        beginning: Beginning,
        records: Sequence[Linked],
        heads: Iterable[SignedHead],
    ) -> SegmentWriter:
        """Begin a file with its first records, durable on return: the spare one, or one made now.

        Args:
            path: Its name.
            beginning: What it goes on from.
            records: Its first records, one at least.
            heads: Signed heads that are not on disk.

        Raises:
            sqlite3.Error, OSError: It cannot be written; nothing was.
        """
        with self._lock:
            ready, self._ready = self._ready, None
            self._beginning = ready is not None
        writer = ready or self._make(HURRIED_NAME)
        try:
            writer.begin(beginning, records, heads)
            writer.move(path)
            if ready is None:
                sync_folder(self._folder)
        except BaseException:
            # What the disk may have taken of it must not come to light beside what is written next.
            _discard(writer)
            with suppress(OSError):
                remove_file(path)
            raise
        finally:
            with self._lock:
                self._beginning = False
        return writer

    def discard(self) -> None:
        """Remove what was made ready and never used."""
        with self._lock:
            ready, self._ready = self._ready, None
        if ready is not None:
            _discard(ready)

    def _make(self, name: str) -> SegmentWriter:
        path = self._folder / name
        making = path.with_name(path.name + MAKING)
        create_blank(making)
        remove_file(path)
        # Whatever has the name is whole.
        making.rename(path)
        return SegmentWriter(path, self._max_pages)


def _discard(writer: SegmentWriter) -> None:
    """Close a file and remove it; :func:`adopt` sees to what cannot be removed now."""
    with suppress(sqlite3.Error):
        writer.close()
    try:
        remove_file(writer.path)
    except OSError as error:
        log.warning("a prepared file was not removed", file=writer.path.name, reason=str(error))


def adopt(folder: Path) -> dict[str, str]:
    """Give a spare file that was begun the name that it was to have, and remove one that was not.

    One that the keeper made has its content durable before its name, and somebody may have been
    told of what it holds: where it cannot be read it is kept aside. A hurried one has its new name,
    durable, before anybody is told.

    Args:
        folder: The journal's folder; the caller is its only writer, and no file of it is open.

    Returns:
        Where what cannot be read was moved, within the journal's folder, and what was found.

    Raises:
        OSError: A file cannot be renamed or removed.
        JournalError: The machine does not let one be read now; it stays.
    """
    aside: dict[str, str] = {}
    for path in (folder / NAME, folder / HURRIED_NAME):
        if path.exists():
            _finish_move(path)
        reason = _begin_move(path) if path.exists() else ""
        if reason and path.name == NAME:
            aside[move_aside(folder, [path.name], reason)] = reason
        remove_file(path)
    return aside


def _finish_move(path: Path) -> None:
    """Take a file to its log, where that has its name already."""
    if path.with_name(path.name + "-wal").exists():
        return
    logs = path.parent.glob(f"*{SUFFIX}-wal")
    names = [path.parent / log.name.removesuffix("-wal") for log in logs]
    alone = [name for name in names if not name.exists()]
    if len(alone) == 1:
        move_file(path, alone[0])


def _begin_move(path: Path) -> str:
    """Give a file its name, where it was begun and the chain does not go on without it.

    Returns:
        Why it cannot be told whether it was begun; empty where it can.
    """
    try:
        with SegmentReader(path) as reader:
            before = reader.beginning.before.record
            first = next(reader.linked(), None)
    except JournalDamagedError as error:
        return "" if is_blank(path) else f"a file that was being begun: {error.message}"
    if first is None or _last(path.parent) > before:
        return ""
    place = Place(before + 1, first.record.epoch, 0)
    move_file(path, path.parent / place.name)
    log.info("a file of the journal was begun and had no name yet", file=place.name)
    return ""


def _last(folder: Path) -> int:
    """Give the number of the newest record of all files but spare ones; 0: it cannot be read."""
    try:
        with SegmentReader(folder / places(folder)[-1].name) as reader:
            return reader.size()[1]
    except (IndexError, JournalDamagedError):
        return 0
