"""Proving a journal: its chain, its signatures, and that its snapshots come out again.

Every record is checked to follow the one before it; every signed head to be a point of the chain;
every epoch to be signed by the key that it names (:mod:`signatures`); and the tracker is run again
on the recorded calls, so that each snapshot's digest and the numbers of each message that was sent
come out bit for bit (:mod:`rerunning`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_node.journal.codec import decode
from edge_node.journal.entries import Opened
from edge_node.journal.errors import JournalDamagedError
from edge_node.journal.reading import begin_again
from edge_node.journal.rerunning import Replay
from edge_node.journal.signatures import Signatures
from edge_node.journal.verdict import Found, Verdict, VerifyOptions
from tipoff.errors import TipoffError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_node.journal.chain import Record
    from edge_node.journal.reading import JournalReader
    from edge_node.journal.rows import Linked

REPORT_EVERY = 1000
"""Records between two reports of progress."""


def verify(folder: Path, options: VerifyOptions | None = None) -> Verdict:
    """Prove a journal, also while it is written: then up to what was acknowledged at the beginning.

    Args:
        folder: Its folder.
        options: What is proved.

    Raises:
        NotFoundError: There is no journal.
        JournalError: The machine, or the rights of this user, do not let it be read now.
        JournalPrunedError: Its node pruned it at every try.
    """
    options = options or VerifyOptions()
    return begin_again(folder, lambda reader: _prove(reader, options))


def _prove(reader: JournalReader, options: VerifyOptions) -> Verdict:
    first = reader.places[0].first
    try:
        beginning = reader.beginning()
    except JournalDamagedError as error:
        return Verdict("", found=[Found(first, error.message)])
    verdict = Verdict(beginning.session, first=first)
    verdict.vouched = bool(options.public_keys) or options.head is not None
    if options.session is not None and verdict.session != options.session:
        what = f"it is the journal of session {verdict.session!r}, not of {options.session!r}"
        verdict.found.append(Found(first, what))
    signatures = Signatures(verdict, reader, options, beginning.before)
    whole = _walk(reader, verdict, options, signatures)
    signatures.finish(whole=whole)
    _compare_ends(reader, verdict, whole=whole)
    verdict.found.sort(key=lambda found: found.record)
    return verdict


def _walk(
    reader: JournalReader, verdict: Verdict, options: VerifyOptions, signatures: Signatures
) -> bool:
    """Walk along the chain; give whether it came to the end."""
    replay = Replay(verdict) if options.replay else None
    read = 0
    try:
        for linked in reader.checked():
            verdict.last, verdict.last_hash = linked.record.record, linked.hash
            _take(linked, reader, verdict, replay, signatures)
            read += 1
            if read % REPORT_EVERY == 0:
                options.report(REPORT_EVERY)
            if linked.record.record == reader.up_to:
                break
    except JournalDamagedError as error:
        verdict.found.append(Found(_number(error, verdict.last + 1), error.message))
        return False
    finally:
        options.report(read % REPORT_EVERY)
    if replay is not None and verdict.replayed_from is None and not verdict.not_replayed:
        verdict.not_replayed = "no record is kept from which the tracker can be run again"
    return True


def _compare_ends(reader: JournalReader, verdict: Verdict, *, whole: bool) -> None:
    """Tell what is missing at either end, as far as the mark knows."""
    if whole and not verdict.last:
        verdict.found.append(Found(verdict.first, "it holds no record"))
    mark = reader.marked
    if mark is None:
        what = f"the mark cannot be read: {reader.mark_reason}; what is missing at either end"
        verdict.found.append(Found(verdict.last, f"{what} cannot be told"))
        return
    if mark.oldest < verdict.first:
        what = f"records {mark.oldest} to {verdict.first - 1} are missing at the beginning"
        verdict.found.append(Found(mark.oldest, what))
    if mark.tip.record > verdict.last and whole:
        what = f"records up to {mark.tip.record} were acknowledged and are missing at the end"
        verdict.found.append(Found(verdict.last + 1, what))


def _take(
    linked: Linked,
    reader: JournalReader,
    verdict: Verdict,
    replay: Replay | None,
    signatures: Signatures,
) -> None:
    record = linked.record
    mark = reader.marked
    if mark is not None and record.record == mark.tip.record and linked.hash != mark.tip.hash:
        what = f"record {record.record} is not the one that was acknowledged"
        verdict.found.append(Found(record.record, what))
    entry = decode(record)
    if isinstance(entry, Opened):
        _open(record, entry, verdict)
        signatures.open(record, entry)
    signatures.take(record, linked.hash)
    if replay is None:
        return
    try:
        replay.take(record, entry)
    except TipoffError as error:
        # What a tracker refuses today it would not have taken then.
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
