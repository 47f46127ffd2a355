"""What a file of records holds: its tables, their rows, and connections that know its bounds."""

from __future__ import annotations

import sqlite3
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_node.journal.chain import HASH_BYTES, MAX_PAYLOAD_BYTES, Record
from edge_node.journal.errors import JournalDamagedError
from edge_node.journal.heads import SignedHead, Tip

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PAGE_BYTES = 4096
BUSY_S = 5.0
"""How long a connection waits for another one's lock."""
WARM = "warm"
"""Name in the meta of a file that was prepared; it says nothing."""
SCHEMA = """
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


def connect(database: str | Path, *, uri: bool = False) -> sqlite3.Connection:
    """Open a file.

    Args:
        database: The file, or an URI of it.
        uri: Whether it is an URI.
    """
    base = sqlite3.connect(database, BUSY_S, isolation_level=None, check_same_thread=False, uri=uri)
    # Damaged files must not ask for more memory than a record can have.
    base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_PAYLOAD_BYTES + PAGE_BYTES)
    base.execute("PRAGMA trusted_schema=OFF")
    return base


def meta(beginning: Beginning) -> list[tuple[str, bytes]]:
    """Give the rows of a file's meta."""
    before = beginning.before
    return [
        ("session", beginning.session.encode("utf-8", "surrogatepass")),
        ("before_record", struct.pack("<Q", before.record)),
        ("before_hash", before.hash),
    ]


def read_beginning(rows: Iterable[tuple[Any, ...]]) -> Beginning:
    """Read what :func:`meta` gave.

    Raises:
        ValueError: It was not that.
    """
    values = dict(rows)
    try:
        (record,) = struct.unpack("<Q", values["before_record"])
        before = Tip(record, values["before_hash"])
        session = values["session"].decode("utf-8", "surrogatepass")
    except (KeyError, struct.error, TypeError, AttributeError) as error:
        raise ValueError(f"what it goes on from is not said: {error!r}") from None
    if type(before.hash) is not bytes or len(before.hash) != HASH_BYTES:
        raise ValueError("the hash that it goes on from is cut short")
    return Beginning(session, before)


def row(linked: Linked) -> tuple[Any, ...]:
    """Give a record as a row."""
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


def linked(row: tuple[Any, ...]) -> Linked:
    """Read what :func:`row` gave.

    Raises:
        ValueError: It was not that.
    """
    record, epoch, kind, codec, sequence, time_ns, raw_bytes, digest, payload = row
    if not all(type(number) is int for number in row[:7]):
        raise ValueError("a number is none")
    if type(digest) is not bytes or type(payload) is not bytes:
        raise ValueError("a payload is none")
    columns = Record(record, epoch, kind, codec, sequence, time_ns, raw_bytes, payload)
    return Linked(columns, digest)


def head_row(head: SignedHead) -> tuple[Any, ...]:
    """Give a signed head as a row."""
    return (head.record, head.hash, head.signed_ns, head.signature, head.public_key)


def head(session: str, row: tuple[Any, ...]) -> SignedHead:
    """Read what :func:`head_row` gave.

    Raises:
        JournalDamagedError: It was not that.
    """
    record, digest, signed_ns, signature, public = row
    numbers = type(record) is int and type(signed_ns) is int
    if not numbers or not all(type(item) is bytes for item in (digest, signature, public)):
        raise JournalDamagedError("a signed head holds what cannot be")
    return SignedHead(session, record, digest, signed_ns, signature, public)
