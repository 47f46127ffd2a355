"""suite=journal: what it costs that nothing is sent before it is on disk.

- Commits at the beat of a game: 12 kB and 40 kB of noise, which nothing makes smaller, and whole
  frame-sets of a simulated game (all cameras' observations, the live and the smoothed message).
  Beside them what the disk and SQLite alone take for as many bytes, measured in turns on the same
  disk.
- What each kind of record takes, packed in each way.
- Opening again: check, recover, and run the tracker up to the last call.
- Proving the game: chain, heads and every snapshot.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

import accel
from bench.config import BenchConfig, SuiteConfig, at_least, within
from bench.report import Report
from bench.sim import Arena
from bench.streams.stage import be_quiet
from edge_node.encoding import encode_snapshot
from edge_node.frames import TrackedFrame
from edge_node.journal.codec import Codec, encode
from edge_node.journal.digest import snapshot_digest
from edge_node.journal.entries import Checkpointed, Entry, Observed, Snapped, StateChanged
from edge_node.journal.facts import SessionFacts
from edge_node.journal.journal import Journal
from edge_node.journal.keys import NodeKey
from edge_node.journal.resuming import resume_tracker
from edge_node.journal.verifying import verify

SIZES = (12_000, 40_000)
MAX_P50_MS, MAX_P99_MS = 2.0, 10.0
"""Targets of a frame-set's commit: well within a frame of 60 Hz."""
CHECKPOINT_EVERY_S = 10.0
SOME = 200
"""Entries of each kind that are packed in each way."""
NOTES = (
    "Commits come at the beat of the game, one after the other; a commit is durable when it"
    " returns (SQLite, write-ahead log, synchronous=FULL).",
    "'fsync alone' appends as many bytes to a file and syncs it; 'SQLite alone' inserts them as"
    " one row. Both take turns with the journal, so that all meet the same disk.",
    "No loss of power is simulated here; tests/integration/edge_node/test_journal_kill.py does.",
)


@dataclass
class Config(SuiteConfig):
    """Options of suite=journal."""

    name: str = "journal"
    commits: int = 600
    """Commits of each size."""
    seconds: float = 30.0
    """Length of the game."""
    rate_hz: float = 60.0
    """Commits a second; 0: as fast as they come."""
    folder: str = ""
    """Where the journals are written; empty: the system's folder for temporary files."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        within("suite.commits", self.commits, 10, 100_000)
        at_least("suite.seconds", self.seconds, 0.5)
        within("suite.rate_hz", self.rate_hz, 0.0, 1000.0)


@dataclass(slots=True)
class Beat:
    """Waits for the next beat of a game."""

    rate_hz: float
    next_s: float = field(default_factory=time.monotonic)

    def wait(self) -> None:
        """Wait for it; one that was missed is not made up for."""
        if self.rate_hz:
            self.next_s = max(self.next_s + 1.0 / self.rate_hz, time.monotonic())
            time.sleep(max(self.next_s - time.monotonic(), 0.0))


def run(config: BenchConfig) -> Report:
    """Measure all four."""
    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("journal", notes=list(NOTES))
    be_quiet()
    with tempfile.TemporaryDirectory(dir=suite.folder or None) as folder:
        root = Path(folder)
        base = config.workload.arena(config.rig)
        frames = round(suite.seconds * base.fps)
        arena = Arena(replace(base, seed=config.seed, frames=frames))
        game = list(play(arena))
        _commits(report, suite, root, game, arena)
        _sizes(report, game, suite.seconds)
        _again(report, root, arena)
    return report


def play(arena: Arena) -> Iterator[list[Entry]]:
    """Track a simulated game; give what the journal is given, a frame-set at a time."""
    tracker = accel.Tracker(arena.accel_rig())
    waiting: list[int] = []
    sequences = {"live": 0, "smoothed": 0}

    def snap(kind: str, time_ns: int) -> Snapped:
        snapshot = tracker.snapshot(time_ns, kind == "smoothed")
        sequences[kind] += 1
        frame = TrackedFrame(time_ns, snapshot, ())
        message = encode_snapshot(frame, 1, sequences[kind], time_ns)
        digest = snapshot_digest(snapshot)
        return Snapped(kind, sequences[kind], time_ns, digest, message)

    every = round(CHECKPOINT_EVERY_S * arena.options.fps)
    for frame_set in arena.frame_sets():
        entries: list[Entry] = []
        for view in frame_set.views:
            points = np.ascontiguousarray(view.keypoints, np.float32)
            accepted = tracker.observe(view.camera, view.capture_time_ns, points)
            entries.append(Observed(view.camera, view.capture_time_ns, points, None, accepted))
        entries.append(snap("live", frame_set.time_ns))
        waiting.append(frame_set.time_ns)
        try:
            while waiting:
                entries.append(snap("smoothed", waiting[0]))
                waiting.pop(0)
        except accel.NotYetError:
            pass
        if frame_set.index % every == every - 1:
            entries.append(Checkpointed(tracker.checkpoint()))
        yield entries


def _commits(
    report: Report, suite: Config, root: Path, game: list[list[Entry]], arena: Arena
) -> None:
    columns = ("what", "commits", "kb", "p50_ms", "p99_ms", "max_ms")
    table = report.table("Commits, durable on return", columns)

    def add(what: str, kb: float, spent_ms: list[float]) -> None:
        p50, p99, most = (round(float(np.percentile(spent_ms, p)), 2) for p in (50, 99, 100))
        row = {"what": what, "commits": len(spent_ms), "kb": round(kb, 1)}
        table.add({**row, "p50_ms": p50, "p99_ms": p99, "max_ms": most})

    noise = np.random.default_rng(1)
    for size in SIZES:
        with report.working(f"commits of {size} bytes"):
            for what, spent_ms in _in_turns(suite, root / str(size), size, noise).items():
                add(what, size / 1000, spent_ms)
    facts = SessionFacts("bench", arena.accel_rig())
    journal = Journal.open(root / "game", facts, NodeKey.generate())
    beat, spent_ms = Beat(suite.rate_hz), []
    with report.working("a game"):
        for entries in game:
            beat.wait()
            spent_ms.append(_timed_ms(partial(journal.commit, entries)))
    raw = sum(encode(entry).raw_bytes for entries in game for entry in entries) / len(game)
    add("journal, frame-sets of a game", raw / 1000, spent_ms)
    journal.close()
    p50, p99 = (float(np.percentile(spent_ms, p)) for p in (50, 99))
    report.target("p50 ms of a frame-set's commit", p50, most=MAX_P50_MS)
    report.target("p99 ms of a frame-set's commit", p99, most=MAX_P99_MS)


def _in_turns(
    suite: Config, folder: Path, size: int, noise: np.random.Generator
) -> dict[str, list[float]]:
    """Commit as many bytes to the journal, to SQLite and to a file, in turns."""
    folder.mkdir()
    facts = SessionFacts("bench", _small_rig())
    journal = Journal.open(folder / "journal", facts, NodeKey.generate())
    spent: dict[str, list[float]] = {"journal": [], "SQLite alone": [], "fsync alone": []}
    handle = os.open(folder / "file", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with closing(sqlite3.connect(folder / "alone.sqlite", isolation_level=None)) as base:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute("CREATE TABLE records (record INTEGER PRIMARY KEY, payload BLOB)")
        beat = Beat(suite.rate_hz)

        def insert(payload: bytes) -> None:
            base.execute("INSERT INTO records (payload) VALUES (?)", (payload,))

        def append(payload: bytes) -> None:
            os.write(handle, payload)
            os.fsync(handle)

        for number in range(suite.commits):
            beat.wait()
            payload = noise.bytes(size)
            message = Snapped("live", number + 1, number, bytes(32), payload)
            spent["journal"].append(_timed_ms(partial(journal.commit, [message])))
            spent["SQLite alone"].append(_timed_ms(partial(insert, payload)))
            spent["fsync alone"].append(_timed_ms(partial(append, payload)))
    os.close(handle)
    journal.close()
    return spent


def _small_rig() -> accel.Rig:
    eye, zero = np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 3))
    camera = np.tile([[1000.0, 0, 500], [0, 1000.0, 500], [0, 0, 1]], (2, 1, 1))
    return accel.Rig(("a", "b"), camera, np.zeros((2, 5)), eye, zero, np.full((2, 2), 1000.0))


def _timed_ms(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return (time.perf_counter() - began_s) * 1e3


def _sizes(report: Report, game: list[list[Entry]], seconds: float) -> None:
    columns = ("entry", "records", "raw_kb", "zstd_%", "shuffled_zstd_%", "pack_us", "gb_an_hour")
    table = report.table("What records take", columns)
    kinds: dict[str, list[Entry]] = {}
    for entry in (entry for entries in game for entry in entries):
        name = entry.kind if isinstance(entry, Snapped) else type(entry).__name__
        kinds.setdefault(name, []).append(entry)
    total = 0.0
    for name, entries in kinds.items():
        encoded = [encode(entry) for entry in entries]
        some = entries[:SOME]
        raw_bytes = sum(one.raw_bytes for one in encoded[:SOME])
        plain, shuffled = (
            sum(len(encode(entry, codec).payload) for entry in some) / raw_bytes
            for codec in (Codec.ZSTD, Codec.SHUFFLED_ZSTD)
        )
        an_hour = sum(len(one.payload) for one in encoded) / seconds * 3600 / 1e9
        total += an_hour
        spent = [_timed_ms(partial(encode, entry)) for entry in some]
        table.add(
            {
                "entry": name,
                "records": len(entries),
                "raw_kb": round(float(np.mean([one.raw_bytes for one in encoded])) / 1000, 2),
                "zstd_%": round(100 * plain, 1),
                "shuffled_zstd_%": round(100 * shuffled, 1),
                "pack_us": round(1e3 * float(np.median(spent)), 1),
                "gb_an_hour": round(an_hour, 2),
            }
        )
    report.details["gb_an_hour"] = round(total, 2)


def _again(report: Report, root: Path, arena: Arena) -> None:
    columns = ("what", "records", "mb", "seconds")
    table = report.table("Opening again, and proving", columns)
    facts = SessionFacts("bench", arena.accel_rig())
    size = sum(path.stat().st_size for path in (root / "game").iterdir()) / 1e6
    began_s = time.perf_counter()
    journal = Journal.open(root / "game", facts, NodeKey.generate())
    opened_s = time.perf_counter() - began_s
    found = journal.recovered
    assert found is not None
    assert not found.damages
    table.add(
        {
            "what": "open: check and recover",
            "records": found.tip.record,
            "mb": round(size, 1),
            "seconds": round(opened_s, 2),
        }
    )
    began_s = time.perf_counter()
    resume_tracker(facts.rig, found)
    table.add(
        {
            "what": f"resume: {len(found.calls)} calls again",
            "records": len(found.calls),
            "seconds": round(time.perf_counter() - began_s, 2),
        }
    )
    journal.commit([StateChanged("bench")])
    journal.close()
    began_s = time.perf_counter()
    verdict = verify(root / "game")
    assert verdict.holds, verdict.found
    table.add(
        {
            "what": f"verify: {sum(verdict.snapshots.values())} snapshots bit for bit",
            "records": verdict.last,
            "mb": round(size, 1),
            "seconds": round(time.perf_counter() - began_s, 2),
        }
    )
