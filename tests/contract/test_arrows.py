"""The arrows of the house run one way: who may import whom, read off the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("accel", "bench", "control_plane", "edge_node", "tests", "tipoff", "triton_models")

ALLOWED = {
    "accel": {"accel", "tipoff.errors"},
    "control_plane": {"control_plane", "tipoff"},
    "edge_node": {"accel", "edge_node", "tipoff", "triton_models"},
    "tipoff": {"tipoff"},
    "triton_models": {"accel", "tipoff.errors", "triton_models"},
}
"""What each room may import of the house."""

COMMANDS = {
    "accel/cli.py": {"tipoff.console"},
    "triton_models/cli.py": {"tipoff.console"},
    "triton_models/weights/cli.py": {"tipoff.console"},
}
"""What a room's commands may import besides."""

HEAVY = {
    "av",
    "cv2",
    "grpc",
    "hydra",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "rich",
    "structlog",
    "tritonclient",
}
"""What no command may load before it runs, since `tipoff --help` loads them all."""


def _sources(room: str) -> list[Path]:
    files = sorted((ROOT / room).rglob("*.py"))
    return [path for path in files if not path.is_relative_to(ROOT / "tipoff/v1")]


def _imports(path: Path) -> Iterator[str]:
    """Name what a file imports: `from a import b` gives a.b, which may be a module."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _within(name: str, allowed: set[str]) -> bool:
    return any(name == a or name.startswith(f"{a}.") for a in allowed)


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_its_arrows_allow(room: str) -> None:
    wrong = []
    for path in _sources(room):
        relative = str(path.relative_to(ROOT))
        allowed = ALLOWED[room] | COMMANDS.get(relative, set())
        inside = (name for name in _imports(path) if name.split(".")[0] in ROOMS)
        wrong += [f"{relative} imports {name}" for name in inside if not _within(name, allowed)]
    assert wrong == []


def _loaded_by(module: str) -> set[str]:
    code = f"import sys; import {module}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = {name for name in ran.stdout.split() if not name.startswith("_")}
    return {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}


def test_accel_needs_numpy_and_the_errors_alone() -> None:
    loaded = _loaded_by("accel, accel.decode, accel.reference")
    # Cython registers a module of its own that is no package.
    known = {"accel", "cython_runtime", "numpy", "tipoff"}
    others = {name for name in loaded if name.split(".")[0] not in known}
    assert others == set()
    assert {name for name in loaded if name.split(".")[0] == "tipoff"} == {
        "tipoff",
        "tipoff.errors",
    }


@pytest.mark.parametrize(
    "module",
    [
        "accel.cli",
        "edge_node.cli",
        "edge_node.journal.cli",
        "edge_node.live.cli",
        "edge_node.live.clip_cli",
        "tipoff.watch",
        "triton_models.cli",
        "triton_models.weights.cli",
    ],
)
def test_a_command_loads_nothing_heavy_before_it_runs(module: str) -> None:
    assert {name.split(".")[0] for name in _loaded_by(module)} & HEAVY == set()


def test_the_rules_would_notice() -> None:
    assert not _within("edge_node.hub", ALLOWED["tipoff"])
    assert not _within("tipoff.client.Client", ALLOWED["accel"])
    assert _within("tipoff.errors.TipoffError", ALLOWED["accel"])
    assert len(_sources("accel")) > 0
