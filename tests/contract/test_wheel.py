"""The wheel holds what it should, and works in a fresh environment outside the tree."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("accel", "control_plane", "edge_node", "tipoff", "triton_models")
DATA = {
    ".css",
    ".html",
    ".js",
    ".json",
    ".lock",
    ".md",
    ".pbtxt",
    ".proto",
    ".py",
    ".pyi",
    ".typed",
}
"""Endings that go into the wheel."""
SOURCES = {".cpp", ".hpp", ".inl", ".pyx", ".so", ".pyc"}
"""Endings that stay in the tree, or are built from it."""
OUTSIDE = {"__pycache__", "typings"}
"""Folders that stay in the tree: typings/ describes to mypy what only the server's stub has."""


def _run(command: Sequence[str | Path], cwd: Path) -> str:
    # A tree on the path would stand before what was installed.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=env,
        timeout=600,
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as `make wheel` does, elsewhere."""
    out = tmp_path_factory.mktemp("wheel")
    _run(["make", "-s", "wheel", f"WHEEL_OUT={out}"], ROOT)
    (built,) = out.glob("tipoff-*.whl")
    return built


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it with what it declares into an environment of its own, without a network."""
    folder = tmp_path_factory.mktemp("fresh")
    _run([sys.executable, "-m", "venv", folder / "venv"], folder)
    python = folder / "venv/bin/python"
    wheels = _run(["make", "-s", "where-wheels"], ROOT).strip()
    _run([python, "-m", "pip", "install", "-q", "--no-index", "-f", wheels, wheel], folder)
    return python


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def _expected() -> set[str]:
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*"))
    kept = (path for path in files if path.is_file() and not {*path.parts} & OUTSIDE)
    return {str(path.relative_to(ROOT)) for path in kept if path.suffix not in SOURCES}


def test_it_holds_every_file_of_the_rooms_and_nothing_else(wheel: Path) -> None:
    names = _names(wheel)
    native = {name for name in names if name.endswith(".so")}
    assert names - native == _expected()
    assert {name.split(".")[0] for name in native} == {"accel/_core", "accel/decode"}
    assert {Path(name).suffix for name in names - native} <= DATA


def test_it_holds_the_stubs_of_every_proto(wheel: Path) -> None:
    stems = [path.stem for path in (ROOT / "protos/tipoff/v1").glob("*.proto")]
    ends = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
    assert {f"tipoff/v1/{stem}{end}" for stem in stems for end in ends} <= _names(wheel)


def test_its_stubs_import_on_the_runtime_that_it_declares(fresh: Path) -> None:
    stems = [path.stem for path in (ROOT / "protos/tipoff/v1").glob("*.proto")]
    modules = [f"tipoff.v1.{stem}{end}" for stem in stems for end in ("_pb2", "_pb2_grpc")]
    assert modules
    code = f"import {', '.join(modules)}; import tipoff; print(tipoff.__file__)"
    where = _run([fresh, "-W", "error", "-c", code], fresh.parent)
    assert not Path(where.strip()).is_relative_to(ROOT)


def test_its_core_computes(fresh: Path) -> None:
    code = (
        "import numpy as np, accel, accel.decode, accel.reference\n"
        "eye = np.tile(np.eye(3), (2, 1, 1))\n"
        "K = np.tile(np.array([[800.0, 0, 400], [0, 800, 300], [0, 0, 1]]), (2, 1, 1))\n"
        "t = np.array([[0.0, 0, 0], [-1.0, 0, 0]])\n"
        "size = np.array([[800, 600], [800, 600]])\n"
        "rig = accel.Rig(['a', 'b'], K, np.zeros((2, 5)), eye, t, size)\n"
        "point = np.array([[0.2, 0.1, 4.0]])\n"
        "found = accel.triangulate(rig, rig.project(point)).points_m\n"
        "assert np.allclose(found, point, atol=1e-6), found\n"
    )
    _run([fresh, "-W", "error", "-c", code], fresh.parent)


def test_its_command_knows_every_room(fresh: Path) -> None:
    shown = _run([fresh.with_name("tipoff"), "--help"], fresh.parent)
    assert "unavailable:" not in shown
    assert "tipoff track --rig" in shown
    for command in ("track", "serve", "watch", "rig", "models", "triton"):
        _run([fresh.with_name("tipoff"), command, "--help"], fresh.parent)
