r"""The chain: each record's hash covers the record and the hash before it.

    hash(n) = SHA-256(hash(n - 1) || header(n) || payload(n))
    hash(0) = SHA-256("tipoff journal 1\n" || session)

The header is made of a record's columns in one fixed layout, so that no column can be changed
without its hash; the payload is hashed as it is stored.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

VERSION = 1
HASH_BYTES = 32
SESSION_BYTES = 16
HEADER = struct.Struct("<BBBx16sQQQqII")
"""Version, kind, codec, session, record, epoch, sequence, time in ns, raw size, stored size."""
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
"""Largest payload, stored or raw."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it is stored."""

    record: int
    """Its number, from 1 over all epochs of the session."""
    epoch: int
    """Epoch of its writer, from 1."""
    kind: int
    """What it holds, by `edge_node.journal.codec`."""
    codec: int
    """How its payload is packed."""
    sequence: int
    """Of a snapshot in its epoch and stream; 0 elsewhere."""
    time_ns: int
    """Capture time or snapshot's time; 0 where it has none."""
    raw_bytes: int
    """Size of the payload unpacked."""
    payload: bytes
    """The payload, packed."""


def session_id(session: str) -> bytes:
    """Give what records carry of their session's name: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(session.encode("utf-8", "surrogatepass")).digest()[:SESSION_BYTES]


def first_hash(session: str) -> bytes:
    """Give the hash before a session's first record, 32 bytes."""
    name = session.encode("utf-8", "surrogatepass")
    return hashlib.sha256(b"tipoff journal 1\n" + name).digest()


def header(record: Record, session: bytes) -> bytes:
    """Lay out a record's columns.

    Args:
        record: The record.
        session: What :func:`session_id` gave.

    Raises:
        struct.error: A column holds what cannot be.
    """
    return HEADER.pack(
        VERSION,
        record.kind,
        record.codec,
        session,
        record.record,
        record.epoch,
        record.sequence,
        record.time_ns,
        record.raw_bytes,
        len(record.payload),
    )


def link(before: bytes, record: Record, session: bytes) -> bytes:
    """Give a record's hash, 32 bytes.

    Args:
        before: The hash of the record before it.
        record: The record.
        session: What :func:`session_id` gave.
    """
    digest = hashlib.sha256(before)
    digest.update(header(record, session))
    digest.update(record.payload)
    return digest.digest()
