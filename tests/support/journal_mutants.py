"""Journals that disks, crashes and people have spoilt, and what must be true of opening them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_node.journal.entries import StateChanged
from edge_node.journal.folder import last_epoch, places
from edge_node.journal.journal import Journal
from edge_node.journal.reading import JournalReader
from edge_node.journal.spare import NAME
from tests.support.journals import SESSION, Play, opened, wait_for_keeper

SECTOR_BYTES = 512
PAGE_BYTES = 4096
SEGMENT_BYTES = 60_000
STEPS = 45


@dataclass(frozen=True)
class Original:
    """A journal as it was written."""

    name: str
    folder: Path
    hashes: dict[int, bytes]
    """Of every record."""
    rows: dict[int, tuple[Any, ...]]
    """Every record as SQLite holds it."""
    acknowledged: int
    """Newest record that a commit answered for."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant."""

    told: bool
    """Whether opening it said that something is damaged."""
    kept: int
    """Last record of the original that is there again."""


def closed_journal(folder: Path) -> Original:
    """A journal that was closed well, in several files."""
    _write(folder).close()
    return _original("closed", folder)


def killed_journal(folder: Path) -> Original:
    """A journal as a process leaves it that was killed.

    The newest file's log is not folded in, and the next one lies ready and was never used.
    """
    live = folder.with_name(folder.name + "-live")
    journal = _write(live)
    wait_for_keeper(journal)
    # SQLite's index of the log is shared memory; like the lock it does not outlive a machine.
    shutil.copytree(live, folder, ignore=shutil.ignore_patterns("*-shm", "lock"))
    journal.close()
    assert list(folder.glob("*.sqlite-wal"))
    assert (folder / NAME).exists()
    return _original("killed", folder)


def _write(folder: Path) -> Journal:
    journal, play = opened(folder, segment_bytes=SEGMENT_BYTES), Play(checkpoint_every=12)
    for _ in range(STEPS):
        journal.commit(play.next())
    return journal


def _original(name: str, folder: Path) -> Original:
    hashes = {one.record.record: one.hash for one in JournalReader(folder).checked()}
    rows = _readable(folder)
    assert rows.keys() == hashes.keys()
    return Original(name, folder, hashes, rows, max(hashes))


def _readable(folder: Path) -> dict[int, tuple[Any, ...]]:
    """All rows that SQLite still gives, one by one, so that a bad page costs no others."""
    rows: dict[int, tuple[Any, ...]] = {}
    for place in places(folder):
        path = folder / place.name
        log = path.with_name(path.name + "-wal")
        still = "" if log.exists() and log.stat().st_size else "&immutable=1"
        uri = f"{path.as_uri()}?mode=ro{still}"
        with suppress(sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as base:
            meta = base.execute("SELECT * FROM meta ORDER BY name").fetchall()
            number = place.first
            while row := base.execute(
                "SELECT *, ? FROM records WHERE record = ?", (str(meta), number)
            ).fetchone():
                rows[number] = row
                number += 1
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
    return rows


def _good(original: Original, folder: Path) -> int:
    """The last record up to which all are there as they were, seen without any of our readers."""
    rows = _readable(folder)
    number = 0
    while number + 1 in rows and rows[number + 1] == original.rows[number + 1]:
        number += 1
    return number


Mutation = Callable[[np.random.Generator, Path], str]


def _spoil(path: Path, change: Callable[[bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def _flip(rng: np.random.Generator, path: Path) -> str:
    place = int(rng.integers(path.stat().st_size))
    bit = int(rng.integers(8))

    def change(content: bytearray) -> None:
        content[place] ^= 1 << bit

    _spoil(path, change)
    return f"bit {bit} of byte {place} flipped"


def _torn(rng: np.random.Generator, path: Path) -> str:
    size = path.stat().st_size
    first = int(rng.integers(max(size // SECTOR_BYTES, 1))) * SECTOR_BYTES
    last = min(first + SECTOR_BYTES * int(rng.integers(1, 9)), size)
    kind = ("zeros", "ones", "noise", "old")[int(rng.integers(4))]

    def change(content: bytearray) -> None:
        length = last - first
        fill = {
            "zeros": bytes(length),
            "ones": b"\xff" * length,
            "noise": rng.bytes(length),
            # What stood elsewhere in the file: a write that went to another place.
            "old": (bytes(content[:length]) + bytes(length))[:length],
        }
        content[first:last] = fill[kind]

    _spoil(path, change)
    return f"bytes {first} to {last} torn: {kind}"


def _truncated(rng: np.random.Generator, path: Path) -> str:
    size = path.stat().st_size
    left = size - int(rng.integers(1, max(size // 2, 2)))
    with path.open("r+b") as file:
        file.truncate(left)
    return f"cut from {size} to {left} bytes"


def _emptied(_: np.random.Generator, path: Path) -> str:
    path.write_bytes(b"")
    return "emptied"


def _gone(_: np.random.Generator, path: Path) -> str:
    path.unlink()
    return "gone"


def _grown(rng: np.random.Generator, path: Path) -> str:
    with path.open("ab") as file:
        file.write(rng.bytes(int(rng.integers(1, 2 * PAGE_BYTES))))
    return "grown by noise"


def _swapped_pages(rng: np.random.Generator, path: Path) -> str:
    pages = path.stat().st_size // PAGE_BYTES
    if pages < 2:
        return _flip(rng, path)
    a, b = (int(page) for page in rng.choice(pages, 2, replace=False))

    def change(content: bytearray) -> None:
        pa = slice(a * PAGE_BYTES, (a + 1) * PAGE_BYTES)
        pb = slice(b * PAGE_BYTES, (b + 1) * PAGE_BYTES)
        content[pa], content[pb] = content[pb], content[pa]

    _spoil(path, change)
    return f"pages {a} and {b} swapped"


def _rows(rng: np.random.Generator, path: Path) -> str:
    """Change rows as somebody with SQLite at hand would."""
    if path.suffix != ".sqlite":
        return _flip(rng, path)
    statements = (
        "DELETE FROM records WHERE record = {n}",
        "DELETE FROM records WHERE record >= {n}",
        "UPDATE records SET payload = zeroblob(length(payload)) WHERE record = {n}",
        "UPDATE records SET time_ns = time_ns + 1 WHERE record = {n}",
        "UPDATE records SET sequence = sequence + 1 WHERE record = {n}",
        "UPDATE records SET hash = zeroblob(32) WHERE record = {n}",
        "UPDATE records SET epoch = epoch + 1 WHERE record >= {n}",
        "UPDATE OR REPLACE records SET record = record + 1 WHERE record = {n}",
        "UPDATE meta SET value = zeroblob(32) WHERE name = 'before_hash'",
        "UPDATE meta SET value = CAST('semi' AS BLOB) WHERE name = 'session'",
        "DELETE FROM meta",
        "DROP TABLE records",
    )
    with closing(sqlite3.connect(path)) as base, base:
        first, last = base.execute("SELECT MIN(record), MAX(record) FROM records").fetchone()
        record = int(rng.integers(first, last + 1))
        statement = statements[int(rng.integers(len(statements)))].format(n=record)
        base.execute(statement)
    return statement


MUTATIONS: tuple[tuple[Mutation, int], ...] = (
    (_flip, 8),
    (_torn, 5),
    (_truncated, 3),
    (_rows, 3),
    (_swapped_pages, 2),
    (_grown, 1),
    (_emptied, 1),
    (_gone, 1),
)
"""Kinds of damage, with how often each is drawn."""
_DRAWN = [mutation for mutation, weight in MUTATIONS for _ in range(weight)]


def spoil(rng: np.random.Generator, folder: Path) -> str:
    """Damage one file of a journal.

    Returns:
        What was done, in words.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.stat().st_size)
    # The mark is small and would hardly ever be drawn by its size.
    weights = np.array([path.stat().st_size for path in files], float)
    weights = weights / weights.sum() * 0.9 + 0.1 / len(files)
    path = files[int(rng.choice(len(files), p=weights))]
    mutation = _DRAWN[int(rng.integers(len(_DRAWN)))]
    return f"{path.name}: {mutation(rng, path)}"


def try_mutant(original: Original, seed: int, work: Path) -> tuple[str, Outcome]:
    """Damage a copy of a journal, open it, and check that nothing goes wrong unseen.

    Args:
        original: The journal.
        seed: What is done to it.
        work: A folder for it; what is there goes.

    Raises:
        AssertionError: Something went wrong.
    """
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(original.folder, work)
    what = spoil(np.random.default_rng(seed), work)
    left, good = last_epoch(work), _good(original, work)
    journal = opened(work, segment_bytes=SEGMENT_BYTES)
    found = journal.recovered
    told = found is not None and bool(found.damages)
    kept = found.tip.record if found is not None else 0
    # What is there is what was written, up to the last good record.
    assert found is None or found.tip.hash == original.hashes.get(kept, found.tip.hash), what
    assert good <= kept <= original.acknowledged, (what, good, kept)
    # What is not there any more is said.
    whole = kept == original.acknowledged and places(work)[0].first == 1
    assert told or whole, what
    # No epoch comes twice while a file of it is left.
    assert journal.epoch == left + 1, what
    journal.commit([StateChanged("afterwards", {"seed": seed})])
    tip = journal.tip
    journal.close()
    _assert_whole(original, work, kept, what)
    again = opened(work, segment_bytes=SEGMENT_BYTES)
    assert again.recovered is not None, what
    assert again.recovered.damages == (), (what, again.recovered.damages)
    assert again.recovered.tip == tip, what
    again.close()
    return what, Outcome(told, kept)


def _assert_whole(original: Original, work: Path, kept: int, what: str) -> None:
    """The journal is a chain again, and begins as the original did."""
    reader = JournalReader(work)
    hashes = {one.record.record: one.hash for one in reader.checked()}
    assert reader.beginning().session == SESSION, what
    first = reader.places[0].first
    assert all(hashes[n] == original.hashes[n] for n in range(first, kept + 1)), what
