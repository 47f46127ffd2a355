"""Disks that fail when they are told to: `power.c`, built and preloaded into a process."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("power.c")


def build_library(folder: Path) -> Path:
    """Compile the library; a compiler is there, since the core is compiled here."""
    library = folder / "power.so"
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", *options, "-o", library, SOURCE], check=True)
    return library


def watched(library: Path, folder: Path, shadow: Path) -> dict[str, str]:
    """Give the environment of a process whose files under a folder lie on such a disk.

    Args:
        library: As :func:`build_library` made it.
        folder: What lies on the disk.
        shadow: Where the disk keeps what was synced, and looks what it is to do wrong.
    """
    (shadow / "inodes").mkdir(parents=True, exist_ok=True)
    return {"LD_PRELOAD": str(library), "TIPOFF_DISK": str(folder), "TIPOFF_SHADOW": str(shadow)}
