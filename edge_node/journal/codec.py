"""From entries to the payloads of records and back.

Little-endian throughout. Floats are shuffled before they are packed (all first bytes, then all
second ones, ...), because signs and exponents repeat and mantissas do not. What packing does not
make smaller is stored as it is.
"""

from __future__ import annotations

import json
import struct
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from edge_node.journal.chain import MAX_PAYLOAD_BYTES
from edge_node.journal.entries import (
    Checkpointed,
    Dropped,
    Ended,
    Observed,
    Opened,
    Restarted,
    Snapped,
    StateChanged,
)
from edge_node.journal.errors import JournalDamagedError
from edge_node.journal.facts import canonical_json, facts_from_json, facts_to_json
from tipoff.errors import InvalidInputError, TipoffError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_node.journal.chain import Record
    from edge_node.journal.entries import Entry

_ZSTD = pa.Codec("zstd", compression_level=1)
_FLOAT_BYTES = 4
_UNDECODABLE = (ValueError, KeyError, struct.error, OSError, TypeError, RecursionError)
"""What a payload raises that holds no entry."""


class Kind(IntEnum):
    """What a record holds."""

    OPENED = 1
    OBSERVED = 2
    DROPPED = 3
    LIVE = 4
    CHECKPOINTED = 5
    STATE = 6
    ENDED = 7
    RESTARTED = 8
    SMOOTHED = 9


STREAMS = {"live": Kind.LIVE, "smoothed": Kind.SMOOTHED}
"""What holds the snapshots of each stream."""


class Codec(IntEnum):
    """How a payload is packed."""

    PLAIN = 0
    ZSTD = 1
    SHUFFLED_ZSTD = 2


class Encoded(NamedTuple):
    """An entry ready to be stored."""

    kind: Kind
    codec: Codec
    sequence: int
    time_ns: int
    raw_bytes: int
    payload: bytes


_OBSERVED = struct.Struct("<HBxqIHH")
"""Camera, flags (1 accepted, 2 asked is given), capture time, N, J, identities asked."""
_ACCEPTED, _ASKED = 1, 2
_DROPPED = struct.Struct("<H2xq")
_SNAPPED = struct.Struct("<Qq32s")


def encode(entry: Entry, packing: Codec | None = None) -> Encoded:
    """Pack an entry.

    Args:
        entry: The entry.
        packing: How; None: the way that suits its kind.

    Raises:
        InvalidInputError: It is larger than a record may be, or holds what has no place there.
    """
    kind, sequence, time_ns, codec, raw = _raw(entry)
    if len(raw) > MAX_PAYLOAD_BYTES:
        raise InvalidInputError(
            f"an entry of {len(raw)} bytes is larger than a record may be"
            f" ({MAX_PAYLOAD_BYTES} bytes)"
        )
    codec = codec if packing is None else packing
    packed = _pack(codec, raw)
    if len(packed) < len(raw):
        return Encoded(kind, codec, sequence, time_ns, len(raw), packed)
    return Encoded(kind, Codec.PLAIN, sequence, time_ns, len(raw), raw)


def decode(record: Record) -> Entry:
    """Unpack a record whose hash has been checked.

    Raises:
        JournalDamagedError: It holds no entry.
    """
    try:
        return _DECODERS[Kind(record.kind)](_unpack(record))
    except (*_UNDECODABLE, TipoffError) as error:
        raise JournalDamagedError(
            f"record {record.record} holds no entry: {error}; a later version may have written it",
            record=record.record,
        ) from error


def _raw(  # noqa: PLR0911 - one for each entry
    entry: Entry,
) -> tuple[Kind, int, int, Codec, bytes]:
    match entry:
        case Observed():
            time_ns = entry.capture_time_ns
            return Kind.OBSERVED, 0, time_ns, Codec.SHUFFLED_ZSTD, _observed(entry)
        case Snapped():
            head = _SNAPPED.pack(entry.sequence, entry.time_ns, _digest(entry.digest))
            raw = head + entry.message
            return _stream(entry.kind), entry.sequence, entry.time_ns, Codec.SHUFFLED_ZSTD, raw
        case Dropped():
            raw = _DROPPED.pack(entry.camera, entry.capture_time_ns) + entry.reason.encode()
            return Kind.DROPPED, 0, entry.capture_time_ns, Codec.ZSTD, raw
        case Checkpointed():
            return Kind.CHECKPOINTED, 0, 0, Codec.ZSTD, bytes(entry.checkpoint)
        case Restarted():
            return Kind.RESTARTED, 0, 0, Codec.ZSTD, canonical_json({"reason": entry.reason})
        case StateChanged():
            value = {"name": entry.name, "value": dict(entry.value)}
            return Kind.STATE, 0, 0, Codec.ZSTD, canonical_json(value)
        case Ended():
            value = {"reason": entry.reason, "detail": entry.detail}
            return Kind.ENDED, 0, 0, Codec.ZSTD, canonical_json(value)
        case Opened():
            return Kind.OPENED, 0, 0, Codec.ZSTD, canonical_json(_opened(entry))


def _opened(entry: Opened) -> dict[str, Any]:
    return {
        "facts": facts_to_json(entry.facts),
        "public_key": entry.public_key.hex(),
        "continues": entry.continues,
        "begins_epoch": entry.begins_epoch,
        "cut": entry.cut,
    }


def _stream(kind: str) -> Kind:
    if kind not in STREAMS:
        raise InvalidInputError(f"a snapshot is of kind {kind!r}; give one of {', '.join(STREAMS)}")
    return STREAMS[kind]


def _digest(digest: bytes) -> bytes:
    if len(digest) != 32:
        raise InvalidInputError(f"a snapshot's digest has {len(digest)} bytes; it has 32")
    return digest


def _observed(entry: Observed) -> bytes:
    points = np.ascontiguousarray(entry.keypoints, "<f4")
    if points.ndim != 3 or points.shape[2] != 3:
        raise InvalidInputError(f"keypoints have shape {points.shape}; give (N, J, 3)")
    asked = np.array(entry.asked or (), "<i8")
    flags = (_ACCEPTED if entry.accepted else 0) | (0 if entry.asked is None else _ASKED)
    head = _OBSERVED.pack(
        entry.camera,
        flags,
        entry.capture_time_ns,
        points.shape[0],
        points.shape[1],
        len(asked),
    )
    return head + asked.tobytes() + points.tobytes()


def _pack(codec: Codec, raw: bytes) -> bytes:
    if codec is Codec.PLAIN:
        return raw
    plain = _shuffle(raw) if codec is Codec.SHUFFLED_ZSTD else raw
    packed: bytes = _ZSTD.compress(plain, asbytes=True)
    return packed


def _unpack(record: Record) -> bytes:
    codec = Codec(record.codec)
    if not 0 <= record.raw_bytes <= MAX_PAYLOAD_BYTES:
        raise ValueError(f"it claims {record.raw_bytes} bytes")
    if codec is Codec.PLAIN:
        return record.payload
    raw: bytes = _ZSTD.decompress(record.payload, record.raw_bytes, asbytes=True)
    return _unshuffle(raw) if codec is Codec.SHUFFLED_ZSTD else raw


def _shuffle(raw: bytes) -> bytes:
    """Put the first bytes of all groups of four first, and so on; a rest stays at the end."""
    whole = len(raw) // _FLOAT_BYTES * _FLOAT_BYTES
    groups = np.frombuffer(raw, np.uint8, whole).reshape(-1, _FLOAT_BYTES)
    return groups.T.tobytes() + raw[whole:]


def _unshuffle(shuffled: bytes) -> bytes:
    whole = len(shuffled) // _FLOAT_BYTES * _FLOAT_BYTES
    groups = np.frombuffer(shuffled, np.uint8, whole).reshape(_FLOAT_BYTES, -1)
    return groups.T.tobytes() + shuffled[whole:]


def _read_observed(raw: bytes) -> Observed:
    camera, flags, time_ns, people, joints, asked = _OBSERVED.unpack_from(raw)
    first = _OBSERVED.size + 8 * asked
    identities = np.frombuffer(raw, "<i8", asked, _OBSERVED.size)
    points = np.frombuffer(raw, "<f4", people * joints * 3, first)
    if len(raw) != first + points.nbytes:
        raise ValueError(f"it has {len(raw)} bytes and says {first + points.nbytes}")
    return Observed(
        camera,
        time_ns,
        points.reshape(people, joints, 3).astype(np.float32, copy=False),
        tuple(identities.tolist()) if flags & _ASKED else None,
        bool(flags & _ACCEPTED),
    )


def _read_snapped(stream: str, raw: bytes) -> Snapped:
    sequence, time_ns, digest = _SNAPPED.unpack_from(raw)
    return Snapped(stream, sequence, time_ns, digest, raw[_SNAPPED.size :])


def _read_dropped(raw: bytes) -> Dropped:
    camera, time_ns = _DROPPED.unpack_from(raw)
    return Dropped(camera, time_ns, raw[_DROPPED.size :].decode())


def _read_opened(raw: bytes) -> Opened:
    value = json.loads(raw)
    return Opened(
        facts_from_json(value["facts"]),
        bytes.fromhex(value["public_key"]),
        bool(value["continues"]),
        bool(value["begins_epoch"]),
        str(value["cut"]),
    )


def _read_state(raw: bytes) -> StateChanged:
    value = json.loads(raw)
    return StateChanged(str(value["name"]), dict(value["value"]))


def _read_ended(raw: bytes) -> Ended:
    value = json.loads(raw)
    return Ended(str(value["reason"]), str(value["detail"]))


_DECODERS: dict[Kind, Callable[[bytes], Entry]] = {
    Kind.OPENED: _read_opened,
    Kind.OBSERVED: _read_observed,
    Kind.DROPPED: _read_dropped,
    Kind.LIVE: partial(_read_snapped, "live"),
    Kind.SMOOTHED: partial(_read_snapped, "smoothed"),
    Kind.CHECKPOINTED: Checkpointed,
    Kind.STATE: _read_state,
    Kind.ENDED: _read_ended,
    Kind.RESTARTED: lambda raw: Restarted(str(json.loads(raw)["reason"])),
}
