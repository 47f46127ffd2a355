"""`make demo` from a full cache: what it promises of the two clips."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from edge_node.demo import fetch_clips

FRAMES = 100
FILES = ["overlay.mp4", "report.html", "summary.json", "tracks.parquet"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo's folder, and what it printed."""
    fetch_clips()
    out = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "edge_node.demo", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return out, done.stdout


Shown = tuple[Path, str]


def summary_of(shown: Shown, clip: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((shown[0] / clip / "summary.json").read_text())
    return value


def test_two_players_have_one_id_each_from_the_first_frame_to_the_last(shown: Shown) -> None:
    summary = summary_of(shown, "two-person")
    whole = [t for t in summary["tracks"] if t["snapshots"] == FRAMES]
    assert summary["frames"] == FRAMES
    assert len(whole) >= 2
    assert len(summary["tracks"]) <= 3
    assert summary["reprojection_px"]["median"] <= 12.0


def test_the_one_person_is_one_track_with_limbs_that_do_not_stretch(shown: Shown) -> None:
    summary = summary_of(shown, "one-person")
    (track,) = summary["tracks"]
    assert track["snapshots"] == FRAMES
    assert summary["reprojection_px"]["median"] <= 13.0
    assert summary["limb_length_variation"] <= 0.05


def test_all_files_lie_where_the_table_says(shown: Shown) -> None:
    out, printed = shown
    for clip in ("two-person", "one-person"):
        assert sorted(path.name for path in (out / clip).iterdir()) == FILES
        assert str(out / clip) in printed
        table = pq.read_table(out / clip / "tracks.parquet")
        assert len(set(table["time_ns"].to_pylist())) == FRAMES


def test_the_watching_client_missed_nothing(shown: Shown) -> None:
    assert "100 snapshots, 0 missed, tracks 1" in shown[1]
