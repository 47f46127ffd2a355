"""Runs the command line as a user does: a process of its own, its output taken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

DEADLINE_S = 120.0


def tipoff_command() -> str:
    """Name the `tipoff` program of the environment that runs the tests."""
    return str(Path(sys.executable).with_name("tipoff"))


def run_tipoff(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline_s: float = DEADLINE_S,
) -> subprocess.CompletedProcess[str]:
    """Run `tipoff ARGUMENTS` to its end and take its output; the exit code is the caller's."""
    return subprocess.run(
        [tipoff_command(), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        timeout=deadline_s,
    )
