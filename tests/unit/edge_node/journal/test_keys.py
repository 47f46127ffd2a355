"""The node's key and the heads that it signs."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge_node.journal.heads import SignedHead, Tip, sign
from edge_node.journal.keys import FILE, NodeKey, verifies
from tipoff.errors import ConflictError, InvalidInputError


def test_a_folder_keeps_one_key_for_its_owner_alone(tmp_path: Path) -> None:
    first, second = NodeKey.of_folder(tmp_path / "state"), NodeKey.of_folder(tmp_path / "state")
    assert first.public == second.public
    assert stat.S_IMODE((tmp_path / "state" / FILE).stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "state").iterdir()] == [FILE]
    assert NodeKey.of_folder(tmp_path / "other").public != first.public


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    NodeKey.of_folder(tmp_path)
    (tmp_path / FILE).chmod(0o640)
    with pytest.raises(ConflictError, match="chmod 600"):
        NodeKey.of_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nMC4=\n"])
def test_a_damaged_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConflictError, match=str(path)):
        NodeKey.of_folder(tmp_path)
    assert path.read_bytes() == content


def test_a_head_holds_only_as_it_was_signed() -> None:
    key = NodeKey.generate()
    head = sign(key, "finals", Tip(7, bytes(range(32))), 1_000)
    assert head.holds
    changes: list[dict[str, object]] = [
        {"session": "final"},
        {"record": 8},
        {"hash": bytes(32)},
        {"signed_ns": 1_001},
        {"signature": bytes(64)},
        {"public_key": NodeKey.generate().public},
        {"public_key": b"short"},
    ]
    for change in changes:
        assert not dataclasses.replace(head, **change).holds, change  # type: ignore[arg-type]


def test_the_signature_is_laid_out_as_documented() -> None:
    """Anybody can check it with Ed25519 alone."""
    key = NodeKey.generate()
    head = sign(key, "finäls", Tip(258, bytes(range(32))), 1_700_000_000_000_000_000)
    message = (
        b"tipoff journal head 1\n"
        + (7).to_bytes(4, "little")
        + "finäls".encode()
        + (258).to_bytes(8, "little")
        + bytes(range(32))
        + (1_700_000_000_000_000_000).to_bytes(8, "little")
    )
    Ed25519PublicKey.from_public_bytes(head.public_key).verify(head.signature, message)
    assert verifies(head.public_key, head.signature, message)


def test_a_head_comes_back_from_json() -> None:
    head = sign(NodeKey.generate(), "finals", Tip(7, bytes(32)), 1_000)
    assert SignedHead.from_json(json.dumps(head.to_json())) == head


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"session": 1, "record": "x"}'])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="no signed head"):
        SignedHead.from_json(text)
