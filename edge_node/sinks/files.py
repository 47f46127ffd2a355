"""Result files appear whole or not at all, over those of an earlier run."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def part_of(path: Path) -> Path:
    """Where a file is written before it is whole: hidden, beside its place."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def finish(path: Path) -> None:
    """Move a file that is whole now to its place."""
    part_of(path).replace(path)


def discard(path: Path) -> None:
    """Remove what was written of a file that will not be finished."""
    part_of(path).unlink(missing_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give the path to write to; the file is put in its place when the block ends well."""
    try:
        yield part_of(path)
        finish(path)
    finally:
        discard(path)


def result_folder(path: Path) -> Path:
    """Make the folder for results.

    Raises:
        InvalidInputError: it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot hold the results: {error.strerror}; give another folder by --out"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise InvalidInputError(f"{path} cannot be written to; give another folder by --out")
    return path
