"""What a verification proves, and what it finds and where."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from accel import COCO17, Snapshot, _core
from edge_node.encoding import encode_snapshot
from edge_node.frames import TrackedFrame
from edge_node.journal.codec import Kind, decode, encode
from edge_node.journal.entries import Checkpointed, Observed, Snapped
from edge_node.journal.folder import places
from edge_node.journal.heads import SignedHead, Tip, sign
from edge_node.journal.keeping import remove
from edge_node.journal.keys import NodeKey
from edge_node.journal.mark import Mark, Marked, read_mark
from edge_node.journal.reading import JournalReader
from edge_node.journal.rerunning import PROCESSORS, differs
from edge_node.journal.resuming import resume_tracker
from edge_node.journal.segment import Linked
from edge_node.journal.verdict import VerifyOptions
from edge_node.journal.verifying import verify
from tests.support.forgeries import forge
from tests.support.journals import SESSION, Play, facts, key, opened
from tipoff.errors import NotFoundError

STEPS = 70


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SignedHead]:
    """A journal of two epochs and several files, and its last head."""
    folder = tmp_path_factory.mktemp("journal")
    journal, play = opened(folder, segment_bytes=150_000, sign_every_ns=1), Play()
    for _ in range(STEPS // 2):
        journal.commit(play.next())
    journal.close()
    journal = opened(folder, segment_bytes=150_000, sign_every_ns=1)
    assert journal.recovered is not None
    tracker = resume_tracker(facts().rig, journal.recovered)
    play = Play(tracker, journal.epoch, play.step, checkpoint_every=20)
    for _ in range(STEPS // 2):
        journal.commit(play.next())
    head = journal.head()
    journal.close()
    return folder, head


@pytest.fixture
def journal(whole: tuple[Path, SignedHead], tmp_path: Path) -> Path:
    """A copy of it to be spoilt."""
    return Path(shutil.copytree(whole[0], tmp_path / "copy"))


def test_a_whole_journal_comes_out_bit_for_bit(whole: tuple[Path, SignedHead]) -> None:
    folder, head = whole
    verdict = verify(folder, VerifyOptions(head=head, public_keys=(key().public,)))
    assert verdict.found == []
    assert verdict.holds
    assert (verdict.first, verdict.last, verdict.last_hash) == (1, head.record, head.hash)
    assert verdict.head_record == head.record
    assert verdict.heads > STEPS
    assert verdict.observations == STEPS * len(facts().rig)
    assert verdict.snapshots["live"] == STEPS
    assert verdict.snapshots["smoothed"] > STEPS - 20
    assert verdict.checkpoints == 3
    assert verdict.replayed_from == 1
    assert [epoch for epoch, _ in verdict.made_by] == [1, 2]
    assert verdict.made_by[1][1] == facts()
    assert verdict.public_keys == [key().public]
    assert verdict.not_replayed == ""


def test_a_journal_is_verified_while_it_is_written(tmp_path: Path) -> None:
    journal, play = opened(tmp_path), Play()
    for _ in range(5):
        journal.commit(play.next())
    assert JournalReader(tmp_path).written
    verdict = verify(tmp_path)
    assert verdict.holds
    assert verdict.last == journal.tip.record
    journal.commit(play.next())
    journal.close()
    assert not JournalReader(tmp_path).written


def test_without_a_journal_nothing_is_proved(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no journal"):
        verify(tmp_path)


def test_a_pruned_journal_is_proved_from_its_first_checkpoint(journal: Path) -> None:
    first, *rest = places(journal)
    remove(journal, first)
    missed = verify(journal, VerifyOptions(replay=False))
    assert [found.record for found in missed.found] == [1]
    assert "beginning" in missed.found[0].what
    mark = Mark(journal, dataclasses.replace(_marked(journal), oldest=rest[0].first))
    mark.close()
    verdict = verify(journal)
    assert verdict.holds
    assert verdict.first == rest[0].first
    assert verdict.replayed_from is not None
    assert verdict.replayed_from > verdict.first
    assert verdict.snapshots["live"] > 0


def _marked(folder: Path) -> Marked:
    mark = read_mark(folder)
    assert isinstance(mark, Marked)
    return mark


Change = Callable[[sqlite3.Connection, int], None]


def _set(column: str, value: str) -> Change:
    def change(base: sqlite3.Connection, record: int) -> None:
        base.execute(f"UPDATE records SET {column} = {value} WHERE record = ?", (record,))

    return change


def _removed(base: sqlite3.Connection, record: int) -> None:
    base.execute("DELETE FROM records WHERE record = ?", (record,))


def _removed_and_moved_up(base: sqlite3.Connection, record: int) -> None:
    _removed(base, record)
    rows = base.execute("SELECT record FROM records WHERE record > ? ORDER BY 1", (record,))
    for (later,) in rows.fetchall():
        base.execute("UPDATE records SET record = ? WHERE record = ?", (later - 1, later))


def _swapped(base: sqlite3.Connection, record: int) -> None:
    for old, new in ((record, -1), (record + 1, record), (-1, record + 1)):
        base.execute("UPDATE records SET record = ? WHERE record = ?", (new, old))


def _doubled(base: sqlite3.Connection, record: int) -> None:
    base.execute(
        "INSERT OR REPLACE INTO records SELECT record + 1, epoch, kind, codec, sequence, time_ns,"
        " raw_bytes, hash, payload FROM records WHERE record = ?",
        (record,),
    )


CHANGES = {
    "payload": _set("payload", "CAST(payload || x'00' AS BLOB)"),
    "payload emptied": _set("payload", "x''"),
    "kind": _set("kind", "kind + 1"),
    "epoch": _set("epoch", "epoch + 1"),
    "codec": _set("codec", "(codec + 1) % 3"),
    "sequence": _set("sequence", "sequence + 1"),
    "time": _set("time_ns", "time_ns - 1"),
    "size": _set("raw_bytes", "raw_bytes + 1"),
    "negative epoch": _set("epoch", "-1"),
    "hash": _set("hash", "zeroblob(32)"),
    "removed": _removed,
    "removed and moved up": _removed_and_moved_up,
    "swapped": _swapped,
    "doubled": _doubled,
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("record", [2, 33, 200])
def test_a_change_is_found_and_located(journal: Path, name: str, record: int) -> None:
    _change(journal, record, CHANGES[name])
    verdict = verify(journal, VerifyOptions(replay=False))
    assert not verdict.holds
    expected = record + 1 if name == "doubled" else record
    assert verdict.found[0].record == expected
    assert f"record {expected} " in verdict.found[0].what


def _change(folder: Path, record: int, change: Change) -> None:
    place = [place for place in places(folder) if place.first <= record][-1]
    with closing(sqlite3.connect(folder / place.name)) as base, base:
        change(base, record)


def test_a_file_that_was_taken_out_is_missed(journal: Path) -> None:
    second = places(journal)[1]
    remove(journal, second)
    verdict = verify(journal, VerifyOptions(replay=False))
    assert verdict.found[0].record == second.first
    assert "missing" in verdict.found[0].what


def test_an_end_that_was_cut_off_is_missed(journal: Path, whole: tuple[Path, SignedHead]) -> None:
    last = places(journal)[-1]
    remove(journal, last)
    by_mark = verify(journal, VerifyOptions(replay=False))
    assert by_mark.found[0].record == last.first
    (journal / "mark").unlink()
    without = verify(journal, VerifyOptions(replay=False))
    assert ["mark cannot be read" in found.what for found in without.found] == [True]
    Mark(journal, Marked(1, Tip(without.last, without.last_hash))).close()
    assert verify(journal, VerifyOptions(replay=False)).holds
    by_head = verify(journal, VerifyOptions(head=whole[1], replay=False))
    assert by_head.found[0].record == last.first
    assert "was signed" in by_head.found[0].what


def _first(folder: Path, kind: Kind, after: int = 100) -> int:
    return next(r.record for r in JournalReader(folder).records(after) if r.kind == kind)


def _nudged(linked: Linked) -> Linked:
    entry = decode(linked.record)
    if isinstance(entry, Observed):
        points = entry.keypoints.copy()
        points[0, :, 0] += 3.0
        entry = dataclasses.replace(entry, keypoints=points)
    elif isinstance(entry, Snapped):
        message = bytearray(entry.message)
        # The last byte of a joint's coordinate: 10 cm or so.
        message[200] ^= 1
        entry = dataclasses.replace(entry, message=bytes(message))
    elif isinstance(entry, Checkpointed):
        entry = Checkpointed(entry.checkpoint[:-1] + b"\0")
    else:
        raise TypeError(type(entry))
    one = encode(entry)
    record = dataclasses.replace(
        linked.record, payload=one.payload, raw_bytes=one.raw_bytes, codec=int(one.codec)
    )
    return Linked(record, b"")


@pytest.mark.parametrize("kind", [Kind.OBSERVED, Kind.LIVE, Kind.SMOOTHED])
def test_a_forged_chain_is_given_away_by_the_heads(journal: Path, kind: Kind) -> None:
    record = _first(journal, kind)
    forge(journal, record, _nudged)
    verdict = verify(journal, VerifyOptions(replay=False))
    head_before = max(
        head.record for head in JournalReader(journal).heads() if head.record < record
    )
    assert verdict.found[0].record == head_before + 1
    assert "another hash" in verdict.found[0].what


@pytest.mark.parametrize("kind", [Kind.OBSERVED, Kind.LIVE, Kind.SMOOTHED, Kind.CHECKPOINTED])
def test_a_forged_chain_without_heads_is_given_away_by_the_tracker(
    journal: Path, kind: Kind, whole: tuple[Path, SignedHead]
) -> None:
    record = _first(journal, kind)
    forge(journal, record, _nudged)
    for place in places(journal):
        with closing(sqlite3.connect(journal / place.name)) as base, base:
            base.execute("DELETE FROM heads")
    verdict = verify(journal)
    assert not verdict.holds
    # A keypoint that was nudged is seen in the snapshot after it.
    near = range(record, record + 12)
    by_tracker = [found for found in verdict.found if "no signed head" not in found.what]
    assert by_tracker[0].record in (near if kind is Kind.OBSERVED else [record])
    outside = verify(journal, VerifyOptions(head=whole[1], replay=False))
    assert any("another hash" in found.what for found in outside.found)


def test_heads_of_another_key_are_found(journal: Path) -> None:
    other = NodeKey.generate()
    with closing(sqlite3.connect(journal / places(journal)[0].name)) as base, base:
        record, digest, signed_ns = base.execute(
            "SELECT record, hash, signed_ns FROM heads ORDER BY record LIMIT 1 OFFSET 9"
        ).fetchone()
        head = sign(other, SESSION, Tip(record, digest), signed_ns)
        base.execute(
            "UPDATE heads SET signature = ?, public_key = ? WHERE record = ?",
            (head.signature, head.public_key, record),
        )
    verdict = verify(journal, VerifyOptions(replay=False))
    assert [found.what for found in verdict.found] == [
        f"the head of record {record} is signed with a key that its epoch does not name"
    ]


def test_a_journal_that_was_signed_by_another_node_is_found(
    whole: tuple[Path, SignedHead],
) -> None:
    other = NodeKey.generate()
    verdict = verify(whole[0], VerifyOptions(public_keys=(other.public,), replay=False))
    assert not verdict.holds
    assert "another key than the given one" in verdict.found[0].what


def test_an_instruction_set_that_is_not_here_is_named(
    whole: tuple[Path, SignedHead], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_on = facts().isa
    monkeypatch.setattr(_core, "instruction_sets", lambda: ["sse0"])
    verdict = verify(whole[0])
    assert verdict.holds
    assert verdict.snapshots == {}
    assert verdict.replayed_from is None
    assert made_on in verdict.not_replayed
    assert PROCESSORS[made_on] in verdict.not_replayed


def _snapshot(people: int) -> Snapshot:
    rng = np.random.default_rng(5)
    joints = len(COCO17.joints)
    return Snapshot(
        time_ns=7,
        ids=np.arange(10, 10 + people),
        joints_m=rng.normal(size=(people, joints, 3)),
        covariance_m2=np.where(rng.random((people, joints, 1, 1)) < 0.1, np.nan, np.eye(3)),
        confidence=rng.random((people, joints)).astype(np.float32),
        views=rng.integers(0, 4, (people, joints)).astype(np.int32),
    )


def _part(snapshot: Snapshot, keep: list[int]) -> Snapshot:
    return Snapshot(
        snapshot.time_ns,
        snapshot.ids[keep],
        snapshot.joints_m[keep],
        snapshot.covariance_m2[keep],
        snapshot.confidence[keep],
        snapshot.views[keep],
    )


def _sent(snapshot: Snapshot, sequence: int = 4) -> Snapped:
    frame = TrackedFrame(snapshot.time_ns, snapshot, ())
    return Snapped("live", sequence, 7, bytes(32), encode_snapshot(frame, 2, 4, 99))


@pytest.mark.parametrize("keep", [[0, 1, 2], [2], [], [2, 0]])
def test_a_message_may_hold_a_part_of_the_people(keep: list[int]) -> None:
    snapshot = _snapshot(3)
    assert differs(_sent(_part(snapshot, keep)), 2, snapshot) == ""


def test_a_message_of_something_else_is_told() -> None:
    snapshot = _snapshot(3)
    assert "nobody" in differs(_sent(_snapshot(4)), 2, snapshot)
    assert "epoch" in differs(_sent(snapshot), 3, snapshot)
    assert "epoch" in differs(_sent(snapshot, 5), 2, snapshot)
    for name in ("joints_m", "covariance_m2", "confidence", "views"):
        changed = getattr(snapshot, name).copy()
        changed.ravel()[5] += 1
        other = dataclasses.replace(snapshot, **{name: changed})
        assert differs(_sent(other), 2, snapshot) == name
