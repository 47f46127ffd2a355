"""Stands in for the npm client: packs what a test gives it, or fails as the real one does."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

SCRIPT = """#!/bin/sh
echo called >> "{log}"
for argument in "$@"; do
  case "$argument" in --pack-destination=*) destination="${{argument#*=}}";; esac
done
{body}
"""


def write_npm(folder: Path, body: str) -> Path:
    """Write an `npm` into `folder` that runs `body`; $destination is where packages go.

    Returns:
        The log that gets a line with every call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "calls"
    program = folder / "npm"
    program.write_text(SCRIPT.format(log=log, body=body))
    program.chmod(0o755)
    return log


def calls(log: Path) -> int:
    """How often it was called."""
    return len(log.read_text().splitlines()) if log.exists() else 0


def first_on_path(folder: Path) -> str:
    """A PATH on which the programs of `folder` come first."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def write_package(path: Path, members: Mapping[str, bytes]) -> str:
    """Write a package of these members; return its sha256."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()
