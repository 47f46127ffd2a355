"""Which play `tipoff clip` cuts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_node.cameras.clip import Play
from edge_node.cameras.ring import FOLDER, RingOptions
from edge_node.cameras.segments import segments
from edge_node.journal.entries import Snapped
from edge_node.journal.reading import JournalReader
from edge_node.journal.where import journals_folder, session_folder
from edge_node.live.clip_cli import _play, clip, plays_of, snapshots_of
from tests.support import journals
from tests.support.filmed import FRAMES, film
from tests.support.journals import SESSION, START_NS, opened, simulated

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


def _play_game(folder: Path, epoch: int, frame_sets: int) -> None:
    journal, play = opened(folder), journals.Play(epoch=epoch)
    for _ in range(frame_sets):
        journal.commit(play.next())
    journal.close()


def _clip(out: Path, *when: object) -> Result:
    arguments = [SESSION, *map(str, when), "--live", "--out", str(out), "--json"]
    return CliRunner().invoke(clip, arguments)


def test_a_time_that_a_clock_gave_twice_is_cut_and_drawn_of_one_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node's clock was set back between two epochs, to the beginning of the first."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = session_folder(SESSION, journals_folder(tmp_path / "tipoff"))
    ring = tmp_path / "tipoff" / SESSION / FOLDER
    for epoch, frame_sets in ((1, 60), (2, 12)):
        _play_game(folder, epoch, frame_sets)
        film(tmp_path, ring, RingOptions(epoch=epoch))
    play = Play(START_NS, START_NS + S)
    newest, oldest = plays_of(JournalReader(folder), play, smoothed=False)
    drawn = [
        len(list(snapshots_of(JournalReader(folder), each, smoothed=False)))
        for each in (newest, oldest)
    ]
    assert drawn == [12, 60]

    when = ("--from", play.from_ns, "--to", play.to_ns)
    told = _clip(tmp_path / "newest", *when)
    assert told.exit_code == 0, told.stderr
    assert "2 plays of that time" in told.stderr
    found = json.loads(told.stdout)
    assert found["plays_of_that_time"] == 2
    assert set(found["cameras"].values()) == {FRAMES}
    assert found["drawn"] <= 12

    for name in simulated().rig.names:
        for segment in segments(ring, name):
            if segment.epoch == 2:
                segment.path.unlink()
    told = _clip(tmp_path / "oldest", *when)
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert set(found["cameras"].values()) == {FRAMES}
    assert found["drawn"] > 12

    # The last seconds are never those of an older epoch.
    assert "holds no video of that time" in str(_clip(tmp_path / "none", "--last", 1).exception)
    shutil.rmtree(ring)
    assert "holds no video of that time" in str(_clip(tmp_path / "none", *when).exception)
    assert not (tmp_path / "none").exists()


def test_a_node_that_only_started_again_has_one_play(tmp_path: Path) -> None:
    for epoch in range(2):
        journal = opened(tmp_path)
        for number in range(1, 11):
            time_ns = START_NS + (10 * epoch + number) * S
            journal.commit([Snapped("live", number, time_ns, bytes(32), b"")])
        journal.close()
    (play,) = plays_of(JournalReader(tmp_path), Play(START_NS, START_NS + 15 * S), smoothed=False)
    assert all(play.may_hold(epoch) for epoch in range(4))
    outside = Play(START_NS - 2 * S, START_NS - S)
    assert plays_of(JournalReader(tmp_path), outside, smoothed=False) == [outside]
