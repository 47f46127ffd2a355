"""Running the tracker again on a journal's calls: every snapshot must come out bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accel import CheckpointError, Tracker, _core
from edge_node.encoding import UPPER_TRIANGLE
from edge_node.journal.digest import snapshot_digest
from edge_node.journal.entries import Checkpointed, Observed, Opened, Restarted, Snapped
from edge_node.journal.errors import ReplayDifferedError
from edge_node.journal.messages import read_message
from edge_node.journal.resuming import observe_again, snapshot_again

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel import Snapshot
    from edge_node.journal.chain import Record
    from edge_node.journal.facts import SessionFacts
    from edge_node.journal.verdict import Verdict

PROCESSORS = {
    "baseline": "any x86-64 processor",
    "avx2": "an x86-64 processor with AVX2 and FMA, such as Intel's since Haswell (2013) or AMD's"
    " since Zen (2017)",
}
"""Which processors run an instruction set."""


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
        if self._facts is None and not isinstance(entry, Opened):
            return  # Nothing says how to run it; that its epoch was not opened is told.
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
        sent = read_message(entry.message)
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
