"""Keeping a journal's files: preparing the next, folding logs, closing full ones, pruning old ones.

In a thread of its own, so that no commit waits for it; what fails is tried again at the next turn.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from edge_node.journal.carried import read_carried, write_carried
from edge_node.journal.errors import JournalDamagedError, JournalError
from edge_node.journal.folder import (
    Place,
    file_bytes,
    places,
    remove_file,
    sync_folder,
    writing,
)
from edge_node.journal.mark import BadMark, Mark, read_mark
from edge_node.journal.segment import SegmentReader, SegmentWriter, fold
from tipoff.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from edge_node.journal.spare import Spare

FOLD_BYTES = 16 * 1024 * 1024
"""What a file's log may hold before it is folded into the file."""
PRUNE_EVERY_S = 60.0
MAX_FINISHED = 64
"""Full files that wait to be closed, at most."""
CLOSE_WITHIN_S = 30.0
"""How long the thread is waited for at the end."""
FOLD_WITHIN_S = 1.0
"""How long whoever reads a full file is waited for; its log is folded in at a later turn else."""
REFUSED_EVERY_S = 1.0
"""How often commits that fail make for a turn, at most."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeepOptions:
    """For how long files are kept. The newest checkpoint, and all after it, always are."""

    max_bytes: int | None = None
    """Size of all files beyond which the oldest go; None: they stay."""
    max_age_s: float | None = None
    """Age beyond which files go; None: they stay."""
    carried: bool = False
    """Whether only files that have been carried up may go."""
    clock_s: Callable[[], float] = field(default=time.time)
    """Gives now, seconds UTC."""


class Keeper:
    """Looks after the files of one journal.

    Args:
        folder: The journal's folder.
        options: For how long files are kept.
        mark: Told what is kept.
        spare: Kept ready.
    """

    def __init__(self, folder: Path, options: KeepOptions, mark: Mark, spare: Spare) -> None:
        self._folder, self._options, self._mark = folder, options, mark
        self._spare = spare
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._unfolded = 0
        self._current: Path | None = None
        self._finished: list[SegmentWriter] = []
        self._logged: list[Path] = []
        """Closed files whose log is not folded in yet; the thread's own."""
        self._refused_s = -REFUSED_EVERY_S
        self._carrying = threading.Lock()
        self._carried = read_carried(folder) or 0
        self._thread = threading.Thread(target=self._run, name="journal keeper", daemon=True)

    def start(self) -> None:
        """Begin, by preparing the second file."""
        self._wake.set()
        self._thread.start()

    def written(self, path: Path, size: int) -> None:
        """Say that a commit of so many bytes went to a file, which is the newest."""
        with self._lock:
            self._current = path
            self._unfolded += size
            due = self._unfolded >= FOLD_BYTES
        if due:
            self._wake.set()

    def finished(self, writer: SegmentWriter) -> None:
        """Close a full file soon."""
        with self._lock:
            assert len(self._finished) < MAX_FINISHED
            self._finished.append(writer)
            self._unfolded = 0
        self._wake.set()

    def refused(self) -> None:
        """Say that a commit failed: where the disk is full, what may go makes room."""
        now_s = time.monotonic()
        if now_s - self._refused_s >= REFUSED_EVERY_S:
            self._refused_s = now_s
            self._wake.set()

    def carried_up_to(self, record: int) -> None:
        """Say what has been carried up.

        Raises:
            OSError: It cannot be kept.
        """
        with self._carrying:
            self._carried = max(self._carried, record)
            write_carried(self._folder, self._carried)
        self._wake.set()

    def close(self, last: Path) -> bool:
        """Finish what is due and end.

        Args:
            last: The newest file, closed.

        Returns:
            Whether the thread has ended; where not it may still write, and nobody else must.
        """
        self._stopping = True
        self._wake.set()
        self._thread.join(CLOSE_WITHIN_S)
        if self._thread.is_alive():
            return False
        self._spare.discard()
        self._fold_all(last)
        return True

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(PRUNE_EVERY_S)
            self._wake.clear()
            # What makes room comes before what needs it, and none waits for another to succeed.
            for step in (self._close_finished, self._prune, self._prepare, self._fold_current):
                _try(step)
        _try(self._close_finished)

    def _close_finished(self) -> None:
        self._logged = [path for path in self._logged if path.exists() and not self._fold_all(path)]
        while True:
            with self._lock:
                if not self._finished:
                    return
                writer = self._finished.pop(0)
            writer.close()
            if not self._fold_all(writer.path, 0.0 if self._stopping else FOLD_WITHIN_S):
                # Beyond the bound it is the next start that folds it in.
                self._logged = [*self._logged, writer.path][-MAX_FINISHED:]

    def _prune(self) -> None:
        with self._lock:
            unclosed = {writer.path.name for writer in self._finished}
            if self._current is not None:
                unclosed.add(self._current.name)
        # Whoever carries up may be another process, and say so in the file alone.
        with self._carrying:
            told = read_carried(self._folder)
            carried = self._carried = max(self._carried, told or 0)
        options = replace(self._options, carried=self._options.carried or told is not None)
        prune(self._folder, options, self._mark, carried, unclosed)

    def _prepare(self) -> None:
        if not self._stopping:
            self._spare.prepare()

    def _fold_current(self) -> None:
        with self._lock:
            path = self._current if self._unfolded >= FOLD_BYTES else None
        if path is not None:
            self._fold(path)
            with self._lock:
                self._unfolded = 0

    @staticmethod
    def _fold(path: Path) -> None:
        try:
            fold(path)
        except sqlite3.Error as error:
            log.warning("a journal's log was not folded", file=path.name, reason=str(error))

    @staticmethod
    def _fold_all(path: Path, wait_s: float = 0.0) -> bool:
        """Fold in the log of a closed file; say whether nothing is left of it."""
        try:
            return fold(path, truncate=True, wait_s=wait_s)
        except sqlite3.Error as error:
            log.warning("a journal's log was not folded", file=path.name, reason=str(error))
            return False


def _try(step: Callable[[], None]) -> None:
    try:
        step()
    except (OSError, sqlite3.Error, JournalDamagedError, JournalError) as error:
        log.warning("a journal's files could not be looked after", reason=str(error))
    except Exception:
        # Whatever it was: who looks after the files must not be gone for the game's rest.
        log.exception("a journal's files could not be looked after")


def prune(
    folder: Path,
    options: KeepOptions,
    mark: Mark,
    carried_up_to: int = 0,
    unclosed: Collection[str] = (),
) -> list[Place]:
    """Remove the oldest files as far as the options ask and allow.

    Args:
        folder: The journal's folder.
        options: What may be kept.
        mark: Told what is kept before anything goes.
        carried_up_to: Newest record that has been carried up.
        unclosed: Names of files that have a writer: they stay, and so does what comes after them.

    Returns:
        What was removed.

    Raises:
        OSError: A file cannot be removed.
    """
    if options.max_bytes is None and options.max_age_s is None:
        return []
    found = places(folder)
    sizes = [file_bytes(folder, place) for place in found]
    removed: list[Place] = []
    total = sum(sizes)
    for index, (place, size) in enumerate(zip(found[:-1], sizes, strict=False)):
        if not (_too_large(total, options) or _too_old(folder, place, options)):
            break
        if place.name in unclosed:
            break
        later = found[index + 1 :]
        if options.carried and later[0].first - 1 > carried_up_to:
            break
        if not any(_can_begin(folder, one, written=one is later[-1]) for one in later):
            break
        # What the rest rests on must not lose its name to a loss of power.
        sync_folder(folder)
        mark.prune(later[0].first)
        remove(folder, place)
        removed.append(place)
        total -= size
    if removed:
        log.info("journal pruned", files=len(removed), up_to=removed[-1].name)
    return removed


def prune_by_hand(folder: Path, options: KeepOptions) -> list[Place]:
    """Prune a journal that nobody writes.

    What has been carried up is known from the journal's folder.

    Raises:
        JournalBusyError: Its node is running, and prunes it by itself.
        ConflictError: It has to be recovered first.
    """
    with writing(folder):
        marked = read_mark(folder)
        if isinstance(marked, BadMark):
            raise ConflictError(
                f"the mark of the journal in {folder} cannot be read: {marked.reason}; `tipoff"
                " verify` says what is left, and the node mends it when it starts",
                path=str(folder),
            )
        mark = Mark(folder, marked)
        try:
            carried = read_carried(folder)
            return prune(folder, replace(options, carried=carried is not None), mark, carried or 0)
        finally:
            mark.close()


def _too_large(total: int, options: KeepOptions) -> bool:
    return options.max_bytes is not None and total > options.max_bytes


def _too_old(folder: Path, place: Place, options: KeepOptions) -> bool:
    """Say whether all records of a file are too old."""
    if options.max_age_s is None:
        return False
    written_s = (folder / place.name).stat().st_mtime
    return options.clock_s() - written_s > options.max_age_s


def _can_begin(folder: Path, place: Place, *, written: bool) -> bool:
    """Say whether replaying can begin within a file; not in one that cannot be read."""
    try:
        with SegmentReader(folder / place.name, written=written) as reader:
            return reader.has_base()
    except (JournalDamagedError, JournalError):
        return False


def remove(folder: Path, place: Place) -> None:
    """Remove a file with what SQLite keeps beside it."""
    remove_file(folder / place.name)
    sync_folder(folder)
