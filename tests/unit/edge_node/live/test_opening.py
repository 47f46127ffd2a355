"""What a session rests on, and what it does not hold on to."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_node.description import StreamKind
from edge_node.journal.entries import Snapped
from edge_node.live.config import read_session
from edge_node.live.node import LiveNode
from edge_node.live.opening import open_parts
from tests.support.nodes import make_game


def test_what_was_sent_before_is_held_by_the_hubs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five minutes of two streams stayed in memory for a node's whole life."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    settings = read_session(make_game(tmp_path, seconds=1).file)
    with open_parts(settings, print) as opened:
        snapped = [
            Snapped(kind, n, n * 20_000_000, bytes(32), b"as sent")
            for n in range(1, 11)
            for kind in ("live", "smoothed")
        ]
        opened.journal.commit(snapped)
    with open_parts(settings, print) as opened:
        recovered = opened.journal.recovered
        assert recovered is not None
        assert recovered.messages == {}
        assert recovered.calls == ()
        assert len(opened.resumed.past["live"]) == 10
        node = LiveNode(opened, lambda _node: None)
        assert opened.resumed.past == {}
        hub = node.hubs[StreamKind.LIVE]
        assert len(hub._ring._held) == 10
