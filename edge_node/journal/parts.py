"""Finding the part of a journal that holds a time, without reading the rest of it.

A game's journal takes tens of GB. Each of its files is of one epoch, and within an epoch times
rise: the first and the last snapshot of each file say which file has a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from edge_node.journal.codec import Kind, decode
from edge_node.journal.entries import Opened
from edge_node.journal.errors import JournalDamagedError
from tipoff.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edge_node.journal.chain import Record
    from edge_node.journal.facts import SessionFacts
    from edge_node.journal.folder import Place
    from edge_node.journal.reading import JournalReader

_S = 1_000_000_000
EARLIEST_NS, LATEST_NS = -(2**63), 2**63 - 1
"""Before and after every time."""
LAST_EPOCH = 2**63
"""No epoch comes to it."""
BEHIND_NS = 5_000_000_000
"""What belongs to a time stands at most so far behind the live snapshot of it: smoothed snapshots,
and frames that came late."""
_TIMED = (Kind.OBSERVED, Kind.LIVE, Kind.SMOOTHED)


@dataclass(frozen=True, slots=True)
class Span:
    """Which time somebody asks for; by itself all of it."""

    from_ns: int | None = None
    """Its beginning, ns UTC; None: the journal's."""
    to_ns: int | None = None
    """Its end, ns UTC; None: the journal's."""
    last_s: float | None = None
    """So many seconds before the newest snapshot, instead of both; None: those count."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.last_s is not None and not (self.from_ns is None and self.to_ns is None):
            raise InvalidInputError("a span has a beginning and an end, or is the last seconds")
        if self.from_ns is not None and self.to_ns is not None and self.from_ns >= self.to_ns:
            raise InvalidInputError("a span begins before it ends")

    @property
    def is_all(self) -> bool:
        """Whether the whole journal is asked for."""
        return self.from_ns is None and self.to_ns is None and self.last_s is None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a journal in which times rise."""

    from_ns: int
    """Its beginning, ns UTC."""
    to_ns: int
    """Its end, ns UTC."""
    epochs: range
    """The epochs that it was played in."""
    first: int = 0
    """No record before this one is of it."""

    def of(self, records: Iterable[Record]) -> Iterator[Record]:
        """Give its records and no others, and read no further than its end.

        Args:
            records: The journal's, from :attr:`first` on or from before it.
        """
        for record in records:
            if record.epoch >= self.epochs.stop or self._is_behind(record):
                return
            timed = record.kind in _TIMED
            if record.epoch in self.epochs and not (timed and not self._holds(record)):
                yield record

    def _holds(self, record: Record) -> bool:
        return self.from_ns <= record.time_ns <= self.to_ns

    def _is_behind(self, record: Record) -> bool:
        late = record.kind == Kind.LIVE and record.time_ns - BEHIND_NS > self.to_ns
        return late and record.epoch in self.epochs


WHOLE = Part(EARLIEST_NS, LATEST_NS, range(LAST_EPOCH))
"""All of a journal, whatever its times do."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The snapshots of a kind in one file."""

    place: Place
    from_ns: int
    to_ns: int


def parts(reader: JournalReader, kind: Kind, span: Span) -> list[Part]:
    """Find what a journal has of a time.

    Args:
        reader: Reads the journal.
        kind: ``LIVE`` or ``SMOOTHED``: by whose snapshots.
        span: The time.

    Returns:
        The parts that may hold it, the newest first: where the node's clock was set back a time
        was played more than once. Only one where the last seconds are asked for; none where no
        snapshot is of that time.

    Raises:
        NotFoundError: The last seconds are asked for, and the journal has no snapshot yet.
        JournalDamagedError: A file cannot be read.
    """
    stretches = list(_stretches(reader, reader.places, kind))
    plays = _tell_apart(stretches)
    from_ns, to_ns = span.from_ns, span.to_ns
    if span.last_s is not None:
        if not stretches:
            raise NotFoundError("the journal has no snapshot yet")
        # Those before the newest snapshot, which is not the latest where a clock was set back.
        plays, to_ns = plays[-1:], stretches[-1].to_ns
        from_ns = to_ns - round(span.last_s * _S)
    from_ns = EARLIEST_NS if from_ns is None else from_ns
    to_ns = LATEST_NS if to_ns is None else to_ns
    return [
        Part(from_ns, to_ns, epochs, within[0].place.first)
        for epochs, play in reversed(plays)
        if (within := [each for each in play if each.from_ns <= to_ns and each.to_ns >= from_ns])
    ]


def ends_of(reader: JournalReader) -> tuple[int, int] | None:
    """Give the times of the first and the newest live snapshot, ns UTC; None where there is none.

    Raises:
        JournalDamagedError: A file cannot be read.
    """
    first = next(_stretches(reader, reader.places, Kind.LIVE), None)
    last = next(_stretches(reader, reader.places[::-1], Kind.LIVE), None)
    return None if first is None or last is None else (first.from_ns, last.to_ns)


def part_of(reader: JournalReader, span: Span) -> Part:
    """Give the newest part that holds a time; all of the journal where all is asked for.

    Raises:
        NotFoundError: There is none.
        JournalDamagedError: A file cannot be read.
    """
    if span.is_all:
        return WHOLE
    found = parts(reader, Kind.LIVE, span)
    if not found:
        raise NotFoundError(
            f"the journal in {reader.folder} has no snapshot of that time; times are ns UTC or with"
            " their zone, and `--last` counts from its newest snapshot",
            path=str(reader.folder),
        )
    return found[0]


def facts_of(reader: JournalReader, part: Part) -> SessionFacts:
    """Give what made a part: what its first file says; of all of a journal, what its newest does.

    Raises:
        JournalDamagedError: That cannot be read.
        JournalPrunedError: It went meanwhile.
    """
    if not part.first:
        return reader.overview().opened.facts
    record = next(reader.records(part.first), None)
    entry = None if record is None else decode(record)
    if not isinstance(entry, Opened):
        raise JournalDamagedError(
            f"record {part.first} does not begin a file as it does; `tipoff verify` says more",
            record=part.first,
        )
    return entry.facts


def _stretches(reader: JournalReader, places: Iterable[Place], kind: Kind) -> Iterator[_Stretch]:
    for place in places:
        ends = reader.ends(place, kind)
        if ends is not None:
            yield _Stretch(place, ends[0].time_ns, ends[1].time_ns)


def _tell_apart(stretches: Sequence[_Stretch]) -> list[tuple[range, list[_Stretch]]]:
    """Begin a play at the first and wherever the times fall; give each with its epochs."""
    plays: list[list[_Stretch]] = []
    for each in stretches:
        before = plays[-1][-1] if plays else None
        # A process has one clock, so that times fall between epochs alone.
        if before is None or (
            each.place.epoch != before.place.epoch and each.from_ns <= before.to_ns
        ):
            plays.append([])
        plays[-1].append(each)
    # The oldest epochs may have no snapshot any more, the newest none yet.
    begins = [0, *(play[0].place.epoch for play in plays[1:]), LAST_EPOCH]
    return [(range(*ends), play) for ends, play in zip(pairwise(begins), plays, strict=False)]
