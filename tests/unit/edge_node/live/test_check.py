"""`tipoff node check` shows what was understood and what is missing, and no credential."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.cli import run_tipoff
from tests.support.observations import make_recording

CAMERAS = ("a", "b", "c")
RIG = """\
[{name}]
name = "{name}"
size = [640, 360]
matrix = [[600.0, 0.0, 320.0], [0.0, 600.0, 180.0], [0.0, 0.0, 1.0]]
distortions = [0.0, 0.0, 0.0, 0.0, 0.0]
rotation = [1.5, 0.1, {turn}]
translation = [0.0, 0.0, 8.0]
"""
SESSION = """\
name = "rehearsal"
state = "state"
rig = "rig.toml"
[cameras]
a = "game.parquet"
b = "game.parquet"
"""


def write(folder: Path, session: str) -> Path:
    rig = "".join(RIG.format(name=name, turn=n) for n, name in enumerate(CAMERAS))
    (folder / "rig.toml").write_text(rig)
    make_recording(folder / "game.parquet", ("a", "b"), 10)
    path = folder / "game.toml"
    path.write_text(session)
    return path


def test_a_session_that_can_run(tmp_path: Path) -> None:
    ran = run_tipoff("node", "check", write(tmp_path, SESSION))
    assert ran.returncode == 0, ran.stderr
    assert "rehearsal on node" in ran.stdout
    assert "none: every camera brings its people along" in ran.stdout
    assert "note: without a source: c" in ran.stdout
    assert ran.stderr == ""


def test_what_is_missing_is_told_and_nothing_secret(tmp_path: Path) -> None:
    url = 'a = "rtsp://${CAM_USER}:${CAM_PASSWORD}@h/a?token=${CAM_USER}"'
    session = SESSION.replace('a = "game.parquet"', url).replace("b =", "c =") + 'x = "x.mp4"\n'
    path = write(tmp_path, session)
    env = {"CAM_USER": "hush", "CAM_PASSWORD": ""}
    ran = run_tipoff("node", "check", path, env=env)
    assert ran.returncode == 2
    assert "a: CAM_PASSWORD is not set in the environment" in ran.stderr
    assert "names x, which the rig does not have" in ran.stderr
    assert "x.mp4 cannot be read as a video" in ran.stderr
    assert "has no camera c; it has a, b" in ran.stderr
    assert "rtsp://***@h/a?***" in ran.stdout
    as_json = run_tipoff("node", "check", path, "--json", env=env)
    told = json.loads(as_json.stdout)
    assert told["settings"]["cameras"][0]["source"] == "rtsp://***@h/a?***"
    assert len(told["problems"]) >= 4
    for each in (ran, as_json):
        assert "hush" not in each.stdout + each.stderr
        assert "${" not in each.stdout


def test_a_broken_file_exits_with_its_line(tmp_path: Path) -> None:
    ran = run_tipoff("node", "check", write(tmp_path, "name = 1\n"))
    assert ran.returncode == 2
    assert "game.toml:1: name: must be a text" in ran.stderr
    assert "Traceback" not in ran.stderr
