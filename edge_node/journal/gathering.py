"""What a walk along the chain leaves behind: all that a node needs to go on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_node.journal.codec import STREAMS, Kind, decode
from edge_node.journal.entries import Ended, Observed, Opened, Restarted, Snapped, StateChanged
from edge_node.journal.errors import JournalDamagedError
from tipoff.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_node.journal.chain import Record
    from edge_node.journal.entries import Entry
    from edge_node.journal.facts import SessionFacts
    from edge_node.journal.heads import Tip

KEPT_MESSAGES = 18_000
"""Messages of each stream that a restart hands on, at most: what a hub holds."""
KEPT_BYTES = 192 * 1024 * 1024
"""Bytes of them, packed."""
KEPT_NS = 300_000_000_000
"""How much play they span, at most."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in the journal that is not what was written."""

    record: int
    """First record that is lost; the last one, where none is."""
    reason: str
    """What was found, in words."""
    aside: str = ""
    """Where what lies after it was moved, within the journal's folder; empty where nothing was."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A snapshot as it was sent."""

    epoch: int
    """Epoch of its writer."""
    sequence: int
    """Its number in the epoch."""
    time_ns: int
    """Time that it belongs to."""
    message: bytes
    """The response."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a journal held when it was opened again."""

    tip: Tip
    """The last good record."""
    epoch: int
    """Epoch of the last good record; 0: there is none."""
    facts: SessionFacts | None
    """What made the last records; None: there is none."""
    checkpoint: bytes | None
    """The last good checkpoint; None: the calls begin with a new tracker."""
    calls: tuple[Observed | Snapped, ...]
    """What was called after it, in order; messages are left out."""
    sequences: Mapping[tuple[str, int], int]
    """Last sequence of each stream and epoch, as far as the walk went."""
    messages: Mapping[str, tuple[SentMessage, ...]]
    """The newest messages of each stream, in order of epoch and sequence."""
    last_time_ns: int | None
    """Time of the newest live snapshot; None: there was none."""
    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What was last said of each state."""
    ended: Ended | None = None
    """How the session ended; None: it goes on."""
    damages: tuple[Damage, ...] = ()
    """What was found damaged."""
    resumable: bool = True
    """Whether the tracker goes on with what it knew: :func:`resume_tracker`."""
    why_not: str = ""
    """Why not, in words."""


class Gathering:
    """Takes records in order and keeps what a restart needs."""

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.based = False
        """Whether the state of the tracker can be told from what was walked."""
        self._checkpoint: Record | None = None
        self._calls: list[Record] = []
        self._sequences: dict[tuple[str, int], int] = {}
        self._messages: dict[str, deque[Record]] = {name: deque() for name in STREAMS}
        self._bytes = dict.fromkeys(STREAMS, 0)
        self._states: dict[str, Mapping[str, Any]] = {}
        self._last_time_ns: int | None = None
        self._ended: Ended | None = None
        self._epoch = 0

    def take(self, record: Record) -> None:
        """Take the next record.

        Raises:
            ConflictError: It was written by a later version.
        """
        self._epoch = record.epoch
        kind = Kind(record.kind) if record.kind in Kind._value2member_map_ else None
        if kind is Kind.OBSERVED:
            self._calls.append(record)
        elif kind in (Kind.LIVE, Kind.SMOOTHED):
            self._calls.append(record)
            self._keep("live" if kind is Kind.LIVE else "smoothed", record)
        elif kind is Kind.CHECKPOINTED:
            self._base(record)
        elif kind is not Kind.DROPPED:
            self._take_other(record)

    def _take_other(self, record: Record) -> None:
        match _decoded(record):
            case Opened() as opened:
                self.opened = opened
                if not opened.continues:
                    self._base(None)
            case Restarted():
                self._base(None)
            case StateChanged(name, value):
                self._states[name] = value
            case Ended() as ended:
                self._ended = ended
            case _:
                pass

    def _base(self, checkpoint: Record | None) -> None:
        self.based = True
        self._checkpoint = checkpoint
        self._calls.clear()

    def _keep(self, stream: str, record: Record) -> None:
        self._sequences[stream, record.epoch] = record.sequence
        if stream == "live":
            self._last_time_ns = record.time_ns
        kept = self._messages[stream]
        kept.append(record)
        self._bytes[stream] += len(record.payload)
        while (
            len(kept) > KEPT_MESSAGES
            or self._bytes[stream] > KEPT_BYTES
            or kept[0].time_ns < record.time_ns - KEPT_NS
        ):
            self._bytes[stream] -= len(kept.popleft().payload)

    def recovery(self, tip: Tip, damages: tuple[Damage, ...]) -> Recovery:
        """Put together what was gathered."""
        checkpoint = None if self._checkpoint is None else _decoded(self._checkpoint)
        return Recovery(
            tip=tip,
            epoch=self._epoch,
            facts=None if self.opened is None else self.opened.facts,
            checkpoint=getattr(checkpoint, "checkpoint", None),
            calls=tuple(_call(record) for record in self._calls),
            sequences=dict(self._sequences),
            messages={
                name: tuple(_message(record) for record in kept)
                for name, kept in self._messages.items()
            },
            last_time_ns=self._last_time_ns,
            states=dict(self._states),
            ended=self._ended,
            damages=damages,
        )


def _decoded(record: Record) -> Entry:
    """Decode a record whose hash is right."""
    try:
        return decode(record)
    except JournalDamagedError as error:
        raise ConflictError(
            f"{error.message}; open it with the version that wrote it", record=record.record
        ) from error


def _call(record: Record) -> Observed | Snapped:
    entry = _decoded(record)
    if isinstance(entry, Snapped):
        return Snapped(entry.kind, entry.sequence, entry.time_ns, entry.digest, b"")
    assert isinstance(entry, Observed)
    return entry


def _message(record: Record) -> SentMessage:
    entry = _decoded(record)
    assert isinstance(entry, Snapped)
    return SentMessage(record.epoch, entry.sequence, entry.time_ns, entry.message)
