"""Journals changed by somebody who can write them and has not the node's key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from edge_node.journal import rows
from edge_node.journal.chain import Record, first_hash, link, session_id
from edge_node.journal.codec import encode
from edge_node.journal.entries import Entry
from edge_node.journal.folder import Place, places
from edge_node.journal.heads import Tip
from edge_node.journal.mark import Mark, Marked
from edge_node.journal.reading import JournalReader
from edge_node.journal.segment import Linked
from tests.support.journals import SESSION

Change = Callable[[list[Record]], Sequence[Record]]


def relink(folder: Path, change: Change, *, heads: str = "keep") -> None:
    """Change a journal's records, then number and link them all anew; the mark follows.

    Args:
        folder: The journal's folder.
        change: Given the records of all files, gives those that are to be there.
        heads: ``keep``, ``drop`` all, or keep those ``before`` the first record that differs.
    """
    reader = JournalReader(folder)
    before = list(reader.checked())
    after = _chain([one.record for one in before], change)
    same = next(
        (old.record.record for old, new in zip(before, after, strict=False) if old != new),
        min(len(before), len(after)) + 1,
    )
    firsts = [place.first for place in reader.places]
    for number, place in enumerate(reader.places):
        later = firsts[number + 1] if number + 1 < len(firsts) else len(after) + 1
        here = [one for one in after if place.first <= one.record.record < later]
        if not here:
            drop(folder, place)
            continue
        tip = _tip(after, place.first - 1)
        with closing(sqlite3.connect(folder / place.name)) as base, base:
            base.execute("UPDATE meta SET value = ? WHERE name = 'before_hash'", (tip.hash,))
            base.execute("DELETE FROM records")
            base.executemany(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", map(rows.row, here)
            )
            if heads != "keep":
                first = same if heads == "before" else 0
                base.execute("DELETE FROM heads WHERE record >= ?", (first,))
    set_mark(folder, _tip(after, len(after)))


def _chain(records: list[Record], change: Change) -> list[Linked]:
    session, tip = session_id(SESSION), Tip(0, first_hash(SESSION))
    linked = []
    for record in change(records):
        numbered = replace(record, record=tip.record + 1)
        tip = Tip(numbered.record, link(tip.hash, numbered, session))
        linked.append(Linked(numbered, tip.hash))
    return linked


def _tip(linked: list[Linked], record: int) -> Tip:
    return Tip(record, linked[record - 1].hash if record else first_hash(SESSION))


def forge(folder: Path, record: int, change: Callable[[Linked], Linked]) -> None:
    """Change one record and link all that follow anew."""

    def one(records: list[Record]) -> list[Record]:
        changed = change(Linked(records[record - 1], b"")).record
        return [*records[: record - 1], changed, *records[record:]]

    relink(folder, one)


def appended(entries: Sequence[Entry], epoch: int) -> Change:
    """Give the change that appends entries."""

    def change(records: list[Record]) -> list[Record]:
        more = [
            Record(
                record=0,
                epoch=epoch,
                kind=int(one.kind),
                codec=int(one.codec),
                sequence=one.sequence,
                time_ns=one.time_ns,
                raw_bytes=one.raw_bytes,
                payload=one.payload,
            )
            for one in map(encode, entries)
        ]
        return [*records, *more]

    return change


def set_mark(folder: Path, tip: Tip) -> None:
    """Let the mark say that all up to a record was acknowledged."""
    Mark(folder, Marked(places(folder)[0].first, tip)).close()


def drop_heads(folder: Path, first: int = 0) -> None:
    """Remove the signed heads from a record on."""
    for place in places(folder):
        with closing(sqlite3.connect(folder / place.name)) as base, base:
            base.execute("DELETE FROM heads WHERE record >= ?", (first,))


def drop(folder: Path, place: Place) -> None:
    """Remove a file."""
    for path in folder.glob(place.name + "*"):
        path.unlink()
