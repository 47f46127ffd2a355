"""`python -m bench suite=plan` as a user runs it, on a short game."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 300.0


def run_plan(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "suite=plan", *arguments, f"out={out}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=DEADLINE_S,
    )


def test_a_small_run_meets_its_targets_and_leaves_its_table(tmp_path: Path) -> None:
    done = run_plan(
        tmp_path,
        "rig.cameras=[4]",
        "workload.people=[6]",
        "suite.frames=180",
        "suite.searched_px=[]",
        "suite.speedups=[2]",
        "seed=28",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.rglob("result.json")
    found = json.loads(path.read_text("utf-8"))
    rows = {row["policy"]: row for row in found["tables"][0]["rows"]}
    assert list(rows) == ["search 640 px", "turns 1/2", "bursts 1/2", "planned 1/2"]
    assert rows["search 640 px"]["inference_ms"] == 4 * 89.0
    assert rows["planned 1/2"]["times_as_fast"] > 1.9
    assert rows["planned 1/2"]["error_mm"] < 1.1 * rows["search 640 px"]["error_mm"]
    reasons = found["details"]["4 cameras, planned 1/2"]["reasons"]
    assert reasons["due"] > 0
    assert reasons["uncertain"] + reasons["fresh"] > 0


def test_a_detector_of_unknown_cost_is_refused(tmp_path: Path) -> None:
    done = run_plan(tmp_path, "suite.input_px=500")
    assert done.returncode == 2
    assert "500 px" in done.stderr
    assert "Traceback" not in done.stderr
