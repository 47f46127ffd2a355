"""The mark: the newest record that was acknowledged as durable.

It is written after each commit and not synced: it outlives the process, and after a loss of power
it may be older than the journal but never newer. So a journal that ends before its mark has lost
something, which SQLite alone cannot tell from a commit that was never made.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_node.journal.heads import Tip

if TYPE_CHECKING:
    from pathlib import Path

FILE = "mark"
_MAGIC = b"TIPMARK1"
_BODY = struct.Struct("<8sQ32s")
_CHECK_BYTES = 16


@dataclass(frozen=True, slots=True)
class BadMark:
    """A mark that is there and cannot be read."""

    reason: str
    """What is wrong."""


class Mark:
    """Writes the mark.

    Args:
        folder: The journal's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT, 0o644)

    def write(self, tip: Tip) -> None:
        """Write it; its size never changes."""
        body = _BODY.pack(_MAGIC, tip.record, tip.hash)
        os.pwrite(self._handle, body + _check(body), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def read_mark(folder: Path) -> Tip | BadMark | None:
    """Read the mark; None where there is none."""
    try:
        content = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return BadMark(str(error))
    if not content:
        return None
    body, check = content[: _BODY.size], content[_BODY.size :]
    if len(content) != _BODY.size + _CHECK_BYTES or check != _check(body):
        return BadMark("its checksum is wrong")
    magic, record, digest = _BODY.unpack(body)
    return Tip(record, digest) if magic == _MAGIC else BadMark("it is of another version")


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECK_BYTES]
