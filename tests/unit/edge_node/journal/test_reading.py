"""Reading a journal beside the node that writes and prunes it, and where nothing may be written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_node.journal import exporting, reading, segment_reading
from edge_node.journal.entries import Restarted, StateChanged
from edge_node.journal.errors import JournalDamagedError, JournalError, JournalPrunedError
from edge_node.journal.folder import COMPANIONS, file_bytes, places
from edge_node.journal.journal import Journal
from edge_node.journal.keeping import KeepOptions, prune
from edge_node.journal.mark import BadMark, Marked, read_mark
from edge_node.journal.reading import JournalReader, begin_again
from edge_node.journal.replaying import Replay, ReplayOptions
from edge_node.journal.segment_reading import SegmentReader
from edge_node.journal.verdict import VerifyOptions
from edge_node.journal.verifying import verify
from tests.support.journals import key, opened, wait_for_keeper

ROOT = Path(__file__).parents[4]


@pytest.fixture
def writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """A journal of many files that is still written."""
    monkeypatch.setattr("edge_node.journal.journal.LATE_ROLL", 1)
    journal = opened(tmp_path / "journal", segment_bytes=900, sign_every_ns=1)
    for number in range(30):
        journal.commit([StateChanged("note", {"number": "x" * number}), Restarted("a base")])
        wait_for_keeper(journal)
    assert len(places(journal.folder)) > 5
    yield journal
    journal.close()


def _prune(journal: Journal, keep: int = 2) -> None:
    """Prune all files but so many, as the keeper does."""
    found = places(journal.folder)[-keep:]
    size = sum(file_bytes(journal.folder, place) for place in found)
    assert prune(journal.folder, KeepOptions(max_bytes=size), journal._mark)
    assert len(places(journal.folder)) == keep


@contextmanager
def _pruned_before(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, target: Any, name: str
) -> Iterator[None]:
    """Prune the journal just before a function is called for the first time."""
    real = getattr(target, name)

    def then(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(target, name, real)
        _prune(journal)
        return real(*arguments, **named)

    monkeypatch.setattr(target, name, then)
    yield
    assert len(places(journal.folder)) == 2


MOMENTS = [
    (reading, "places"),
    (reading, "is_written"),
    (JournalReader, "beginning"),
    (JournalReader, "heads"),
    (JournalReader, "checked"),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment[1])
def test_a_journal_is_verified_while_its_node_prunes_it(
    writing: Journal, monkeypatch: pytest.MonkeyPatch, moment: tuple[Any, str]
) -> None:
    with _pruned_before(writing, monkeypatch, *moment):
        verdict = verify(writing.folder, VerifyOptions(public_keys=(key().public,)))
    assert verdict.found == []
    assert verdict.last == writing.tip.record


def test_what_is_pruned_under_every_look_is_told_and_is_no_damage(
    writing: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def read(reader: JournalReader) -> None:
        tried.append(reader)
        raise JournalPrunedError("gone")

    with pytest.raises(JournalPrunedError):
        begin_again(writing.folder, read)
    assert len(tried) == reading.BEGINNINGS


def test_a_file_that_somebody_removed_is_damage_nonetheless(writing: Journal) -> None:
    gone = places(writing.folder)[1]
    for companion in COMPANIONS:
        (writing.folder / (gone.name + companion)).unlink(missing_ok=True)
    verdict = verify(writing.folder)
    assert [found.record for found in verdict.found] == [gone.first]


def test_damage_is_told_though_another_file_is_pruned_meanwhile(
    writing: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = places(writing.folder)[-2]
    with closing(sqlite3.connect(writing.folder / damaged.name)) as base, base:
        base.execute("UPDATE records SET time_ns = 7 WHERE record = ?", (damaged.first + 1,))
    real = JournalReader.checked

    def then(reader: JournalReader) -> Iterator[Any]:
        records = real(reader)
        yield next(records)
        _prune(writing, len(places(writing.folder)) - 1)
        yield from records

    monkeypatch.setattr(JournalReader, "checked", then)
    verdict = verify(writing.folder, VerifyOptions(replay=False))
    assert [found.record for found in verdict.found] == [damaged.first + 1]


def test_a_file_that_cannot_be_read_is_told_though_others_are_pruned(writing: Journal) -> None:
    records = JournalReader(writing.folder).records(past_pruned=True)
    next(records)
    _prune(writing, 3)
    (writing.folder / places(writing.folder)[-2].name).write_bytes(b"no file of a journal")
    with pytest.raises(JournalDamagedError):
        list(records)


def test_a_file_that_lost_its_log_as_it_went_is_no_damage(writing: Journal) -> None:
    reader = JournalReader(writing.folder)
    going, after, *_ = reader.places
    writing._mark.prune(after.first)
    with closing(sqlite3.connect(writing.folder / going.name)) as base, base:
        base.execute("DELETE FROM records WHERE record = ?", (after.first - 1,))
    with pytest.raises(JournalPrunedError):
        list(reader.checked())


def test_a_journal_is_exported_while_its_node_prunes_it(
    writing: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _pruned_before(writing, monkeypatch, exporting, "_export_tracks"):
        done = exporting.export(writing.folder, tmp_path / "out")
    assert done.heads == len(JournalReader(writing.folder).heads())


def test_a_replay_begins_with_what_its_node_left(
    writing: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _pruned_before(writing, monkeypatch, JournalReader, "records"):
        replay = Replay(writing.folder, ReplayOptions(listen="127.0.0.1:0", speed=0))
    assert replay._reader.places == places(writing.folder)


def test_records_may_be_read_past_what_was_pruned(writing: Journal) -> None:
    reader = JournalReader(writing.folder)
    records = reader.records(past_pruned=True)
    assert next(records).record == 1
    _prune(writing)
    (second, *_) = places(writing.folder)
    later = [record.record for record in records]
    # The file that was open is read to its end.
    assert later[0] == 2
    assert [number for number in later if number >= second.first] == list(
        range(second.first, writing.tip.record + 1)
    )
    with pytest.raises(JournalPrunedError):
        list(reader.records())


def test_a_running_journal_is_proved_up_to_where_it_was_when_it_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = opened(tmp_path)
    writing.commit([StateChanged("note", {})])
    tip = writing.tip.record
    real = JournalReader.beginning

    def then(reader: JournalReader) -> Any:
        writing.commit([StateChanged("note", {})])
        return real(reader)

    monkeypatch.setattr(JournalReader, "beginning", then)
    verdict = verify(tmp_path)
    assert verdict.holds
    assert verdict.last == tip < writing.tip.record
    writing.close()


def test_a_mark_that_is_read_while_it_is_written_is_read_again(
    writing: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = iter([True, True])
    real = read_mark

    def then(folder: Path) -> Any:
        if next(torn, False):
            return BadMark("its checksum is wrong")
        return real(folder)

    monkeypatch.setattr(reading, "read_mark", then)
    reader = JournalReader(writing.folder)
    assert isinstance(reader.marked, Marked)
    assert reader.mark_reason == ""


def test_a_newest_file_without_records_is_told(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / places(tmp_path)[0].name)) as base, base:
        base.execute("DELETE FROM records")
    with pytest.raises(JournalDamagedError, match="holds no record"):
        JournalReader(tmp_path).overview()
    assert "it holds no record" in [found.what for found in verify(tmp_path).found]


def test_a_log_that_goes_between_two_looks_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path).close()
    (place,) = places(tmp_path)
    assert not (tmp_path / f"{place.name}-wal").exists()
    monkeypatch.setattr(Path, "exists", lambda _self: True)
    assert file_bytes(tmp_path, place) == (tmp_path / place.name).stat().st_size
    with SegmentReader(tmp_path / place.name) as reader:
        assert reader.size() == (1, 1)


VERIFY = """
import os, sys
from pathlib import Path
from edge_node.journal.errors import JournalError
from edge_node.journal.verifying import verify
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    verdict = verify(Path(sys.argv[1]))
except JournalError as error:
    print("unreadable", error)
else:
    print(verdict.holds, verdict.last, [found.what for found in verdict.found])
"""


@pytest.fixture
def evidence() -> Iterator[tuple[Path, int]]:
    """The journal of a killed node in a folder that nobody may write, and its last record."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        journal = opened(root / "live")
        for number in range(20):
            journal.commit([StateChanged("note", {"number": number})])
        shutil.copytree(
            root / "live", root / "copy", ignore=shutil.ignore_patterns("*-shm", "lock")
        )
        last = journal.tip.record
        journal.close()
        (root / "copy" / "lock").touch()
        assert list((root / "copy").glob("*-wal"))
        root.chmod(0o755)
        (root / "copy").chmod(0o555)
        yield root / "copy", last
        (root / "copy").chmod(0o755)


def _verified_by_nobody(folder: Path) -> str:
    """Verify as a user who may write nothing there."""
    ran = subprocess.run(
        [sys.executable, "-c", VERIFY, folder],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_log_in_a_folder_that_may_not_be_written_is_read_from_a_copy(
    evidence: tuple[Path, int],
) -> None:
    folder, last = evidence
    before = sorted(path.name for path in folder.iterdir())
    assert _verified_by_nobody(folder) == f"True {last} []\n"
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_journal_that_may_not_be_read_is_not_called_damaged(evidence: tuple[Path, int]) -> None:
    folder, _ = evidence
    for path in folder.glob("*.sqlite"):
        path.chmod(0o000)
    assert _verified_by_nobody(folder).startswith("unreadable")


def test_a_copy_that_finds_no_room_is_told(
    evidence: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = evidence
    real = segment_reading._connect_reader

    def refused(path: Path, *, written: bool) -> sqlite3.Connection:
        if path.parent == folder:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return real(path, written=written)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segment_reading, "_connect_reader", refused)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert verify(folder).holds
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(JournalError, match="No space left"):
        verify(folder)
