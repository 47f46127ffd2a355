"""A process that keeps a journal and says on stdout what it would have sent, until it is killed.

    python -m tests.support.journal_writer FOLDER [FAULT]

A line a message: ``sent <epoch> <stream> <sequence> <time> <digest>``. Faults: ``early`` says what
it sends before it is durable, ``unsynced`` lets SQLite leave syncing to the system.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from edge_node.journal import segment
from edge_node.journal.entries import Entry, Snapped, StateChanged
from edge_node.journal.journal import Journal, JournalOptions
from edge_node.journal.keys import NodeKey
from edge_node.journal.resuming import resume_tracker
from tests.support.journals import Play, facts

EARLY_S = 0.02
SEGMENT_BYTES = 400_000


def main(folder: Path, fault: str) -> None:
    """Write for ever."""
    if fault == "unsynced":
        segment.SYNCHRONOUS = "OFF"
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
    while True:
        step = play.step
        entries: list[Entry] = [*play.next(), StateChanged("step", {"step": step})]
        if fault == "early":
            send(journal.epoch, entries)
            time.sleep(EARLY_S)
        journal.commit(entries)
        if fault != "early":
            send(journal.epoch, entries)


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
