"""A journal for other tools: Parquet and JSON.

observations.parquet     what inference found in each frame, as `edge_node.cameras` plays it
observations-2.parquet   what came after the times fell: the node's clock was set back, for example
tracks.parquet           the live snapshots as they were sent, as `tipoff track` writes them
tracks_smoothed.parquet  the smoothed ones
heads.json               the signed heads
session.json             what made them: rig, options, models, code
"""

from __future__ import annotations

import heapq
import json
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from edge_node.cameras.observations import write_observations
from edge_node.frames import TrackedFrame
from edge_node.journal.codec import Kind, decode
from edge_node.journal.entries import Observed, Opened, Snapped
from edge_node.journal.errors import JournalDamagedError
from edge_node.journal.facts import facts_to_json
from edge_node.journal.messages import tracks_in
from edge_node.journal.parts import Span, facts_of, part_of
from edge_node.journal.reading import begin_again
from edge_node.sinks.parquet import ParquetSink
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_node.cameras.observations import Row
    from edge_node.journal.chain import Record
    from edge_node.journal.facts import SessionFacts
    from edge_node.journal.parts import Part
    from edge_node.journal.reading import JournalReader

SORT_WITHIN_NS = 5_000_000_000
"""Frames are written in order of time; one that came later than this after its time is left out."""
SORT_FRAMES = 65_536
"""Frames that are held to be put in order, at most."""
TRACKS = {Kind.LIVE: "tracks.parquet", Kind.SMOOTHED: "tracks_smoothed.parquet"}


@dataclass(slots=True)
class Exported:
    """What was written."""

    observations: int = 0
    """Camera frames."""
    recordings: int = 1
    """Files that they are in: one, and one more each time that the times fell."""
    left_out: int = 0
    """Camera frames that the tracker refused, or that came too late to be put in order."""
    snapshots: int = 0
    """Snapshots of both streams."""
    heads: int = 0
    """Signed heads."""


def export(folder: Path, out: Path, span: Span | None = None) -> Exported:
    """Write a journal's content into a folder; files of the same names are replaced.

    Args:
        folder: The journal's folder.
        out: Where to; made where there is none.
        span: What of it; None: all. Where the node's clock was set back, the newest play of that
            time. What is before the files that hold it is not checked.

    Raises:
        NotFoundError: There is no journal, or it has nothing of that time.
        JournalDamagedError: A record is not what was written; says which.
        JournalError: The machine, or the rights of this user, do not let it be read now.
        JournalPrunedError: Its node pruned it at every try.
    """
    return begin_again(folder, lambda reader: _export(reader, out, span or Span()))


def _export(reader: JournalReader, out: Path, span: Span) -> Exported:
    part = part_of(reader, span)
    facts = facts_of(reader, part)
    out.mkdir(parents=True, exist_ok=True)
    done = Exported()
    _export_observations(reader, part, facts, out, done)
    _export_tracks(reader, part, facts, out, done)
    heads = [head.to_json() for head in reader.heads()]
    done.heads = len(heads)
    (out / "heads.json").write_text(json.dumps(heads, indent=1) + "\n", "utf-8")
    session = json.dumps(facts_to_json(facts), indent=1, ensure_ascii=False)
    (out / "session.json").write_text(session + "\n", "utf-8")
    return done


def _export_observations(
    reader: JournalReader, part: Part, facts: SessionFacts, out: Path, done: Exported
) -> None:
    """Write the recordings; those that an earlier export wrote beyond them go."""
    joints = len(facts.tracker.skeleton.joints)
    observed = _observations(reader, part, facts, done)
    for number, rows in groupby(observed, key=lambda numbered: numbered[0]):
        done.recordings = number
        in_order = _in_order((row for _, row in rows), done)
        done.observations += write_observations(_recording(out, number), in_order, joints)
    if not done.observations:
        write_observations(_recording(out, 1), (), joints)
    number = done.recordings + 1
    while (left := _recording(out, number)).exists():
        left.unlink()
        number += 1


def _recording(out: Path, number: int) -> Path:
    return out / ("observations.parquet" if number == 1 else f"observations-{number}.parquet")


def _observations(
    reader: JournalReader, part: Part, facts: SessionFacts, done: Exported
) -> Iterator[tuple[int, Row]]:
    """Give the frames that the tracker took, in the order in which they came.

    Each with the number of its recording: where a tracker that began anew takes a frame from before
    the newest one, its times fell, and the next recording begins.
    """
    number, newest_ns, anew = 1, -(2**63), False
    for record in part.of(linked.record for linked in reader.checked(part.first)):
        if record.kind == Kind.OPENED:
            _check_rig(record, facts)
        anew = anew or record.kind == Kind.RESTARTED
        if record.kind != Kind.OBSERVED:
            continue
        entry = decode(record)
        assert isinstance(entry, Observed)
        if not entry.accepted:
            done.left_out += 1
            continue
        if anew and entry.capture_time_ns < newest_ns:
            number, newest_ns = number + 1, entry.capture_time_ns
        newest_ns, anew = max(newest_ns, entry.capture_time_ns), False
        yield number, (_camera(record, entry, facts), entry.capture_time_ns, entry.keypoints)


def _camera(record: Record, entry: Observed, facts: SessionFacts) -> str:
    names = facts.rig.names
    if entry.camera >= len(names):
        raise JournalDamagedError(
            f"record {record.record} is a frame of camera {entry.camera}, and the rig has"
            f" {len(names)}; `tipoff verify` says more",
            record=record.record,
        )
    return names[entry.camera]


def _check_rig(record: Record, facts: SessionFacts) -> None:
    opened = decode(record)
    if isinstance(opened, Opened) and opened.facts.rig != facts.rig:
        raise InvalidInputError(
            f"epoch {record.epoch} was tracked with another rig than what is exported with it; a"
            " recording holds one rig's cameras: export them one by one, by their times",
            epoch=record.epoch,
        )


def _in_order(rows: Iterator[Row], done: Exported) -> Iterator[Row]:
    """Put frames in order of time, within bounds."""
    held: list[tuple[int, int, Row]] = []
    given_ns = newest_ns = -(2**63)
    for number, row in enumerate(rows):
        if row[1] < given_ns:
            done.left_out += 1
            continue
        newest_ns = max(newest_ns, row[1])
        heapq.heappush(held, (row[1], number, row))
        while held and (held[0][0] < newest_ns - SORT_WITHIN_NS or len(held) > SORT_FRAMES):
            given_ns, _, first = heapq.heappop(held)
            yield first
    while held:
        yield heapq.heappop(held)[2]


def _export_tracks(
    reader: JournalReader, part: Part, facts: SessionFacts, out: Path, done: Exported
) -> None:
    notes = {"session": facts.session, "rig": f"sha256:{facts.rig.digest()}"}
    with ExitStack() as open_files:
        sinks = {}
        for kind, name in TRACKS.items():
            sinks[kind] = ParquetSink(out / name, facts.tracker.skeleton, notes)
            open_files.callback(sinks[kind].close)
        for record in part.of(reader.records(part.first)):
            if record.kind not in TRACKS:
                continue
            entry = decode(record)
            assert isinstance(entry, Snapped)
            frame = TrackedFrame(entry.time_ns, tracks_in(record, entry), ())
            sinks[Kind(record.kind)].write(frame)
            done.snapshots += 1
