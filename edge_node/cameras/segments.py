"""The files of a ring: how they are called, which of a camera's there are, and how they count time.

A file is called after the epoch of the node that wrote it and the capture time of its first frame,
in ns UTC, and lies in a folder of its camera's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TICK = Fraction(1, 90_000)
"""What the times in a file are counted in, s."""
_NAME = re.compile(r"((?P<epoch>\d+)-)?(?P<start_ns>\d+)\.(ts|mkv)", re.ASCII)
"""A file's name; earlier versions wrote no epoch."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of the ring."""

    path: Path
    """Where it lies."""
    start_ns: int
    """Capture time of its first frame."""
    epoch: int = 0
    """Epoch in which it was written; 0: that is not known."""


def segments(folder: Path, camera: str) -> list[Segment]:
    """List a camera's files, oldest first: by epoch, and by time."""
    found = [
        Segment(path, int(name["start_ns"]), int(name["epoch"] or 0))
        for path in (folder / camera).glob("*.*")
        if (name := _NAME.fullmatch(path.name))
    ]
    return sorted(found, key=lambda segment: (segment.epoch, segment.start_ns))


def cameras_in(folder: Path) -> list[str]:
    """Name the cameras of which a ring holds anything."""
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and segments(folder, path.name)
    )


def size_bytes(path: Path) -> int:
    """Give a file's bytes; 0 where somebody took it away."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
