"""The mark: the oldest record that is kept, the newest that was acknowledged, the last epoch.

It is written after each commit and not synced: it outlives the process, and after a loss of power
it may be older than the journal but never newer. So a journal that ends before its mark, or begins
after it, has lost something, which SQLite alone cannot tell from commits that were never made and
from files that were pruned. Before files are pruned it is synced.

It also says which epoch was begun last, synced before anything is sent in it: what subscribers hold
of an epoch must not be numbered again, whatever becomes of its files.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from edge_node.journal.folder import sync_folder
from edge_node.journal.heads import Tip

if TYPE_CHECKING:
    from pathlib import Path

FILE = "mark"
_MAGIC = b"TIPMARK2"
_BODY = struct.Struct("<8sQQ32sQ")
_OLD_MAGIC = b"TIPMARK1"
_OLD_BODY = struct.Struct("<8sQQ32s")
"""Without the epoch: read, and never written."""
_CHECK_BYTES = 8

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Marked:
    """What a mark says."""

    oldest: int
    """Oldest record that is kept."""
    tip: Tip
    """Newest record that was acknowledged."""
    epoch: int = 0
    """Newest epoch that was begun; 0: an old mark, which does not say."""


@dataclass(frozen=True, slots=True)
class BadMark:
    """A mark that cannot be read."""

    reason: str
    """What is wrong."""
    passing: bool = False
    """Whether the machine does not let it be read now, which says nothing of what it holds."""


class Mark:
    """Writes the mark; any thread may.

    Args:
        folder: The journal's folder.
        marked: What it says from now on.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, folder: Path, marked: Marked) -> None:
        self._handle = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT, 0o644)
        self._lock = threading.Lock()
        self._marked = marked
        # In one write, so that a kill leaves the mark before it, or this one.
        self._write(marked)
        if os.fstat(self._handle).st_size != (size := _BODY.size + _CHECK_BYTES):
            os.ftruncate(self._handle, size)
        # Once synced it is whole for ever: what follows is written over it in one sector.
        os.fsync(self._handle)
        sync_folder(folder)

    def advance(self, tip: Tip) -> None:
        """Say what was acknowledged. Where that fails the mark stays older, which does no harm."""
        with self._lock:
            try:
                self._write(replace(self._marked, tip=tip))
            except OSError as error:
                log.warning("the mark was not written", reason=str(error))

    def prune(self, oldest: int) -> None:
        """Say what is kept, durably, before the rest is removed."""
        with self._lock:
            self._write(replace(self._marked, oldest=oldest))
            os.fsync(self._handle)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            os.close(self._handle)

    def _write(self, marked: Marked) -> None:
        tip = marked.tip
        body = _BODY.pack(_MAGIC, marked.oldest, tip.record, tip.hash, marked.epoch)
        os.pwrite(self._handle, body + _check(body), 0)
        self._marked = marked


def read_mark(folder: Path) -> Marked | BadMark:
    """Read the mark."""
    try:
        content = (folder / FILE).read_bytes()
    except OSError as error:
        passing = error.errno not in (errno.ENOENT, errno.EIO)
        return BadMark(str(error.strerror or error), passing)
    old = len(content) == _OLD_BODY.size + _CHECK_BYTES
    layout, known = (_OLD_BODY, _OLD_MAGIC) if old else (_BODY, _MAGIC)
    body, check = content[: layout.size], content[layout.size :]
    if len(body) != layout.size or check != _check(body):
        return BadMark("its checksum is wrong")
    magic, oldest, record, digest, *epoch = layout.unpack(body)
    if magic != known:
        return BadMark("it is of another version")
    return Marked(oldest, Tip(record, digest), *epoch)


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECK_BYTES]
