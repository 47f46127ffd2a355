"""The tree in the docstring of tipoff.errors is the tree: every error of every room, as it is."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from tipoff import errors
from tipoff.errors import TipoffError

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("accel", "control_plane", "edge_node", "tipoff", "triton_models")
LINE = re.compile(r"^ {4}(?P<depth>[ │├└─]*)(?P<name>\w+Error) +(?P<status>[A-Z_]+) +exit (\d+)")


def _drawn() -> list[tuple[int, str, str, int]]:
    found = [LINE.match(line) for line in (errors.__doc__ or "").splitlines()]
    lines = [match for match in found if match]
    return [(len(m["depth"]) // 4, m["name"], m["status"], int(m[4])) for m in lines]


def _real(kind: type[TipoffError], depth: int = 0) -> Iterator[tuple[int, str, str, int]]:
    yield depth, kind.__name__, kind.status, kind.exit_code
    for child in kind.__subclasses__():
        if child.__module__.split(".")[0] in ROOMS:
            yield from _real(child, depth + 1)


def _parents(tree: list[tuple[int, str, str, int]]) -> set[tuple[str, str, str, int]]:
    path: list[str] = [""]
    rows = set()
    for depth, name, status, code in tree:
        path[depth + 1 :] = [name]
        rows.add((path[depth], name, status, code))
    return rows


def test_every_error_is_drawn_where_it_hangs() -> None:
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*errors.py")):
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert _parents(_drawn()) == _parents(list(_real(TipoffError)))
