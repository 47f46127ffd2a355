"""Journals forged, cut, spliced, swapped or rolled back: `verify --key --head` sees them all."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from edge_node.journal.chain import Record, first_hash
from edge_node.journal.codec import Kind
from edge_node.journal.entries import Entry, Observed, Opened, Restarted, Snapped, StateChanged
from edge_node.journal.folder import places
from edge_node.journal.heads import SignedHead, Tip, sign
from edge_node.journal.journal import Journal, JournalOptions
from edge_node.journal.keeping import KeepOptions, prune_by_hand
from edge_node.journal.keys import NodeKey
from edge_node.journal.reading import JournalReader
from edge_node.journal.signatures import UNSIGNED_NS
from edge_node.journal.verdict import Verdict, VerifyOptions
from edge_node.journal.verifying import _prove, verify
from tests.support.forgeries import appended, drop, drop_heads, relink, set_mark
from tests.support.journals import SESSION, START_NS, facts, key, opened, wait_for_spare

EPOCHS = 3
COMMITS = 12
STEP_NS = 2_000_000_000


@dataclass(frozen=True)
class Real:
    """A journal as the node wrote it, closed well."""

    folder: Path
    head: SignedHead
    """The last one, as somebody outside has it."""


def _note(number: int) -> StateChanged:
    return StateChanged("note", {"number": number})


def _live(sequence: int, time_ns: int) -> Snapped:
    return Snapped("live", sequence, time_ns, bytes(32), b"")


def _write(folder: Path, epochs: int = EPOCHS, name: str = SESSION) -> SignedHead:
    for _ in range(epochs):
        journal = Journal.open(
            folder, replace(facts(), session=name), key(), JournalOptions(sign_every_ns=1)
        )
        for number in range(1, COMMITS + 1):
            journal.commit([_live(number, START_NS + number * STEP_NS), _note(number)])
        head = journal.head()
        journal.close()
    return head


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Real:
    folder = tmp_path_factory.mktemp("journal")
    return Real(folder, _write(folder))


@pytest.fixture
def real(whole: Real, tmp_path: Path) -> Real:
    """A copy of it to be forged."""
    return Real(Path(shutil.copytree(whole.folder, tmp_path / "copy")), whole.head)


def _proved(folder: Path, head: SignedHead | None = None, *keys: bytes) -> Verdict:
    keys = keys or (key().public,)
    return verify(folder, VerifyOptions(head, keys, SESSION, replay=False))


def _whats(verdict: Verdict) -> str:
    return "; ".join(found.what for found in verdict.found)


def test_what_the_node_wrote_holds(whole: Real) -> None:
    verdict = _proved(whole.folder, whole.head)
    assert verdict.found == []
    assert verdict.vouched
    assert verdict.unsigned == []
    assert verdict.head_ns == whole.head.signed_ns
    assert not verify(whole.folder, VerifyOptions(replay=False)).vouched


def _swapped(records: list[Record]) -> list[Record]:
    changed = list(records)
    changed[4], changed[5] = changed[5], changed[4]
    return changed


def _without_second_epoch(records: list[Record]) -> list[Record]:
    return [record for record in records if record.epoch != 2]


def _without_end(records: list[Record]) -> list[Record]:
    return records[:-5]


def _without_a_snapshot(records: list[Record]) -> list[Record]:
    number = next(n for n, record in enumerate(records) if record.kind == Kind.LIVE)
    return records[:number] + records[number + 1 :]


def _nudged(records: list[Record]) -> list[Record]:
    changed = list(records)
    number = next(n for n, r in enumerate(records) if r.kind == Kind.LIVE and r.epoch == 3)
    changed[number] = replace(records[number], time_ns=records[number].time_ns + 1)
    return changed


CHANGES = (_swapped, _without_second_epoch, _without_end, _without_a_snapshot, _nudged)


@pytest.mark.parametrize("change", CHANGES)
def test_records_changed_and_linked_anew_are_seen_by_the_heads(
    real: Real, change: Callable[[list[Record]], list[Record]]
) -> None:
    relink(real.folder, change, heads="keep")
    assert not _proved(real.folder).holds
    assert not _proved(real.folder, real.head).holds


@pytest.mark.parametrize("heads", ["before", "drop"])
@pytest.mark.parametrize("change", CHANGES)
def test_and_without_their_heads_by_a_head_from_outside(
    real: Real, change: Callable[[list[Record]], list[Record]], heads: str
) -> None:
    relink(real.folder, change, heads=heads)
    assert not _proved(real.folder, real.head).holds


@pytest.mark.parametrize("change", [_swapped, _without_second_epoch, _without_a_snapshot, _nudged])
def test_and_without_one_by_the_heads_that_are_not_there(
    real: Real, change: Callable[[list[Record]], list[Record]]
) -> None:
    relink(real.folder, change, heads="before")
    found = _whats(_proved(real.folder))
    assert "have no signed head" in found or "are signed by no head" in found


def test_a_snapshot_linked_anew_behind_the_true_heads_is_seen(real: Real) -> None:
    """Heads moved to the forged hashes keep signatures that do not fit."""
    relink(real.folder, _nudged)
    hashes = {one.record.record: one.hash for one in JournalReader(real.folder).checked()}
    for place in places(real.folder):
        with closing(sqlite3.connect(real.folder / place.name)) as base, base:
            for (record,) in base.execute("SELECT record FROM heads").fetchall():
                base.execute("UPDATE heads SET hash = ? WHERE record = ?", (hashes[record], record))
    assert "not signed by the key that it names" in _whats(_proved(real.folder))


def test_an_older_copy_is_seen_by_a_newer_head(whole: Real, tmp_path: Path) -> None:
    _write(tmp_path / "older", 1)
    assert _proved(tmp_path / "older").holds
    assert "was changed" in _whats(_proved(tmp_path / "older", replace_record(whole.head, 3)))
    again = tmp_path / "again"
    old = Path(shutil.copytree(whole.folder, again))
    journal = opened(old, sign_every_ns=1)
    journal.commit([_note(1)])
    head = journal.head()
    journal.close()
    verdict = _proved(whole.folder, head)
    assert "was signed, and the journal ends with" in _whats(verdict)


def replace_record(head: SignedHead, record: int) -> SignedHead:
    """A true head of another journal of the same name and node."""
    return sign(key(), head.session, Tip(record, bytes(32)), head.signed_ns)


def test_a_journal_of_another_session_in_its_place_is_seen(real: Real, tmp_path: Path) -> None:
    other = tmp_path / "semi"
    head = _write(other, 1, "semi")
    assert "of session 'semi', not of 'finals'" in _whats(_proved(other))
    assert not _proved(other, head).holds
    assert "for this session" in _whats(_proved(real.folder, head))


def test_files_of_another_session_are_seen(real: Real, tmp_path: Path) -> None:
    other = tmp_path / "semi"
    _write(other, 1, "semi")
    old, new = places(real.folder)[0], places(other)[0]
    drop(real.folder, old)
    shutil.copy(other / new.name, real.folder / new.name)
    assert not _proved(real.folder).holds
    with closing(sqlite3.connect(real.folder / new.name)) as base, base:
        base.execute("UPDATE meta SET value = CAST('finals' AS BLOB) WHERE name = 'session'")
    assert not _proved(real.folder).holds


def _forged_whole(folder: Path, public: bytes | None = None) -> NodeKey:
    """Write a journal with a key of one's own that may name another's."""
    forger = NodeKey.generate()
    signing = NodeKey(forger._private)
    signing.public = public or forger.public
    journal = Journal.open(folder, facts(), signing, JournalOptions(sign_every_ns=1))
    for number in range(1, COMMITS + 1):
        journal.commit([_note(number)])
    journal.close()
    return forger


@pytest.mark.parametrize("heads", ["his", "none"])
@pytest.mark.parametrize("names", ["his", "the node's"])
def test_a_journal_made_with_another_key_is_seen(tmp_path: Path, names: str, heads: str) -> None:
    _forged_whole(tmp_path, key().public if names == "the node's" else None)
    if heads == "none":
        drop_heads(tmp_path)
    found = _whats(_proved(tmp_path))
    if names == "his":
        assert "another key than the given one" in found
    elif heads == "his":
        assert "not signed by the key that it names" in found
    else:
        assert "no signed head" in found


def test_a_journal_that_holds_nothing_but_its_beginning_is_vouched_for_by_no_key(
    tmp_path: Path,
) -> None:
    journal = opened(tmp_path)
    journal.close()
    assert _proved(tmp_path).holds
    drop_heads(tmp_path)
    assert "it holds no signed head" in _whats(_proved(tmp_path))
    assert verify(tmp_path, VerifyOptions(replay=False)).holds


def _append_epoch(folder: Path) -> None:
    """Append an epoch that names the node's key and has no heads."""
    signing = NodeKey.generate()
    signing.public = key().public
    journal = Journal.open(folder, facts(), signing, JournalOptions())
    first = journal.tip.record
    journal.commit([_note(99)])
    journal.close()
    drop_heads(folder, first)


def test_an_epoch_that_was_appended_is_seen(real: Real) -> None:
    _append_epoch(real.folder)
    assert "have no signed head" in _whats(_proved(real.folder, real.head))


def test_and_after_the_node_went_on_behind_it(real: Real) -> None:
    _append_epoch(real.folder)
    _write(real.folder, 1)
    assert "have no signed head" in _whats(_proved(real.folder, real.head))


@pytest.mark.parametrize("node_went_on", [False, True])
def test_play_that_was_appended_to_an_epoch_is_seen(real: Real, node_went_on: bool) -> None:
    begin = START_NS + (COMMITS + 1) * STEP_NS
    more = [_live(COMMITS + n, begin + n * STEP_NS) for n in range(1, 8)]
    relink(real.folder, appended(more, EPOCHS))
    if node_went_on:
        _write(real.folder, 1)
    verdict = _proved(real.folder, real.head)
    assert verdict.unsigned[0].play_ns == 6 * STEP_NS > UNSIGNED_NS
    assert "12.0 s of play, are signed by no head" in _whats(verdict)


def test_what_a_killed_node_leaves_unsigned_is_told(tmp_path: Path) -> None:
    now = [START_NS]
    journal = opened(tmp_path / "live", clock_ns=lambda: now[0])
    for number in range(1, 6):
        journal.commit([_live(number, START_NS + number * 200_000_000)])
        now[0] += 200_000_000
    shutil.copytree(tmp_path / "live", tmp_path / "killed", ignore=lambda *_: ["lock"])
    journal.close()
    verdict = _proved(tmp_path / "killed")
    assert verdict.found == []
    assert verdict.head_record == 1
    (behind,) = verdict.unsigned
    assert (behind.epoch, behind.first, behind.last) == (1, 2, 6)
    assert behind.play_ns == 800_000_000


def test_a_node_that_is_killed_just_after_its_disk_hung_is_no_forger(tmp_path: Path) -> None:
    """Its backlog and what is live then lie seconds apart, behind one head."""
    now = [START_NS]
    journal = opened(tmp_path / "live", clock_ns=lambda: now[0])
    frame_ns, hung_ns = 20_000_000, 12_000_000_000
    journal.commit([_live(1, START_NS)])
    now[0] += hung_ns
    journal.commit([_live(1 + n, START_NS + n * frame_ns) for n in range(1, 49)])
    for n in range(1, 16):
        now[0] += frame_ns
        journal.commit([_live(49 + n, now[0])])
    shutil.copytree(tmp_path / "live", tmp_path / "killed", ignore=lambda *_: ["lock"])
    journal.close()
    verdict = _proved(tmp_path / "killed")
    assert verdict.found == []
    assert verdict.unsigned[0].play_ns < UNSIGNED_NS


def test_records_that_pretend_to_be_of_no_epoch_are_seen(real: Real) -> None:
    relink(real.folder, appended([_note(1)], EPOCHS + 1))
    assert "does not begin one" in _whats(_proved(real.folder))


def test_an_end_that_was_cut_off_with_the_mark_is_seen(real: Real) -> None:
    last = JournalReader(real.folder).overview().last
    with closing(sqlite3.connect(real.folder / places(real.folder)[-1].name)) as base, base:
        base.execute("DELETE FROM records WHERE record > ?", (last - 3,))
        base.execute("DELETE FROM heads WHERE record > ?", (last - 3,))
    assert "missing at the end" in _whats(_proved(real.folder))
    (real.folder / "mark").unlink()
    assert "the mark cannot be read" in _whats(_proved(real.folder))
    (real.folder / "mark").write_bytes(bytes(64))
    assert "the mark cannot be read" in _whats(_proved(real.folder))
    verdict = _proved(real.folder, real.head)
    assert "was signed, and the journal ends with" in _whats(verdict)


def test_a_mark_of_another_record_is_seen(real: Real) -> None:
    set_mark(real.folder, Tip(real.head.record, bytes(32)))
    assert "not the one that was acknowledged" in _whats(_proved(real.folder))


def test_the_node_may_be_given_another_key(real: Real) -> None:
    second = NodeKey.generate()
    journal = Journal.open(real.folder, facts(), second, JournalOptions())
    journal.commit([_note(1)])
    journal.close()
    both = (key().public, second.public)
    assert _proved(real.folder, None, *both).holds
    assert _proved(real.folder, None, *both).public_keys == list(both)
    for one, epoch in zip(both, (4, 1), strict=True):
        assert f"epoch {epoch} names another key" in _whats(_proved(real.folder, None, one))


def test_a_head_of_another_epoch_s_key_is_seen(real: Real) -> None:
    """A key that was taken out of use, and stolen, signs nothing later."""
    stolen = NodeKey.generate()
    place = places(real.folder)[-1]
    with closing(sqlite3.connect(real.folder / place.name)) as base, base:
        record, digest = base.execute("SELECT record, hash FROM heads LIMIT 1").fetchone()
        head = sign(stolen, SESSION, Tip(record, digest), 1)
        base.execute(
            "UPDATE heads SET signature = ?, public_key = ?, signed_ns = 1 WHERE record = ?",
            (head.signature, head.public_key, record),
        )
    verdict = _proved(real.folder, None, key().public, stolen.public)
    assert "a key that its epoch does not name" in _whats(verdict)


@pytest.fixture
def pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of many files, its first ones pruned."""
    monkeypatch.setattr("edge_node.journal.journal.LATE_ROLL", 1)
    journal = opened(tmp_path / "pruned", segment_bytes=2000, sign_every_ns=1)
    for number in range(30):
        journal.commit([StateChanged("note", {"number": "x" * number}), Restarted("a base")])
        wait_for_spare(journal)
    journal.close()
    files = len(places(journal.folder))
    prune_by_hand(journal.folder, KeepOptions(max_bytes=100_000))
    assert 1 < len(places(journal.folder)) < files
    return journal.folder


def test_a_head_of_what_was_pruned_last_is_compared(pruned: Path) -> None:
    before = JournalReader(pruned).beginning().before
    (head,) = [h for h in JournalReader(pruned).heads() if h.record == before.record]
    assert _proved(pruned).holds
    assert _proved(pruned, head).holds
    forged = replace(head, hash=bytes(32), signature=bytes(64))
    assert "not signed by the key" in _whats(_proved(pruned, forged))
    other = sign(key(), SESSION, Tip(before.record, bytes(32)), head.signed_ns)
    assert "has another hash" in _whats(_proved(pruned, other))
    earlier = replace(head, record=before.record - 1)
    assert "it was pruned" in _whats(_proved(pruned, earlier))


def test_a_journal_that_was_mended_keeps_its_heads(real: Real) -> None:
    newest = places(real.folder)[-1]
    with closing(sqlite3.connect(real.folder / newest.name)) as base, base:
        (last,) = base.execute("SELECT MAX(record) FROM records").fetchone()
        base.execute("UPDATE records SET payload = x'00' WHERE record = ?", (last - 2,))
    before = len([h for h in JournalReader(real.folder).heads() if h.record < last - 2])
    journal = opened(real.folder)
    assert journal.recovered is not None
    assert journal.recovered.damages
    journal.close()
    verdict = _proved(real.folder)
    assert verdict.found == []
    assert verdict.heads == before + 1
    assert len(verdict.cuts) == 1


def test_nothing_that_can_be_run_again_is_no_success(real: Real) -> None:
    def without_beginnings(records: list[Record]) -> list[Record]:
        continued = appended([Opened(facts(), key().public, continues=True)], 1)([])
        return [*continued, *(r for r in records if r.kind == Kind.STATE and r.epoch == 1)]

    relink(real.folder, without_beginnings, heads="drop")
    verdict = verify(real.folder)
    assert verdict.replayed_from is None
    assert "no record is kept" in verdict.not_replayed


SEEN = np.ones((1, 17, 3), np.float32)
FORGED: dict[str, Entry] = {
    "a camera that is not there": Observed(500, START_NS, SEEN, None, accepted=True),
    "a time that cannot be": Observed(0, 2**62, SEEN, None, accepted=True),
    "other joints": Observed(0, START_NS, SEEN[:, :5], None, accepted=True),
    "a snapshot of then": Snapped("live", 1, -(2**62), bytes(32), b""),
    "a message that is none": Snapped("live", 1, START_NS, bytes(32), b"\xff"),
    "an epoch twice": Opened(facts(), b"", continues=False),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_no_tracker_would_take_is_told(tmp_path: Path, name: str) -> None:
    journal = opened(tmp_path)
    journal.commit([_note(1)])
    journal.close()
    relink(tmp_path, appended([FORGED[name]], 1))
    verdict = verify(tmp_path)
    assert [found.record for found in verdict.found] == [3]


def test_a_payload_without_end_is_told(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.close()
    payload = b'{"name": "x", "value": ' + b"[" * 100_000
    relink(tmp_path, lambda r: [*r, Record(0, 1, Kind.STATE, 0, 0, 0, len(payload), payload)])
    assert "record 2 holds no entry" in _whats(verify(tmp_path))


def test_a_killed_node_that_played_faster_than_it_was_leaves_no_play_unsigned(
    tmp_path: Path,
) -> None:
    """A minute of recordings within the second in which the clock asks for no head."""
    options = JournalOptions(clock_ns=lambda: START_NS)
    journal = Journal.open(tmp_path / "journal", facts(), key(), options)
    for number in range(1, 1801, 30):
        batch = range(number, number + 30)
        journal.commit([_live(each, START_NS + each * 1_000_000_000 // 30) for each in batch])
    killed = Path(shutil.copytree(journal.folder, tmp_path / "killed"))
    journal.close()
    verdict = _proved(killed)
    assert verdict.found == []
    assert [behind.play_ns < 2_000_000_000 for behind in verdict.unsigned] == [True]
    # As many as a minute at its own pace has, and not one a commit.
    assert verdict.heads <= 61


def test_a_journal_that_is_only_being_made_is_not_called_forged(tmp_path: Path) -> None:
    """What its node wrote while it was verified has its heads where nobody looked for them."""
    journal = opened(tmp_path)
    set_mark(tmp_path, Tip(0, first_hash(SESSION)))  # As it is until the first file is there.
    reader = JournalReader(tmp_path)
    journal.commit([_note(1), _note(2)])
    verdict = _prove(reader, VerifyOptions(replay=False))
    journal.close()
    assert verdict.found == []
    assert verdict.last == 1
