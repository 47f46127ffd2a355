"""Where a session's journal lies: files of records, a lock, a mark, and what was moved aside.

    <folder>/000000000001-00000001-00.sqlite    first record, epoch, how often it was mended
    <folder>/mark                               the newest record that was acknowledged
    <folder>/lock                               held by the process that writes
    <folder>/next.part                          the next file, made ready and not yet begun
    <folder>/aside/<when>/                      what was damaged, and why.txt

Epochs stand in the names, so that damage inside a file cannot bring an old one back.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_node.journal.errors import JournalBusyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SUFFIX = ".sqlite"
ASIDE = "aside"
LOCK = "lock"
LOCK_WITHIN_S = 0.3
"""How long the lock is tried for."""
LOCK_EVERY_S = 0.005
COMPANIONS = ("", "-wal", "-shm", "-journal")
"""What SQLite keeps beside a file."""
_NAME = re.compile(r"(\d{12})-(\d{8})-(\d{2})\.sqlite")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A file of records, by its name; they sort in the order of the chain."""

    first: int
    """Number of its first record."""
    epoch: int
    """Epoch of its writer."""
    mended: int
    """How often it was written anew without what was damaged."""

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.first:012d}-{self.epoch:08d}-{self.mended:02d}{SUFFIX}"


def places(folder: Path) -> list[Place]:
    """List a journal's files in the order of the chain; of a mended one the newest version."""
    newest: dict[tuple[int, int], Place] = {}
    for place in sorted(_all_places(folder)):
        newest[place.first, place.epoch] = place
    return list(newest.values())


def replaced_places(folder: Path) -> list[Place]:
    """List files of which a mended version is there."""
    current = set(places(folder))
    return [place for place in sorted(_all_places(folder)) if place not in current]


def last_epoch(folder: Path) -> int:
    """Give the highest epoch that was ever begun here, damaged files included; 0: none."""
    kept = [place.epoch for place in _all_places(folder)]
    aside = (_NAME.fullmatch(path.name) for path in (folder / ASIDE).glob(f"*/*{SUFFIX}"))
    return max(kept + [int(found[2]) for found in aside if found], default=0)


def _all_places(folder: Path) -> list[Place]:
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return [Place(int(name[1]), int(name[2]), int(name[3])) for name in found if name]


def file_bytes(folder: Path, place: Place) -> int:
    """Give the size of a file with what SQLite keeps beside it."""
    total = 0
    for companion in COMPANIONS:
        # A log may go between two looks at it.
        with suppress(FileNotFoundError):
            total += (folder / (place.name + companion)).stat().st_size
    return total


def move_aside(folder: Path, names: Iterable[str], why: str) -> str:
    """Move files and what SQLite keeps beside them into a folder of their own; nothing is deleted.

    Args:
        folder: The journal's folder.
        names: Names of files.
        why: What was found, for ``why.txt``.

    Returns:
        The new folder, relative to ``folder``.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number = 0
    while (target := folder / ASIDE / f"{stamp}-{number}").exists():
        number += 1
    target.mkdir(parents=True)
    (target / "why.txt").write_text(why + "\n", "utf-8")
    for name in names:
        move_file(folder / name, target / name)
    sync_folder(target)
    sync_folder(folder)
    return str(target.relative_to(folder))


def move_file(path: Path, to: Path) -> None:
    """Move a file, where it is there, with what SQLite keeps beside it.

    The file itself goes last: whoever opens it under its new name finds its log there.

    Raises:
        OSError: It has its old name, or a part of it has.
    """
    for companion in reversed(COMPANIONS):
        with suppress(FileNotFoundError):
            path.with_name(path.name + companion).rename(to.with_name(to.name + companion))


def remove_file(path: Path) -> None:
    """Remove a file, where it is there, with what SQLite keeps beside it.

    Raises:
        OSError: It cannot be removed, or only a part of it can.
    """
    # The file itself goes last: while it is there, so is whatever belongs to it.
    for companion in reversed(COMPANIONS):
        path.with_name(path.name + companion).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Be the only process that writes a journal.

    Raises:
        JournalBusyError: Another one does.
    """
    with (folder / LOCK).open("w") as lock:
        if not _taken(lock.fileno()):
            raise JournalBusyError(
                f"the journal in {folder} is written by another process; stop that one, or give "
                "the session another name",
                path=str(folder),
            )
        yield


def _taken(lock: int) -> bool:
    """Take the lock; whoever looks whether it is held holds it for a moment, too."""
    until = time.monotonic() + LOCK_WITHIN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(LOCK_EVERY_S)
        else:
            return True
