"""`python -m bench suite=pipeline`, small, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from edge_node.demo import fetch_clips

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("suite.turns=1", "suite.max_frames=16", "suite.clips=[one-person]")


def run_bench(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "suite=pipeline", *arguments, f"out={out}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=dict(os.environ),
        timeout=280,
    )


def test_a_small_run_compares_the_loop_on_and_off(tmp_path: Path) -> None:
    fetch_clips()
    done = run_bench(tmp_path, *SMALL)
    # So few frames are mostly searches: the targets of speed are for whole clips.
    assert done.returncode in (0, 1), done.stderr
    (path,) = tmp_path.rglob("result.json")
    found = json.loads(path.read_text("utf-8"))
    whole, stages, against = found["tables"]
    assert [(row["clip"], row["loop"]) for row in whole["rows"]] == [
        ("one-person", "on"),
        ("one-person", "off"),
    ]
    on, off = whole["rows"]
    assert on["tracks"] == off["tracks"] == "1"
    assert on["frames_searched"] < off["frames_searched"] == 64
    assert all(row["frames_per_s"] > 0 for row in whole["rows"])
    assert {"decode", "detect", "track", "server"} <= set(stages["rows"][1])
    assert against["rows"][0]["pose_model"] == "multipose"
    assert found["config"]["suite"]["max_frames"] == 16


def test_a_clip_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = run_bench(tmp_path, "suite.clips=[three-person]")
    assert done.returncode == 2
    assert "three-person" in done.stderr
