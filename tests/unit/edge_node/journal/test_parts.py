"""Finding the part of a journal that has a time, without reading the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_node.journal.chain import Record
from edge_node.journal.codec import Kind
from edge_node.journal.entries import Entry, Observed, Restarted, Snapped
from edge_node.journal.folder import places
from edge_node.journal.parts import BEHIND_NS, WHOLE, Part, Span, facts_of, part_of, parts
from edge_node.journal.reading import JournalReader
from tests.support.journals import START_NS, facts, opened, wait_for_keeper
from tipoff.errors import InvalidInputError, NotFoundError

S = 1_000_000_000
NOBODY = np.empty((0, 17, 3), np.float32)
KINDS = ("live", "smoothed")


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_node.journal.journal.LATE_ROLL", 1)


def at(second: float) -> int:
    """Give a time, ns UTC."""
    return START_NS + round(second * S)


def write(folder: Path, begin_s: int, count: int, kinds: tuple[str, ...] = KINDS) -> None:
    """Journal an epoch with a snapshot of each kind a second, in as many files as can be."""
    journal = opened(folder, segment_bytes=900)
    for number in range(count):
        time_ns = at(begin_s + number)
        entries: list[Entry] = [Restarted("a base")]
        entries += [Snapped(kind, number + 1, time_ns, bytes(32), b"") for kind in kinds]
        journal.commit(entries)
        wait_for_keeper(journal)
    journal.close()


def seconds_of(records: Iterator[Record], kind: Kind) -> list[float]:
    """Give the seconds of the snapshots of a kind."""
    return [(r.time_ns - START_NS) / S for r in records if r.kind == kind]


def read(reader: JournalReader, part: Part, kind: Kind = Kind.LIVE) -> list[float]:
    """Give the seconds of a part's snapshots."""
    return seconds_of(part.of(reader.records(part.first)), kind)


@pytest.mark.parametrize("kind", [Kind.LIVE, Kind.SMOOTHED])
@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        (Span(at(10), at(13)), [10, 11, 12, 13]),
        (Span(at(9.5), at(10.5)), [10]),
        (Span(at(-5), at(2)), [0, 1, 2]),
        (Span(at(56), at(99)), [56, 57, 58, 59]),
        (Span(None, at(1)), [0, 1]),
        (Span(at(58), None), [58, 59]),
        (Span(last_s=2.0), [57, 58, 59]),
        (Span(at(28), at(42)), [28, 29, 40, 41, 42]),
    ],
)
def test_a_time_is_found_over_files_and_epochs(
    tmp_path: Path, span: Span, seconds: list[float], kind: Kind
) -> None:
    write(tmp_path, 0, 30)
    write(tmp_path, 40, 20)
    assert len(places(tmp_path)) > 10
    reader = JournalReader(tmp_path)
    (part,) = parts(reader, kind, span)
    assert read(reader, part, kind) == seconds


def test_no_more_is_read_than_the_files_that_have_it(tmp_path: Path) -> None:
    write(tmp_path, 0, 60)
    reader = JournalReader(tmp_path)
    (part,) = parts(reader, Kind.LIVE, Span(at(30), at(32)))
    looked: list[Record] = []

    def looking() -> Iterator[Record]:
        for record in reader.records(part.first):
            looked.append(record)
            yield record

    assert seconds_of(part.of(looking()), Kind.LIVE) == [30, 31, 32]
    times_s = seconds_of(iter(looked), Kind.LIVE)
    assert min(times_s) > 20
    assert max(times_s) <= 32 + BEHIND_NS / S + 1


def test_what_comes_late_is_of_the_time_that_it_has(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for number in range(10):
        journal.commit([Snapped("live", number + 1, at(number), bytes(32), b"")])
        if number >= 3:
            journal.commit([Snapped("smoothed", number - 2, at(number - 3), bytes(32), b"")])
    journal.close()
    reader = JournalReader(tmp_path)
    (part,) = parts(reader, Kind.LIVE, Span(at(2), at(4)))
    assert read(reader, part) == read(reader, part, Kind.SMOOTHED) == [2, 3, 4]


@pytest.mark.parametrize("kind", [Kind.LIVE, Kind.SMOOTHED])
def test_a_time_that_a_clock_gave_twice_is_in_two_parts_the_newest_first(
    tmp_path: Path, kind: Kind
) -> None:
    """The node's clock was set back by 500 s between two epochs; a third one only began again."""
    write(tmp_path, 1000, 10)
    write(tmp_path, 500, 10)
    write(tmp_path, 1003, 7)
    reader = JournalReader(tmp_path)
    newest, oldest = parts(reader, kind, Span(at(1004), at(1006)))
    assert (newest.epochs[0], oldest.epochs) == (2, range(2))
    assert read(reader, newest, kind) == read(reader, oldest, kind) == [1004, 1005, 1006]
    (last,) = parts(reader, kind, Span(last_s=1.0))
    assert read(reader, last, kind) == [1008, 1009]
    (only,) = parts(reader, kind, Span(at(505), at(999)))
    assert read(reader, only, kind) == [505, 506, 507, 508, 509]


def test_the_last_seconds_are_those_before_the_newest_snapshot_not_the_latest(
    tmp_path: Path,
) -> None:
    for begin_s in (1000, 500):
        write(tmp_path, begin_s, 10)
    reader = JournalReader(tmp_path)
    (part,) = parts(reader, Kind.LIVE, Span(last_s=4.0))
    assert (part.from_ns, part.to_ns) == (at(505), at(509))
    assert read(reader, part) == [505, 506, 507, 508, 509]


def test_a_node_that_only_started_again_has_one_part_with_all_its_epochs(tmp_path: Path) -> None:
    for begin_s in (1, 11):
        write(tmp_path, begin_s, 10)
    (part,) = parts(JournalReader(tmp_path), Kind.LIVE, Span(at(0), at(15)))
    assert all(epoch in part.epochs for epoch in range(4))


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    write(tmp_path, 0, 3, kinds=("live",))
    reader = JournalReader(tmp_path)
    assert parts(reader, Kind.LIVE, Span(at(-9), at(-2))) == []
    assert parts(reader, Kind.SMOOTHED, Span(at(0), at(2))) == []
    with pytest.raises(NotFoundError, match="no snapshot yet"):
        parts(reader, Kind.SMOOTHED, Span(last_s=1.0))
    with pytest.raises(NotFoundError, match="no snapshot of that time"):
        part_of(reader, Span(from_ns=at(9)))
    assert part_of(reader, Span()) is WHOLE
    for wrong in ({"from_ns": 1, "last_s": 1.0}, {"from_ns": 2, "to_ns": 2}):
        with pytest.raises(InvalidInputError):
            Span(**wrong)


def test_all_of_a_journal_is_all_of_it(tmp_path: Path) -> None:
    for begin_s in (1000, 500):
        write(tmp_path, begin_s, 10)
    journal = opened(tmp_path)
    journal.commit([Observed(0, at(-900), NOBODY, None, accepted=False)])
    journal.close()
    reader = JournalReader(tmp_path)
    assert list(WHOLE.of(reader.records())) == list(reader.records())
    assert facts_of(reader, WHOLE) == facts()
