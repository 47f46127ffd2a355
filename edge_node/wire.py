"""Protobuf's wire format for what is too long to go through Python's lists.

Packed arrays go from NumPy's memory straight into the message, as the format is documented
(protobuf.dev/programming-guides/encoding); everything else stays protobuf's own work. A test
compares the bytes with protobuf's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LENGTH_DELIMITED = 2
"""Wire type of messages and packed arrays."""
_ONE_BYTE = 128
"""The first number whose varint takes more than a byte."""


def floats(values: NDArray[Any]) -> bytes:
    """Lay numbers out as protobuf packs floats: little-endian, 32 bit."""
    return values.astype("<f4").tobytes()


def varints(values: NDArray[np.int32]) -> bytes:
    """Lay numbers from 0 on out as protobuf packs integers; a negative one is a ValueError."""
    if not values.size or (int(values.min()) >= 0 and int(values.max()) < _ONE_BYTE):
        return values.astype(np.uint8).tobytes()
    return b"".join(varint(value) for value in values.ravel().tolist())


def varint(value: int) -> bytes:
    """Lay a number out seven bits to a byte, the lowest first; all but the last have bit 7 set."""
    encoded = bytearray()
    while value >= _ONE_BYTE:
        encoded.append(value % _ONE_BYTE + _ONE_BYTE)
        value //= _ONE_BYTE
    encoded.append(value)
    return bytes(encoded)


def packed(field: int, payload: bytes) -> tuple[bytes, ...]:
    """Give a packed array as protobuf writes it: tag, length, numbers; nothing where it is empty.

    That is the documented wire format (protobuf.dev/programming-guides/encoding). Every other field
    is protobuf's own work, and fields lie in the order of their numbers, as it would lay them.
    """
    if not payload:
        return ()
    return varint(field << 3 | _LENGTH_DELIMITED), varint(len(payload)), payload


def message(field: int, parts: tuple[bytes, ...]) -> bytes:
    """Give a message, laid out in parts, as the field of another one."""
    length = varint(sum(len(part) for part in parts))
    return b"".join((varint(field << 3 | _LENGTH_DELIMITED), length, *parts))
