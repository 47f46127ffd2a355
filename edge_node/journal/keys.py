"""The node's key: what the heads of its journals are signed with.

It lies in the node's state folder, readable for its owner alone, and never leaves it; what others
need is the public key, which stands in every stream's header.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from tipoff.errors import ConflictError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "node.key"
OTHERS = 0o077


class NodeKey:
    """An Ed25519 key pair.

    Args:
        private: The key.
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        """The public key, 32 bytes."""

    @classmethod
    def generate(cls) -> NodeKey:
        """Make a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def of_folder(cls, folder: Path) -> NodeKey:
        """Read the key in a folder; make one where there is none.

        Raises:
            ConflictError: It cannot be read or written, is none, or others may read it.
        """
        path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _write(path, cls.generate())
            if path.stat().st_mode & OTHERS:
                raise ConflictError(
                    f"the node's key {path} can be read by others: `chmod 600 {path}`, or move it "
                    "away and a new one is made",
                    path=str(path),
                )
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise ConflictError(
                f"the node's key {path} cannot be used: {error}; make its folder writable, or move "
                "it away where it is damaged and a new one is made",
                path=str(path),
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConflictError(
                f"the key in {path} is no Ed25519 key; move it away and a new one is made",
                path=str(path),
            )
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        """Give the signature, 64 bytes."""
        return self._private.sign(message)

    def pem(self) -> bytes:
        """Give the private key as PEM (PKCS #8)."""
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether a signature over a message was made with the key of ``public``."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _write(path: Path, key: NodeKey) -> None:
    """Write a key whole, or not at all, and never over one that is there."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key.pem())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:
            return
    finally:
        part.unlink(missing_ok=True)
