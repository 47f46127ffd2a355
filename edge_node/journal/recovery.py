"""Opening a journal again: walk the chain's end, keep what is good, move aside what is not.

The walk covers the last ``check_bytes``, and more where the last checkpoint lies further back; the
whole chain is checked by `tipoff verify`. Files are read as they are found: nothing is written to a
damaged one, so that what is moved aside is what was found.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import structlog

from edge_node.journal.chain import first_hash
from edge_node.journal.errors import JournalDamagedError, JournalError
from edge_node.journal.folder import (
    Place,
    file_bytes,
    move_aside,
    places,
    remove_file,
    replaced_places,
    sync_folder,
)
from edge_node.journal.gathering import Damage, Gathering, Recovery
from edge_node.journal.heads import Tip
from edge_node.journal.mark import BadMark, Marked, read_mark
from edge_node.journal.segment import Beginning, Linked, SegmentReader, create, fold
from edge_node.journal.spare import adopt
from tipoff.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edge_node.journal.heads import SignedHead

MENDING_RECORDS = 1_000_000
"""Records of one file that are written anew, at most; a file never has as many."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Walked:
    """How far a walk came."""

    tip: Tip
    """The last good record."""
    gathering: Gathering
    """What was gathered on the way."""
    damage: Damage | None
    """What ended it; None: it came to the end."""
    index: int
    """Which of the files it ended in."""
    good: int
    """Good records in that file."""


def recover(folder: Path, session: str, check_bytes: int) -> Recovery | None:
    """Bring a journal into a state that can be gone on from.

    Args:
        folder: Its folder; the caller is its only writer.
        session: Name of the session.
        check_bytes: How much of the chain's end is checked at least.

    Returns:
        What it held; None where nothing was ever written.

    Raises:
        ConflictError: It is another session's, or a later version wrote it.
        JournalError: The machine does not let it be read now; what was there is there.
        OSError, sqlite3.Error: What was found cannot be moved aside, or not written anew.
    """
    damages: list[Damage] = []
    mark = _read_mark(folder)
    begun = _tidy(folder, mark)
    found = places(folder)
    walked = _walk(folder, session, found, check_bytes)
    for _ in range(len(found)):
        if walked.damage is None:
            break
        damages.append(_cut(folder, session, found, walked))
        log.error("journal damaged", record=damages[-1].record, reason=damages[-1].reason)
        found = places(folder)
        walked = _walk(folder, session, found, check_bytes)
    assert walked.damage is None, "each cut leaves a file less, or one that is good"
    damages += [Damage(walked.tip.record + 1, why, aside) for aside, why in begun.items()]
    damages += _against_mark(mark, found, walked.tip)
    _make_durable(folder, found)
    if not damages and not walked.tip.record:
        return None
    return walked.gathering.recovery(walked.tip, tuple(damages))


def _walk(folder: Path, session: str, found: list[Place], check_bytes: int) -> Walked:
    """Check the files' end; from further back where the tracker's state cannot be told."""
    start = len(found)
    size = 0
    while start > 0 and (size < check_bytes or start == len(found)):
        start -= 1
        size += file_bytes(folder, found[start])
    while True:
        walked = _walk_from(folder, session, found, start)
        if walked.gathering.based or start == 0 or walked.damage is not None:
            return walked
        start -= 1


def _walk_from(folder: Path, session: str, found: list[Place], start: int) -> Walked:
    gathering = Gathering()
    tip: Tip | None = Tip(0, first_hash(session)) if start == 0 else None
    for index in range(start, len(found)):
        good = 0
        try:
            with SegmentReader(folder / found[index].name) as reader:
                tip = _begin(reader.beginning, session, found[index], tip)
                for linked in reader.checked(tip):
                    tip = Tip(linked.record.record, linked.hash)
                    good += 1
                    gathering.take(linked.record)
        except JournalDamagedError as error:
            if tip is None:
                tip = Tip(found[index].first - 1, b"")
            damage = Damage(tip.record + 1, error.message)
            return Walked(tip, gathering, damage, index, good)
    return Walked(tip or Tip(0, first_hash(session)), gathering, None, len(found), 0)


def _begin(beginning: Beginning, session: str, place: Place, tip: Tip | None) -> Tip:
    """Check that a file goes on where the one before it ended."""
    before = beginning.before
    if beginning.session != session:
        raise JournalDamagedError(f"{place.name} is of session {beginning.session!r}")
    if before.record != place.first - 1:
        raise JournalDamagedError(f"{place.name} goes on from record {before.record}")
    # The oldest file of a pruned journal goes on from records that are gone.
    if tip is not None and tip.record and tip != before:
        raise JournalDamagedError(
            f"{place.name} goes on from record {before.record}, and the last one before it is"
            f" {tip.record}" + (", with another hash" if tip.record == before.record else "")
        )
    if before.record == 0 and before.hash != first_hash(session):
        raise JournalDamagedError(f"{place.name} does not begin as a journal does")
    return before


def _cut(folder: Path, session: str, found: list[Place], walked: Walked) -> Damage:
    """Move aside what lies after the last good record."""
    assert walked.damage is not None
    place = found[walked.index]
    _refuse_another_session(folder, place, session, walked.good)
    reason = walked.damage.reason
    if walked.good:
        mended = Place(place.first, place.epoch, place.mended + 1)
        with SegmentReader(folder / place.name) as reader:
            good = _first(reader.linked(), walked.good)
            heads, lost = _heads_of(reader, good)
            create(folder / mended.name, reader.beginning, good, heads)
        if lost:
            reason = f"{reason}; signed heads of records before it are lost: {lost}"
    # Last ones first: whatever is left by an interruption is a journal that ends earlier.
    names = [later.name for later in reversed(found[walked.index :])]
    aside = move_aside(folder, names, reason)
    return Damage(walked.damage.record, reason, aside)


def _heads_of(reader: SegmentReader, good: Sequence[Linked]) -> tuple[list[SignedHead], str]:
    """Give the signed heads of good records: without them nobody could prove who wrote those.

    Returns:
        Those that are left, and why others are lost; empty where none is.
    """
    before = reader.beginning.before
    hashes = {before.record: before.hash, **{one.record.record: one.hash for one in good}}
    found, lost = reader.heads_of(hashes)
    named = [head for head in found if head.record in hashes]
    heads = [head for head in named if hashes[head.record] == head.hash and head.holds]
    if len(heads) < len(named):
        lost = lost or f"{len(named) - len(heads)} are not what was signed"
    return heads, lost


def _first(linked: Iterable[Linked], count: int) -> list[Linked]:
    assert count <= MENDING_RECORDS
    good = []
    for one in linked:
        good.append(one)
        if len(good) == count:
            break
    return good


def _refuse_another_session(folder: Path, place: Place, session: str, good: int) -> None:
    """A whole journal of another session is no damage, but the wrong folder."""
    if good:
        return
    try:
        with SegmentReader(folder / place.name) as reader:
            other = reader.beginning
            if other.session == session or next(reader.checked(other.before), None) is None:
                return
    except JournalDamagedError:
        return
    raise ConflictError(
        f"the journal in {folder} is of session {other.session!r}, not of {session!r}; give each"
        " session a folder of its own",
        path=str(folder),
    )


def _read_mark(folder: Path) -> Marked | BadMark:
    mark = read_mark(folder)
    if isinstance(mark, BadMark) and mark.passing:
        raise JournalError(
            f"the mark of the journal in {folder} cannot be read now: {mark.reason}; nothing was"
            " changed. See that the process may read and write the folder and may open more files,"
            " and start again",
            path=str(folder),
        )
    return mark


def _against_mark(mark: Marked | BadMark, found: list[Place], tip: Tip) -> list[Damage]:
    """Compare both ends of what is there with what the mark says of them."""
    if isinstance(mark, BadMark):
        # A journal that was never opened has neither files nor a mark.
        return [Damage(tip.record, f"the mark cannot be read: {mark.reason}")] if found else []
    damages = []
    if found and found[0].first > mark.oldest:
        lost = f"records {mark.oldest} to {found[0].first - 1}"
        damages.append(Damage(mark.oldest, f"{lost} are missing at the beginning"))
    if mark.tip.record > tip.record:
        lost = f"records {tip.record + 1} to {mark.tip.record}"
        what = f"{lost} were acknowledged and are missing at the end"
        damages.append(Damage(tip.record + 1, what))
    elif mark.tip.record == tip.record and tip.record and mark.tip.hash != tip.hash:
        what = f"record {tip.record} is not the one that was acknowledged"
        damages.append(Damage(tip.record, what))
    return damages


def _tidy(folder: Path, mark: Marked | BadMark) -> dict[str, str]:
    """Finish what an interrupted mending, pruning, or change of file left.

    Returns:
        What :func:`adopt` moved aside.
    """
    begun = adopt(folder)
    replaced = replaced_places(folder)
    if replaced:
        move_aside(folder, [place.name for place in replaced], "written anew without its damage")
    if isinstance(mark, Marked):
        _finish_pruning(folder, mark.oldest)
    for part in folder.glob("*.part*"):
        part.unlink(missing_ok=True)
    return begun


def _finish_pruning(folder: Path, oldest: int) -> None:
    """Remove files that were to go: what is left of them may lack its log, and is no damage."""
    found = places(folder)
    if not any(place.first == oldest for place in found):
        return  # A pruning leaves the file that begins there, whatever becomes of the others.
    for place, later in pairwise(found):
        if later.first > oldest:
            break
        remove_file(folder / place.name)
        log.info("a pruning that was interrupted is finished", file=place.name)
    sync_folder(folder)


def _make_durable(folder: Path, found: list[Place]) -> None:
    """Sync and fold in what a killed process left in the logs: it is about to be built upon.

    What somebody who reads keeps from being folded in stays in the log, durable as well.
    """
    for place in found:
        log_path = folder / (place.name + "-wal")
        if not log_path.exists():
            continue
        with log_path.open("rb") as file:
            os.fsync(file.fileno())
        with suppress(sqlite3.Error):
            fold(folder / place.name, truncate=True)
