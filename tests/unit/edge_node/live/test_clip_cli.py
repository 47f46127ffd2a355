"""Which play `tipoff clip` cuts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_node.cameras.ring import FOLDER, RingOptions
from edge_node.cameras.segments import segments
from edge_node.journal.codec import Kind
from edge_node.journal.parts import Span, parts
from edge_node.journal.reading import JournalReader
from edge_node.journal.where import journals_folder, session_folder
from edge_node.live.clip_cli import clip, snapshots_of
from tests.support import journals
from tests.support.filmed import FRAMES, film
from tests.support.journals import SESSION, START_NS, opened, simulated

S = 1_000_000_000


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
    reader = JournalReader(folder)
    newest, oldest = parts(reader, Kind.LIVE, Span(START_NS, START_NS + S))
    drawn = [len(list(snapshots_of(reader, Kind.LIVE, part))) for part in (newest, oldest)]
    assert drawn == [12, 60]

    when = ("--from", START_NS, "--to", START_NS + S)
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
