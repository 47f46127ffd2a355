"""Which play `tipoff clip` cuts."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_node.cameras.clip import Play
from edge_node.journal.entries import Snapped
from edge_node.journal.reading import JournalReader
from edge_node.live.clip_cli import _play
from tests.support.journals import START_NS, opened

S = 1_000_000_000


@pytest.mark.parametrize("kind", ["live", "smoothed"])
def test_the_last_seconds_are_those_before_the_newest_snapshot_not_the_latest(
    tmp_path: Path, kind: str
) -> None:
    """The node's clock was set back by 500 s between two epochs."""
    for first_s in (1000, 500):
        journal = opened(tmp_path)
        for number in range(1, 11):
            time_ns = START_NS + (first_s + number) * S
            journal.commit([Snapped(kind, number, time_ns, bytes(32), b"")])
        journal.close()
    reader = JournalReader(tmp_path)
    play = _play(reader, smoothed=kind == "smoothed", from_text=None, to_text=None, last=4.0)
    assert play == Play(START_NS + 506 * S, START_NS + 510 * S)
