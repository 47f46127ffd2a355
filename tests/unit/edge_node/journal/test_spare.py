"""The file that is made ready ahead of time: used, never used, begun and left without a name."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from edge_node.journal.chain import Record
from edge_node.journal.entries import Snapped, StateChanged
from edge_node.journal.errors import JournalError
from edge_node.journal.folder import COMPANIONS, Place, move_file, places
from edge_node.journal.journal import Journal
from edge_node.journal.reading import JournalReader
from edge_node.journal.segment import Beginning, Linked, SegmentWriter
from edge_node.journal.spare import HURRIED_NAME, MAKING, NAME, Spare, adopt
from edge_node.journal.verifying import verify
from tests.support.journals import Play, key, opened, wait_for_keeper, wait_for_spare

SEGMENT_BYTES = 100_000


def _killed(journal: Journal, folder: Path) -> None:
    """Make the folder that its process leaves if it is killed now."""
    wait_for_keeper(journal)
    shutil.copytree(journal.folder, folder, ignore=shutil.ignore_patterns("*-shm", "lock"))


def _hashes(folder: Path) -> dict[int, bytes]:
    return {one.record.record: one.hash for one in JournalReader(folder).checked()}


def _write_until_files(journal: Journal, play: Play, files: int) -> None:
    while len(places(journal.folder)) < files:
        wait_for_spare(journal)
        journal.commit(play.next())


def _spare_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.part*"))


def test_a_change_of_file_takes_the_one_that_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, play = opened(tmp_path, segment_bytes=SEGMENT_BYTES), Play(checkpoint_every=10)
    wait_for_spare(journal)
    spare = (tmp_path / NAME).stat().st_ino
    monkeypatch.setattr(Spare, "prepare", lambda _self: None)
    _commit_until_changed(journal, play)
    path = tmp_path / places(tmp_path)[-1].name
    assert path.stat().st_ino == spare
    assert path.with_name(path.name + "-wal").exists()
    assert _spare_files(tmp_path) == []
    # A change that finds none ready makes one.
    _commit_until_changed(journal, play)
    tip = journal.tip
    journal.close()
    assert len(places(tmp_path)) == 3
    assert max(_hashes(tmp_path)) == tip.record
    assert verify(tmp_path).holds
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(COMPANIONS[1:])]


def _commit_until_changed(journal: Journal, play: Play) -> None:
    files = len(places(journal.folder))
    for _ in range(200):
        journal.commit(play.next())
        if len(places(journal.folder)) > files:
            return
    raise AssertionError("the file was not followed by another")


def test_the_next_one_is_made_ready_after_each_change(tmp_path: Path) -> None:
    journal, play = opened(tmp_path, segment_bytes=SEGMENT_BYTES), Play(checkpoint_every=10)
    _write_until_files(journal, play, 4)
    wait_for_spare(journal)
    assert NAME in _spare_files(tmp_path)
    assert HURRIED_NAME not in _spare_files(tmp_path)
    journal.close()
    assert _spare_files(tmp_path) == []


@pytest.mark.parametrize("step", ["begin", "move"])
def test_none_is_made_while_the_one_before_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The keeper looks in while a commit changes to the file that was ready."""
    journal, play = opened(tmp_path, segment_bytes=SEGMENT_BYTES), Play(checkpoint_every=10)
    wait_for_spare(journal)
    done = getattr(SegmentWriter, step)
    looked = []

    def looked_in(self: SegmentWriter, *arguments: object) -> None:
        if self.path.name == NAME:
            looked.append(self.path)
            journal._spare.prepare()
        done(self, *arguments)
        if self.path.name == NAME:
            journal._spare.prepare()

    monkeypatch.setattr(SegmentWriter, step, looked_in)
    _write_until_files(journal, play, 4)
    tip = journal.tip
    journal.close()
    assert len(looked) == 3
    assert max(_hashes(tmp_path)) == tip.record
    assert verify(tmp_path).holds


def test_one_that_was_never_used_is_no_damage_and_goes(tmp_path: Path) -> None:
    journal, play = opened(tmp_path / "live", segment_bytes=SEGMENT_BYTES), Play()
    for _ in range(5):
        journal.commit(play.next())
    _killed(journal, tmp_path / "finals")
    tip = journal.tip
    journal.close()
    assert NAME in _spare_files(tmp_path / "finals")
    assert verify(tmp_path / "finals").holds
    again = opened(tmp_path / "finals")
    assert again.recovered is not None
    assert again.recovered.damages == ()
    assert again.recovered.tip == tip
    wait_for_spare(again)
    again.close()
    assert _spare_files(tmp_path / "finals") == []


@pytest.mark.parametrize("name", [NAME, HURRIED_NAME])
def test_one_that_cannot_be_read_is_kept_where_somebody_may_know_what_it_holds(
    tmp_path: Path, name: str
) -> None:
    journal = opened(tmp_path)
    tip = journal.tip
    journal.close()
    content = bytes(range(256)) * 64
    (tmp_path / name).write_bytes(content)
    (tmp_path / f"{name}-wal").write_bytes(b"\xff" * 5000)
    again = opened(tmp_path)
    assert again.recovered is not None
    assert again.recovered.tip == tip
    kept = list(tmp_path.glob(f"aside/*/{name}"))
    if name == NAME:
        assert [path.read_bytes() for path in kept] == [content]
        (damage,) = again.recovered.damages
        assert damage.record == tip.record + 1
        assert "being begun" in damage.reason
        assert kept[0].parent == tmp_path / damage.aside
    else:
        assert kept == []
        assert again.recovered.damages == ()
        assert name not in _spare_files(tmp_path)
    wait_for_spare(again)
    again.close()


@pytest.mark.parametrize("size", [0, 4096])
def test_one_that_was_being_made_is_no_damage(tmp_path: Path, size: int) -> None:
    opened(tmp_path).close()
    (tmp_path / f"{NAME}{MAKING}").write_bytes(bytes(size))
    again = opened(tmp_path)
    assert again.recovered is not None
    assert again.recovered.damages == ()
    wait_for_spare(again)
    again.close()
    assert _spare_files(tmp_path) == []


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Path, int]:
    """A journal whose newest file has records and the spare file's name; its last record."""
    journal, play = (
        opened(tmp_path / "live", segment_bytes=SEGMENT_BYTES),
        Play(checkpoint_every=10),
    )
    _write_until_files(journal, play, 3)
    journal.commit(play.next())
    folder, last = tmp_path / "finals", journal.tip.record
    _killed(journal, folder)
    journal.close()
    for companion in COMPANIONS:
        (folder / (NAME + companion)).unlink(missing_ok=True)
    newest = places(folder)[-1]
    # As SQLite leaves it, an index of the log is there as well.
    (folder / (newest.name + "-shm")).write_bytes(b"")
    move_file(folder / newest.name, folder / NAME)
    return folder, last


@pytest.mark.parametrize("moved", [(), ("-shm",), ("-shm", "-wal")])
def test_one_that_was_begun_gets_its_name(
    begun: tuple[Path, int], tmp_path: Path, moved: tuple[str, ...]
) -> None:
    folder, last = begun
    whole = _hashes(tmp_path / "live")
    name = places(tmp_path / "live")[-1].name
    for companion in moved:
        (folder / (NAME + companion)).rename(folder / (name + companion))
    assert name not in [place.name for place in places(folder)]
    again = opened(folder)
    assert again.recovered is not None
    assert again.recovered.damages == ()
    assert again.recovered.tip.record == last
    assert name in [place.name for place in places(folder)]
    again.close()
    hashes = _hashes(folder)
    assert all(hashes[number] == digest for number, digest in whole.items())
    assert verify(folder).holds


def test_one_that_was_begun_behind_a_damaged_file_is_kept_aside(begun: tuple[Path, int]) -> None:
    folder, _ = begun
    before = folder / places(folder)[-1].name
    # Its log may or may not have been folded in by now.
    before.with_name(before.name + "-wal").unlink(missing_ok=True)
    before.write_bytes(before.read_bytes()[: before.stat().st_size // 2])
    again = opened(folder)
    assert again.recovered is not None
    assert again.recovered.damages
    aside = [path.name for path in (folder / "aside").rglob("*.sqlite")]
    assert len(aside) == 2
    again.close()
    assert JournalReader(folder).places[-1].epoch == 2


def test_one_that_the_chain_went_on_without_goes(tmp_path: Path) -> None:
    """Its commit failed, it could not be removed, and another file took what came next."""
    journal = opened(tmp_path)
    tip, session = journal.tip, journal.facts.session
    journal.commit([StateChanged("afterwards")])
    wait_for_spare(journal)
    journal.close()
    stale = Spare(tmp_path)
    record = Record(tip.record + 1, 1, 6, 0, 0, 0, 2, b"{}")
    path = tmp_path / "begun"
    writer = stale.begin(path, Beginning(session, tip), [Linked(record, bytes(32))], ())
    writer.close()
    move_file(path, tmp_path / NAME)
    found = places(tmp_path)
    adopt(tmp_path)
    assert places(tmp_path) == found
    assert _spare_files(tmp_path) == []
    assert Place(tip.record + 1, 1, 0) not in found


@pytest.mark.parametrize("step", ["begin", "move"])
def test_a_change_that_fails_leaves_nothing_and_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    journal, play = opened(tmp_path, segment_bytes=50_000), Play(checkpoint_every=10)
    files = len(places(tmp_path))

    def fail(self: SegmentWriter, *_: object) -> None:
        failed.append(self.path.name)
        if step == "begin":
            raise sqlite3.OperationalError("the disk takes nothing")
        self.path.with_name(self.path.name + "-wal").rename(tmp_path / f"{Place(1, 9, 9).name}-wal")
        raise OSError("the disk takes no names")

    failed: list[str] = []
    refused = 0
    for _ in range(30):
        entries, tip = play.next(), journal.tip
        wait_for_spare(journal)
        with monkeypatch.context() as patch:
            patch.setattr(SegmentWriter, step, fail)
            try:
                journal.commit(entries)
                continue
            except JournalError:
                refused += 1
        assert journal.tip == tip
        assert len(places(tmp_path)) == files
        (tmp_path / f"{Place(1, 9, 9).name}-wal").unlink(missing_ok=True)
        journal.commit(entries)
        files += 1
    assert refused == len(failed) > 0
    journal.close()
    verdict = verify(tmp_path)
    assert verdict.found == []
    assert verdict.snapshots["live"] == 30


class NoLog(sqlite3.Connection):
    """SQLite on a disk that is full for a moment: it says that there is no log, and goes on."""

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        """Leave out what was asked."""
        return super().execute(sql.replace("journal_mode=WAL", "journal_mode"), *arguments)


def test_one_without_a_log_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took its first commit, got its name, and then nothing more: `SQLITE_READONLY_DBMOVED`."""
    spare = Spare(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(
            "edge_node.journal.segment.connect",
            lambda path: sqlite3.connect(path, isolation_level=None, factory=NoLog),
        )
        with pytest.raises(sqlite3.OperationalError, match="without a log"):
            spare.prepare()
    assert not (tmp_path / NAME).exists()
    spare.prepare()
    assert spare.is_ready
    spare.discard()


def test_what_is_left_of_it_is_not_read_as_a_journal(tmp_path: Path) -> None:
    spare = Spare(tmp_path)
    spare.prepare()
    assert spare.is_ready
    assert places(tmp_path) == []
    spare.discard()
    assert list(tmp_path.iterdir()) == []
    journal = opened(tmp_path)
    journal.commit([Snapped("live", 1, 5, bytes(32), b"one")])
    assert journal.head().public_key == key().public
    journal.close()
