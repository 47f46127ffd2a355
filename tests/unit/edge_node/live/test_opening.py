"""What a session rests on, and what it does not hold on to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from edge_node.description import StreamKind
from edge_node.journal.entries import Snapped
from edge_node.live.config import read_session
from edge_node.live.leaving import Leaving
from edge_node.live.node import LiveNode
from edge_node.live.opening import _serving, open_parts
from tests.support.nodes import make_game
from triton_models.server import TritonServer


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


@pytest.mark.parametrize(("since_s", "grace_s"), [(None, 2.0), (3.0, 2.0), (9.0, 0.8), (9.9, 0.1)])
def test_a_server_of_its_own_has_what_is_left_of_the_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, since_s: float | None, grace_s: float
) -> None:
    servers: list[OwnServer] = []

    class OwnServer(TritonServer):
        """One that is started and stopped by nobody."""

        grpc_address = "127.0.0.1:1"

        def __enter__(self) -> Self:
            servers.append(self)
            return self

        def __exit__(self, *_: object) -> None:
            """End at once."""

    monkeypatch.setattr("triton_models.server.TritonServer", OwnServer)
    now_s = [100.0]
    leaving = Leaving(lambda: now_s[0])
    settings = read_session(make_game(tmp_path, seconds=1).file)
    seeing = replace(settings, models=replace(settings.models, triton=None))
    with _serving(seeing, print, leaving):
        if since_s is not None:
            leaving.begin()
            now_s[0] += since_s
    assert servers[0].stop_grace_s == pytest.approx(grace_s)
