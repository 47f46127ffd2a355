r"""Signed heads: whatever was before one can no longer be changed unseen.

What is signed, little-endian:

    "tipoff journal head 1\n" || u32 length of session || session || u64 record || hash || i64 ns
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_node.journal.chain import HASH_BYTES
from edge_node.journal.keys import verifies
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from edge_node.journal.keys import NodeKey

_PREFIX = b"tipoff journal head 1\n"
_SIGNATURE_BYTES = 64
_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError, struct.error)
"""What JSON raises that holds no head, or numbers that no head has."""


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A point of the chain, signed by the node."""

    session: str
    """Session whose journal it is."""
    record: int
    """Number of the newest record."""
    hash: bytes
    """Its hash, 32 bytes."""
    signed_ns: int
    """When it was signed, ns UTC."""
    signature: bytes
    """Ed25519, 64 bytes."""
    public_key: bytes
    """Whose signature it is, 32 bytes."""

    @property
    def holds(self) -> bool:
        """Whether the signature is one of :attr:`public_key`."""
        return verifies(self.public_key, self.signature, signed_message(self))

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON, bytes in hexadecimal."""
        return {
            "session": self.session,
            "record": self.record,
            "hash": self.hash.hex(),
            "signed_ns": self.signed_ns,
            "signature": self.signature.hex(),
            "public_key": self.public_key.hex(),
        }

    @classmethod
    def from_json(cls, text: str | bytes) -> SignedHead:
        """Read what :meth:`to_json` gave.

        Raises:
            InvalidInputError: It was not that.
        """
        try:
            value = json.loads(text)
            head = cls(
                str(value["session"]),
                int(value["record"]),
                bytes.fromhex(value["hash"]),
                int(value["signed_ns"]),
                bytes.fromhex(value["signature"]),
                bytes.fromhex(value["public_key"]),
            )
            signed_message(head)
        except _UNREADABLE as error:
            raise InvalidInputError(
                f"this is no signed head: {error!r}; `tipoff journal export` writes some"
            ) from error
        if len(head.hash) != HASH_BYTES or len(head.signature) != _SIGNATURE_BYTES:
            raise InvalidInputError("this is no signed head: its hash or signature is cut short")
        return head


def signed_message(head: SignedHead) -> bytes:
    """Lay out what is signed."""
    name = head.session.encode("utf-8", "surrogatepass")
    size = struct.pack("<I", len(name))
    record = struct.pack("<Q", head.record)
    return _PREFIX + size + name + record + head.hash + struct.pack("<q", head.signed_ns)


@dataclass(frozen=True, slots=True)
class Tip:
    """A point of the chain."""

    record: int
    """Number of the record; 0 before the first."""
    hash: bytes
    """Its hash, 32 bytes."""


def sign(key: NodeKey, session: str, tip: Tip, now_ns: int) -> SignedHead:
    """Sign a point of the chain."""
    unsigned = SignedHead(session, tip.record, tip.hash, now_ns, b"", key.public)
    signature = key.sign(signed_message(unsigned))
    return SignedHead(session, tip.record, tip.hash, now_ns, signature, key.public)
