"""Where a session goes on when the machine's clock was set back while it was down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_node.area import Everywhere
from edge_node.journal.journal import Journal
from edge_node.journal.verifying import verify
from edge_node.live import resume as resuming
from edge_node.live.resume import AHEAD_NS, Resumed, resume
from tests.support.journals import Play, facts, key, opened

FRAMES = 40


def resumed_at(folder: Path, behind_last_ns: int, monkeypatch: pytest.MonkeyPatch) -> Resumed:
    """Write a journal and go on with it so long after its last snapshot."""
    journal, play = opened(folder), Play(checkpoint_every=1000)
    for _ in range(FRAMES):
        journal.commit(play.next())
    last_ns = play.game.recording.capture_time_ns[FRAMES - 1].max()
    journal.close()
    again = opened(folder)
    assert again.recovered is not None
    assert again.recovered.last_time_ns is not None
    now_ns = again.recovered.last_time_ns + behind_last_ns
    assert now_ns > last_ns
    monkeypatch.setattr(resuming, "utc_ns", lambda: now_ns)
    done = resume(again, play.rig, facts().tracker, Everywhere())
    again.close()
    return done


@pytest.mark.parametrize("behind_last_ns", [30 * 10**9, -AHEAD_NS])
def test_it_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind_last_ns: int
) -> None:
    done = resumed_at(tmp_path, behind_last_ns, monkeypatch)
    assert done.last_time_ns is not None
    assert len(done.tracker.snapshot(done.last_time_ns)) > 0


def test_behind_a_snapshot_from_the_future_it_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = resumed_at(tmp_path, -3600 * 10**9, monkeypatch)
    # Nothing is refused for being older than what was sent.
    assert done.last_time_ns is None
    play = Play(done.tracker, epoch=2)
    play.next()
    assert len(done.past["live"]) == FRAMES
    assert verify(tmp_path).holds


def test_times_of_a_recording_are_no_clocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, play = replace(facts(), time_base="recording"), Play(checkpoint_every=1000)
    for epoch in range(2):
        journal = Journal.open(tmp_path, said, key())
        if not epoch:
            for _ in range(FRAMES):
                journal.commit(play.next())
            journal.close()
    monkeypatch.setattr(resuming, "utc_ns", lambda: 0)
    assert resume(journal, play.rig, said.tracker, Everywhere()).last_time_ns is not None
    journal.close()
