"""Signed heads as JSON: whatever else it is, is told."""

from __future__ import annotations

import json

import pytest

from edge_node.journal.heads import SignedHead, Tip, sign
from tests.support.journals import SESSION, START_NS, key
from tipoff.errors import InvalidInputError


@pytest.mark.parametrize(
    "changed",
    [
        {"record": -1},
        {"record": 2**64},
        {"record": float("inf")},
        {"signed_ns": 2**63},
        {"hash": "00"},
        {"signature": 7},
        {"public_key": None},
    ],
)
def test_what_is_no_head_is_told(changed: dict[str, object]) -> None:
    head = sign(key(), SESSION, Tip(1, bytes(32)), START_NS).to_json()
    assert SignedHead.from_json(json.dumps(head)).holds
    with pytest.raises(InvalidInputError, match="this is no signed head"):
        SignedHead.from_json(json.dumps({**head, **changed}))


def test_what_is_nested_without_end_is_no_head() -> None:
    with pytest.raises(InvalidInputError, match="this is no signed head"):
        SignedHead.from_json("[" * 200_000)
