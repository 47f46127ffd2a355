"""`python -m bench suite=game` as a user runs it, small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("suite=game", "rig=court4", "workload.people=[2]", "suite.frames=96", "suite.learn_s=2")


def run_bench(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments, f"out={out}"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300
    )


def test_game_leaves_a_table_and_a_json(tmp_path: Path) -> None:
    done = run_bench(tmp_path, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "mpjpe" in done.stdout
    (path,) = tmp_path.rglob("result.json")
    found = json.loads(path.read_text("utf-8"))
    accuracy, cost = (table["rows"][0] for table in found["tables"])
    assert accuracy["mpjpe_mm"] < 30
    assert accuracy["definite"] == 1.0
    assert cost["joints"] == 96 * 2 * 17
    assert 0 < cost["peak_mib"] < 1024
    assert cost["game_min"] > 0


def test_memory_need_not_be_measured(tmp_path: Path) -> None:
    done = run_bench(tmp_path, *SMALL, "suite.body=false", "suite.order=2", "suite.memory=false")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.rglob("result.json")
    found = json.loads(path.read_text("utf-8"))
    assert found["tables"][1]["rows"][0]["peak_mib"] is None


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    done = run_bench(tmp_path, "suite=game", "suite.order=7")
    assert done.returncode == 2
    assert "order" in done.stderr
    assert "Traceback" not in done.stderr
