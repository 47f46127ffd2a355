"""Proving a journal: its chain, its signatures, and that its snapshots come out again.

Every record is checked to follow the one before it; every signed head to be a point of the chain;
and the tracker is run again on the recorded calls, so that each snapshot's digest and the numbers
of each message that was sent come out bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from accel import CheckpointError, Tracker, _core
from edge_node.encoding import UPPER_TRIANGLE
from edge_node.journal.codec import decode
from edge_node.journal.digest import snapshot_digest
from edge_node.journal.entries import (
    Checkpointed,
    Observed,
    Opened,
    Restarted,
    Snapped,
)
from edge_node.journal.errors import JournalDamagedError, ReplayDifferedError
from edge_node.journal.reading import JournalReader
from edge_node.journal.resuming import observe_again, snapshot_again
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from accel import Snapshot
    from edge_node.journal.chain import Record
    from edge_node.journal.facts import SessionFacts
    from edge_node.journal.heads import SignedHead

PROCESSORS = {
    "baseline": "any x86-64 processor",
    "avx2": "an x86-64 processor with AVX2 and FMA, such as Intel's since Haswell (2013) or AMD's"
    " since Zen (2017)",
}
"""Which processors run an instruction set."""
REPORT_EVERY = 1000
"""Records between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Found:
    """Something that is not as it was written."""

    record: int
    """Number of the record, or the first that may be meant."""
    what: str
    """What is wrong, in words."""


@dataclass(slots=True)
class Verdict:
    """What was proved, and what was found."""

    session: str
    """Name of the session."""
    first: int = 0
    """Oldest record; those before were pruned where it is not 1."""
    last: int = 0
    """Newest record whose place in the chain was proved."""
    last_hash: bytes = b""
    """Its hash."""
    made_by: list[tuple[int, SessionFacts]] = field(default_factory=list)
    """For each epoch the facts: rig, models, code."""
    public_keys: list[bytes] = field(default_factory=list)
    """Keys that the heads are signed with."""
    heads: int = 0
    """Signed heads that were proved."""
    head_record: int = 0
    """Newest record that a proved head covers."""
    observations: int = 0
    """Calls of observe that were repeated."""
    snapshots: dict[str, int] = field(default_factory=dict)
    """Snapshots of each stream that came out bit for bit."""
    checkpoints: int = 0
    """Checkpoints that came out byte for byte."""
    replayed_from: int | None = None
    """First record that was replayed; None: nothing could be."""
    not_replayed: str = ""
    """Why something was not replayed, in words; empty where all was."""
    cuts: list[Found] = field(default_factory=list)
    """What openings found damaged and moved aside: they said so in the journal itself."""
    found: list[Found] = field(default_factory=list)
    """What is not as it was written; empty where all is."""

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.found


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What is proved."""

    head: SignedHead | None = None
    """A head from outside, which the chain must lead to."""
    public_key: bytes | None = None
    """The key that heads must be signed with; None: the one that the journal names."""
    replay: bool = True
    """Whether the tracker is run again."""
    report: Callable[[int], None] = field(default=lambda _records: None)
    """Told now and then how many records were read since the last time."""


def verify(folder: Path, options: VerifyOptions | None = None) -> Verdict:
    """Prove a journal.

    Args:
        folder: Its folder.
        options: What is proved.

    Raises:
        NotFoundError: There is no journal.
    """
    options = options or VerifyOptions()
    reader = JournalReader(folder)
    try:
        verdict = Verdict(reader.beginning().session)
    except JournalDamagedError as error:
        first = reader.places[0].first
        return Verdict("", found=[Found(first, error.message)])
    hashes = _Hashes(verdict, reader, options)
    _walk(reader, verdict, options, hashes)
    hashes.finish()
    _compare_ends(reader, verdict)
    verdict.found.sort(key=lambda found: found.record)
    return verdict


def _walk(reader: JournalReader, verdict: Verdict, options: VerifyOptions, hashes: _Hashes) -> None:
    replay = Replay(verdict) if options.replay else None
    verdict.first = reader.places[0].first
    read = 0
    try:
        for linked in reader.checked():
            record = linked.record
            verdict.last, verdict.last_hash = record.record, linked.hash
            _take(record, verdict, replay)
            hashes.take(record.record, linked.hash)
            read += 1
            if read % REPORT_EVERY == 0:
                options.report(REPORT_EVERY)
    except JournalDamagedError as error:
        verdict.found.append(Found(_number(error, verdict.last + 1), error.message))
    options.report(read % REPORT_EVERY)


def _compare_ends(reader: JournalReader, verdict: Verdict) -> None:
    """Tell what is missing at either end, as far as the mark knows."""
    mark = reader.marked
    if mark is None:
        return
    if mark.oldest < verdict.first:
        what = f"records {mark.oldest} to {verdict.first - 1} are missing at the beginning"
        verdict.found.append(Found(mark.oldest, what))
    if mark.tip.record > verdict.last and verdict.holds:
        what = f"records up to {mark.tip.record} were acknowledged and are missing at the end"
        verdict.found.append(Found(verdict.last + 1, what))


def _take(record: Record, verdict: Verdict, replay: Replay | None) -> None:
    entry = decode(record)
    if isinstance(entry, Opened):
        _open(record, entry, verdict)
    if replay is None:
        return
    try:
        replay.take(record, entry)
    except ReplayDifferedError as error:
        verdict.found.append(Found(record.record, error.message))
        replay.lose(f"what follows record {record.record} cannot be run again")


def _open(record: Record, opened: Opened, verdict: Verdict) -> None:
    if opened.begins_epoch or not verdict.made_by:
        verdict.made_by.append((record.epoch, opened.facts))
    if opened.public_key not in verdict.public_keys:
        verdict.public_keys.append(opened.public_key)
    if opened.cut:
        verdict.cuts.append(Found(record.record, opened.cut))


def _number(error: JournalDamagedError, default: int) -> int:
    number = error.ids.get("record", default)
    return number if isinstance(number, int) else default


class _Hashes:
    """Compares the signed heads with the chain."""

    def __init__(self, verdict: Verdict, reader: JournalReader, options: VerifyOptions) -> None:
        self._verdict, self._options = verdict, options
        self._wanted: dict[int, list[tuple[SignedHead, bool]]] = {}
        try:
            heads = [(head, False) for head in reader.heads()]
        except JournalDamagedError as error:
            heads = []
            verdict.found.append(Found(verdict.first, error.message))
        if options.head is not None:
            heads.append((options.head, True))
        for head, given in heads:
            self._wanted.setdefault(head.record, []).append((head, given))

    def take(self, record: int, digest: bytes) -> None:
        """Compare a point of the chain with the heads that name it."""
        for head, given in self._wanted.pop(record, ()):
            what = self._wrong(head, digest)
            if what:
                name = "the given head" if given else "the head"
                since = self._verdict.head_record + 1
                self._verdict.found.append(Found(since, f"{name} of record {record} {what}"))
            else:
                self._verdict.heads += 1
                self._verdict.head_record = max(self._verdict.head_record, record)

    def _wrong(self, head: SignedHead, digest: bytes) -> str:
        key = self._options.public_key
        if key is not None and head.public_key != key:
            return "is signed with another key than the given one"
        if key is None and head.public_key not in self._verdict.public_keys:
            return "is signed with a key that the journal does not name"
        if not head.holds or head.session != self._verdict.session:
            return "is not signed by the key that it names, for this session"
        if head.hash != digest:
            since = self._verdict.head_record + 1
            return f"has another hash: one of the records {since} to {head.record} was changed"
        return ""

    def finish(self) -> None:
        """Tell the heads that name no record of the chain."""
        verdict = self._verdict
        if verdict.found:
            return
        for record, heads in sorted(self._wanted.items()):
            if record < verdict.first and all(given for _, given in heads):
                what = f"the given head names record {record}, and the journal begins later"
                verdict.found.append(Found(record, f"{what}, with {verdict.first}: it was pruned"))
            elif record > verdict.last:
                what = f"record {record} was signed, and the journal ends with {verdict.last}"
                verdict.found.append(Found(verdict.last + 1, what))


class Replay:
    """Runs the tracker again.

    Args:
        verdict: Told what came out.
    """

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._tracker: Tracker | None = None
        self._facts: SessionFacts | None = None

    def lose(self, why: str) -> None:
        """Go on from the next checkpoint."""
        self._tracker = None
        self._verdict.not_replayed = why

    def take(self, record: Record, entry: object) -> None:
        """Repeat an entry's call.

        Raises:
            ReplayDifferedError: It gave something else.
        """
        match entry:
            case Opened():
                self._facts = entry.facts
                if not entry.continues:
                    self._begin(record.record)
            case Restarted():
                self._begin(record.record)
            case Checkpointed():
                self._checkpoint(record.record, entry.checkpoint)
            case Observed() if self._tracker is not None:
                observe_again(self._tracker, entry)
                self._verdict.observations += 1
            case Snapped() if self._tracker is not None:
                self._snapshot(record, entry, self._tracker)
            case _:
                pass

    def _begin(self, record: int) -> None:
        assert self._facts is not None
        if self._missing_isa():
            return
        self._tracker = self._facts.new_tracker()
        self._started(record)

    def _started(self, record: int) -> None:
        if self._verdict.replayed_from is None:
            self._verdict.replayed_from = record

    def _missing_isa(self) -> bool:
        assert self._facts is not None
        isa = self._facts.isa
        if isa in ("auto", *_core.instruction_sets()):
            return False
        needed = PROCESSORS.get(isa, f"a processor with {isa}")
        self.lose(
            f"it was made with the instruction set {isa}, which this processor lacks: verify it on"
            f" {needed}"
        )
        return True

    def _checkpoint(self, record: int, checkpoint: bytes) -> None:
        assert self._facts is not None
        if self._tracker is None:
            if self._missing_isa():
                return
            try:
                self._tracker = Tracker.restore(self._facts.rig, checkpoint)
            except CheckpointError as error:
                self.lose(f"the checkpoint of record {record} is of no use here: {error}")
                return
            self._started(record)
        elif self._tracker.options != self._facts.tracker:
            return  # It names another instruction set than this run was asked for.
        elif self._tracker.checkpoint() != checkpoint:
            raise ReplayDifferedError(f"the checkpoint of record {record} is not what was written")
        else:
            self._verdict.checkpoints += 1

    def _snapshot(self, record: Record, entry: Snapped, tracker: Tracker) -> None:
        snapshot = snapshot_again(tracker, entry)
        if snapshot_digest(snapshot) != entry.digest:
            raise ReplayDifferedError(
                f"the {entry.kind} snapshot {entry.sequence} of epoch {record.epoch} is not what"
                " the tracker gives"
            )
        wrong = differs(entry, record.epoch, snapshot)
        if wrong:
            raise ReplayDifferedError(
                f"the message of {entry.kind} snapshot {entry.sequence} of epoch {record.epoch}"
                f" does not hold what the tracker gives: {wrong}"
            )
        counts = self._verdict.snapshots
        counts[entry.kind] = counts.get(entry.kind, 0) + 1


def differs(entry: Snapped, epoch: int, snapshot: Snapshot) -> str:
    """Say where a message is not made of a snapshot, whole or a part of its people.

    Returns:
        The field, in words; empty where all of it is, bit for bit.
    """
    try:
        sent = pb.StreamTracksResponse.FromString(entry.message).snapshot
    except ValueError as error:
        return f"it is no message ({error})"
    if (sent.epoch, sent.sequence, sent.time_ns) != (epoch, entry.sequence, entry.time_ns):
        return "epoch, sequence or time"
    rows = {int(identity): row for row, identity in enumerate(snapshot.ids)}
    missing = [identity for identity in sent.track_ids if identity not in rows]
    if missing:
        return f"track {missing[0]} is nobody"
    picked = np.array([rows[identity] for identity in sent.track_ids], np.intp)
    for name, expected in _columns(snapshot, picked).items():
        kind = expected.dtype
        if np.array(getattr(sent, name), kind).tobytes() != expected.tobytes():
            return name
    return ""


def _columns(
    snapshot: Snapshot, picked: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> Mapping[str, np.ndarray[tuple[int], np.dtype[np.generic]]]:
    """Give what a message of these rows holds, as it travels."""
    covariance = snapshot.covariance_m2[picked].reshape(-1, 9)[:, UPPER_TRIANGLE]
    with np.errstate(over="ignore"):
        return {
            "joints_m": snapshot.joints_m[picked].astype(np.float32).ravel(),
            "covariance_m2": covariance.astype(np.float32).ravel(),
            "confidence": snapshot.confidence[picked].astype(np.float32).ravel(),
            "views": snapshot.views[picked].astype(np.uint32).ravel(),
        }
