"""suite=streams without a network: layouts hold the same numbers, a feed numbers without holes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.streams.feed import JOINTS, Commit, Feed, describe, make_frames
from bench.streams.layouts import (
    LAYOUTS,
    decode_nested,
    decode_packed,
    head,
    nested,
    packed,
    packed_by_protobuf,
)
from bench.suites.streams import Config
from edge_node.encoding import encode_heartbeat
from edge_node.frames import NodeState
from edge_node.hub import Hub
from tests.support.streams import wait_until
from tipoff.errors import InvalidInputError


def test_both_layouts_hold_the_same_numbers() -> None:
    frame = make_frames(13, 0)[0]
    one = decode_packed(packed(frame, 1, 2), len(JOINTS))
    assert decode_nested(nested(frame, 1, 2), len(JOINTS)) == pytest.approx(one, rel=1e-5)
    assert decode_packed(packed_by_protobuf(frame, 1, 2), len(JOINTS)) == one


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("sequence", [1, 127, 128, 2**40])
def test_a_subscriber_finds_the_time_in_either_layout(layout: str, sequence: int) -> None:
    frame = make_frames(2, 0)[0]
    assert head(LAYOUTS[layout](frame, sequence, 2**60)) == (1, sequence, 1, 2**60)


def test_what_is_no_snapshot_has_no_head() -> None:
    assert head(encode_heartbeat(1, 2, 3, NodeState(), None)) is None


def test_a_feed_writes_at_its_beat_and_commits_everything(tmp_path: Path) -> None:
    hub = Hub(describe())
    commit = Commit(tmp_path / "commits.sqlite")
    feed = Feed(hub, make_frames(2, 0), packed, commit, 200.0)
    wait_until(lambda: hub.newest >= 20, "the feed has written")
    spent = feed.close()
    commit.close()
    assert len(spent.commits_ms) == hub.newest
    assert [held.sequence for held in hub.read(1, 1000)] == list(range(1, hub.newest + 1))


@pytest.mark.parametrize(
    "options",
    [{"layouts": ["flat"]}, {"subscribers": [0]}, {"seconds": 0.1}, {"rate_hz": 0.0}],
)
def test_what_cannot_be_measured_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        Config(**options)  # type: ignore[arg-type]
