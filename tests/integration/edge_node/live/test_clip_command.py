"""`tipoff clip` cuts a play out of a session's journal and ring, as a user does."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from edge_node.cameras.ring import FOLDER
from edge_node.journal.where import journals_folder, session_folder
from tests.support.cli import run_tipoff
from tests.support.filmed import film
from tests.support.journals import SESSION, START_NS, Play, opened, simulated

S = 1_000_000_000


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a game of two seconds in the journal, and 0.8 s of video of it."""
    home = tmp_path_factory.mktemp("state")
    journal = opened(session_folder(SESSION, journals_folder(home / "tipoff")))
    for entries in Play():
        journal.commit(entries)
    journal.close()
    film(home, home / "tipoff" / SESSION / FOLDER)
    return home


def test_a_play_is_cut_from_all_cameras(state: Path, tmp_path: Path) -> None:
    out = tmp_path / "play"
    told = run_tipoff(
        *("clip", SESSION, "--from", str(START_NS + S // 5), "--to", str(START_NS + S * 3 // 5)),
        *("--out", out, "--json"),
        env={"XDG_STATE_HOME": str(state)},
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    names = simulated().rig.names
    assert set(found["cameras"]) == set(names)
    # From the key frame at the start up to the end of the play.
    assert all(17 <= count <= 19 for count in found["cameras"].values())
    assert 10 <= found["drawn"] <= 14
    for name in (*names, "skeletons"):
        with av.open(str(out / f"{name}.mp4")) as container:
            assert sum(1 for _ in container.decode(video=0)) >= 10


def test_what_cannot_be_cut_says_why(state: Path, tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(state)}
    late = str(START_NS + 100 * S)
    for arguments, code, said in (
        (("nobody", "--last", "2"), 3, "there is no journal of session 'nobody'"),
        ((SESSION,), 2, "give --from and --to, or --last"),
        ((SESSION, "--from", "noon", "--to", late), 2, "no time with a zone"),
        ((SESSION, "--from", late, "--to", late), 2, "begins before it ends"),
        ((SESSION, "--from", late, "--to", late + "0"), 2, "after 2262"),
        ((SESSION, "--from", late, "--to", str(START_NS + 9999 * S)), 2, "takes at most"),
        ((SESSION, "--from", late, "--to", str(START_NS + 101 * S)), 3, "holds no video of that"),
    ):
        told = run_tipoff("clip", *arguments, "--out", tmp_path / "none", env=env)
        assert told.returncode == code, (arguments, told.stderr)
        assert said in told.stderr
        assert "Traceback" not in told.stderr
    assert not (tmp_path / "none").exists()
