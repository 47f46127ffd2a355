"""Journals whose chain is whole and whose records hold anything: by hand, or of another version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_node.journal.chain import Record, first_hash, link, session_id
from edge_node.journal.codec import encode
from edge_node.journal.describing import ROSTER, RULES
from edge_node.journal.entries import (
    Checkpointed,
    Dropped,
    Ended,
    Entry,
    Observed,
    Opened,
    Restarted,
    Snapped,
    StateChanged,
)
from edge_node.journal.folder import Place
from edge_node.journal.heads import Tip
from edge_node.journal.mark import Mark, Marked
from edge_node.journal.segment import Beginning, Linked, create
from tests.support.journals import SESSION, START_NS, facts, key
from tipoff.v1 import tracking_pb2 as pb

LARGEST = 2**63 - 1


def lay(folder: Path, records: list[Record]) -> None:
    """Write records as the only file of a journal, numbered and linked, with their mark."""
    folder.mkdir(parents=True)
    tip = before = Tip(0, first_hash(SESSION))
    linked = []
    for record in records:
        numbered = replace(record, record=tip.record + 1)
        tip = Tip(numbered.record, link(tip.hash, numbered, session_id(SESSION)))
        linked.append(Linked(numbered, tip.hash))
    create(folder / Place(1, 1, 0).name, Beginning(SESSION, before), linked)
    Mark(folder, Marked(1, tip, 1)).close()


def record_of(entry: Entry, epoch: int = 1) -> Record:
    """Give an entry as a record that is not numbered yet."""
    one = encode(entry)
    return Record(
        0,
        epoch,
        int(one.kind),
        int(one.codec),
        one.sequence,
        one.time_ns,
        one.raw_bytes,
        one.payload,
    )


class Hostile:
    """Makes records out of a seed: entries as they are, entries that cannot be, and noise."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._sequence = 0

    def records(self) -> list[Record]:
        """Give the records of a journal; most begin as one does."""
        count = int(self._rng.integers(1, 12))
        first = [record_of(self._opened(begins=True))] if self._rng.random() < 0.7 else []
        return [*first, *(self._record() for _ in range(count))]

    def _record(self) -> Record:
        record = record_of(self._entry(), int(self._rng.choice([1, 1, 1, 1, 2])))
        change = self._rng.random()
        if change < 0.1:
            return replace(record, kind=int(self._rng.integers(0, 14)))
        if change < 0.15:
            return replace(record, codec=int(self._rng.integers(0, 4)))
        if change < 0.2:
            return replace(record, raw_bytes=int(self._rng.choice([0, 1, 2**20, 2**31])))
        if change < 0.3:
            payload = bytearray(record.payload)
            if payload:
                payload[int(self._rng.integers(len(payload)))] ^= 1 << int(self._rng.integers(8))
            return replace(record, payload=bytes(payload))
        if change < 0.35:
            return replace(record, payload=self._rng.bytes(int(self._rng.integers(0, 80))))
        return record

    def _entry(self) -> Entry:
        kinds = (self._observed, self._snapped, self._checkpointed, self._said)
        made: Entry = kinds[int(self._rng.integers(len(kinds)))]()
        return made

    def _time_ns(self) -> int:
        near = START_NS + int(self._rng.integers(0, 2_000_000_000))
        return int(self._rng.choice([near, near, near, 0, -near, LARGEST, -LARGEST]))

    def _observed(self) -> Observed:
        joints = int(self._rng.choice([17, 17, 17, 0, 3]))
        points = self._rng.uniform(0, 900, (int(self._rng.integers(0, 3)), joints, 3))
        asked = (None, (), (1, 2), (LARGEST,))[int(self._rng.integers(4))]
        camera = int(self._rng.choice([0, 1, 2, 200]))
        accepted = bool(self._rng.random() < 0.7)
        return Observed(camera, self._time_ns(), points.astype(np.float32), asked, accepted)

    def _snapped(self) -> Snapped:
        self._sequence += 1
        kind = str(self._rng.choice(["live", "live", "smoothed"]))
        message = self._rng.bytes(int(self._rng.integers(0, 40)))
        if self._rng.random() < 0.5:
            message = self._message()
        return Snapped(kind, self._sequence, self._time_ns(), self._rng.bytes(32), message)

    def _message(self) -> bytes:
        """Give a message whose columns need not fit together."""
        people, numbers = self._rng.integers(0, 3), self._rng.integers(0, 7, 4)
        sent = pb.Snapshot(
            epoch=1,
            sequence=self._sequence,
            time_ns=self._time_ns(),
            track_ids=[int(self._rng.choice([1, 2, -(2**63)]))] * int(people),
            joints_m=[0.5] * int(numbers[0]),
            covariance_m2=[0.1] * int(numbers[1]),
            confidence=[0.9] * int(numbers[2]),
            views=[int(self._rng.choice([3, 2**32 - 1]))] * int(numbers[3]),
        )
        return pb.StreamTracksResponse(snapshot=sent).SerializeToString()

    def _checkpointed(self) -> Checkpointed:
        return Checkpointed(self._rng.bytes(int(self._rng.integers(0, 200))))

    def _said(self) -> Entry:
        said: tuple[Entry, ...] = (
            Restarted("by hand"),
            StateChanged("members", {}),
            StateChanged("schedule", {"began_ns": "never"}),
            StateChanged("officials", {"off": 3}),
            Dropped(3, self._time_ns(), "late"),
            Ended("of another kind", "over"),
            self._opened(begins=bool(self._rng.random() < 0.5)),
        )
        return said[int(self._rng.integers(len(said)))]

    def _opened(self, *, begins: bool) -> Opened:
        continues = bool(self._rng.random() < 0.5)
        notes = self._rng.choice(["", RULES, ROSTER]) if self._rng.random() < 0.3 else ""
        told = replace(
            facts(),
            notes={str(notes): [{"another": 1}]} if notes else {},
            time_base=str(self._rng.choice(["utc", "utc", "utc", "another"])),
        )
        return Opened(told, key().public, continues, begins_epoch=begins)
