"""A process that keeps a journal and says on stdout what it would have sent, until it is killed.

    python -m tests.support.journal_writer FOLDER [FAULT]

A line a message: ``sent <epoch> <stream> <sequence> <time> <digest>``. Faults: ``early`` says what
it sends before it is durable, ``unsynced`` lets SQLite leave syncing to the system. Others kill the
process at the first change of file: ``unnamed`` once the next file is begun and has no name yet,
``half-named`` once its log alone has one, ``names`` some commits later, with no name synced.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge_node.journal import segment
from edge_node.journal.entries import Entry, Snapped, StateChanged
from edge_node.journal.folder import places
from edge_node.journal.journal import Journal, JournalOptions
from edge_node.journal.keys import NodeKey
from edge_node.journal.resuming import resume_tracker
from edge_node.journal.spare import Spare
from tests.support.journals import Play, facts

EARLY_S = 0.02
SEGMENT_BYTES = 400_000
COMMITS_WITH_NAMES = 5


def main(folder: Path, fault: str) -> None:
    """Write for ever."""
    if fault == "unsynced":
        segment.SYNCHRONOUS = "OFF"
    elif fault in ("unnamed", "half-named"):
        segment.move_file = partial(_die_moving, fault)  # type: ignore[attr-defined]
    elif fault == "names":
        Spare.prepare = _prepare_once(Spare.prepare)  # type: ignore[method-assign, assignment]
    key = NodeKey.of_folder(folder.parent)
    options = JournalOptions(segment_bytes=SEGMENT_BYTES, sign_every_ns=50_000_000)
    journal = Journal.open(folder, facts(), key, options)
    found = journal.recovered
    tracker, first = None, 0
    if found is not None:
        for damage in found.damages:
            say(f"damage {damage.record} {damage.reason}")
        if found.states:
            first = int(found.states["step"]["step"]) + 1
        tracker = resume_tracker(journal.facts.rig, found)
    say(f"opened {journal.epoch}")
    play = Play(tracker, journal.epoch, first)
    left = COMMITS_WITH_NAMES
    while True:
        step = play.step
        entries: list[Entry] = [*play.next(), StateChanged("step", {"step": step})]
        if fault == "early":
            send(journal.epoch, entries)
            time.sleep(EARLY_S)
        journal.commit(entries)
        if fault != "early":
            send(journal.epoch, entries)
        if fault == "names" and len(places(folder)) > 1:
            left -= 1
            if not left:
                die()


def die() -> None:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def _die_moving(fault: str, path: Path, to: Path) -> None:
    if fault == "half-named":
        for companion in ("-shm", "-wal"):
            path.with_name(path.name + companion).rename(to.with_name(to.name + companion))
    die()


def _prepare_once(prepare: Callable[[Spare], None]) -> Callable[[Spare], None]:
    prepared: list[Spare] = []

    def once(spare: Spare) -> None:
        if not prepared:
            prepare(spare)
            prepared.append(spare)

    return once


def send(epoch: int, entries: list[Entry]) -> None:
    """Say what is sent, in one write."""
    sent = [entry for entry in entries if isinstance(entry, Snapped)]
    say(
        "\n".join(
            f"sent {epoch} {one.kind} {one.sequence} {one.time_ns} {one.digest.hex()}"
            for one in sent
        )
    )


def say(text: str) -> None:
    """Write lines at once."""
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
