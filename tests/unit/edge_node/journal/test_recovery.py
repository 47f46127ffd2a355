"""Opening again: what is damage, what is not, and what an interruption left."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge_node.journal import journal as journal_module
from edge_node.journal.codec import decode
from edge_node.journal.entries import Opened, StateChanged
from edge_node.journal.errors import JournalDamagedError, JournalError, JournalFullError
from edge_node.journal.folder import ASIDE, places
from edge_node.journal.keeping import KeepOptions, prune
from edge_node.journal.mark import Mark, Marked, read_mark
from edge_node.journal.reading import JournalReader
from edge_node.journal.recovery import recover
from edge_node.journal.rows import PAGE_BYTES
from edge_node.journal.segment import SegmentReader
from edge_node.journal.segment_reading import is_damage
from edge_node.journal.spare import NAME
from edge_node.journal.verdict import VerifyOptions
from edge_node.journal.verifying import verify
from tests.support.journals import Play, facts, key, opened, wait_for_spare

CHECK_BYTES = 1 << 29
LEAVE_WITHIN_S = 10.0
"""How long a node that is told to go may take."""


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, int]:
    """The folder of a process that was killed, with all records in the log; the last of them."""
    journal, play = opened(tmp_path / "live"), Play(checkpoint_every=10)
    wait_for_spare(journal)
    for _ in range(25):
        journal.commit(play.next())
    shutil.copytree(
        tmp_path / "live", tmp_path / "finals", ignore=shutil.ignore_patterns("*-shm", "lock")
    )
    tip = journal.tip.record
    journal.close()
    return tmp_path / "finals", tip


@contextmanager
def limited(what: int, limit: int) -> Iterator[None]:
    """Let this process have only so much of something."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def _files(folder: Path) -> dict[str, int]:
    return {
        path.name: path.stat().st_size
        for path in folder.iterdir()
        if path.name != "lock" and not path.name.endswith("-shm")
    }


@pytest.mark.parametrize("spare", [True, False])
def test_no_room_for_the_index_of_a_log_is_no_damage(
    killed: tuple[Path, int], *, spare: bool
) -> None:
    folder, tip = killed
    if not spare:
        for path in folder.glob(f"{NAME}*"):
            path.unlink()
    before = _files(folder)
    with (
        limited(resource.RLIMIT_FSIZE, 16_384),
        pytest.raises(JournalError, match=r"now: disk I/O error .*has room"),
    ):
        recover(folder, facts().session, CHECK_BYTES)
    assert _files(folder) == before
    found = recover(folder, facts().session, CHECK_BYTES)
    assert found is not None
    assert found.tip.record == tip
    assert found.damages == ()


def test_too_many_open_files_are_no_damage(killed: tuple[Path, int]) -> None:
    folder, tip = killed
    facts()
    refused = 0
    held = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    for limit in range(3, max(held) + 12):
        try:
            with limited(resource.RLIMIT_NOFILE, limit):
                found = recover(folder, facts().session, CHECK_BYTES)
        except (JournalError, OSError, sqlite3.Error):
            refused += 1
        else:
            assert found is not None
            assert found.damages == ()
            break
    assert refused > 2
    assert not (folder / ASIDE).exists()
    found = recover(folder, facts().session, CHECK_BYTES)
    assert found is not None
    assert found.tip.record == tip
    assert found.damages == ()


def test_a_mark_that_may_not_be_read_is_not_forgotten(
    killed: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = killed

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(JournalError, match="mark"):
            recover(folder, facts().session, CHECK_BYTES)
    assert isinstance(read_mark(folder), Marked)


@pytest.mark.parametrize(
    ("code", "damage"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_CORRUPT_INDEX, True),
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_ERROR, True),
        (sqlite3.SQLITE_IOERR_READ, True),
        (sqlite3.SQLITE_IOERR_SHORT_READ, True),
        (sqlite3.SQLITE_CANTOPEN, False),
        (sqlite3.SQLITE_IOERR_SHMSIZE, False),
        (sqlite3.SQLITE_IOERR_LOCK, False),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_BUSY_RECOVERY, False),
        (sqlite3.SQLITE_READONLY_CANTINIT, False),
        (sqlite3.SQLITE_PROTOCOL, False),
    ],
)
def test_what_sqlite_says_is_told_apart(code: int, *, damage: bool) -> None:
    error = sqlite3.OperationalError("as SQLite puts it")
    error.sqlite_errorcode = code
    assert is_damage(error) is damage
    assert not is_damage(MemoryError())
    assert is_damage(ValueError())


def test_a_file_that_holds_something_else_is_damage(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"something else " * 1000)
    with pytest.raises(JournalDamagedError):
        SegmentReader(tmp_path / "file")


def test_a_pruning_that_was_killed_between_two_files_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, play = opened(tmp_path / "live", segment_bytes=60_000), Play(checkpoint_every=10)
    wait_for_spare(journal)
    for _ in range(12):
        journal.commit(play.next())
    # Somebody reads the file, slowly, so that its log is not folded in.
    with SegmentReader(tmp_path / "live" / places(tmp_path / "live")[0].name, written=True) as slow:
        records = slow.linked()
        next(records)
        while len(places(tmp_path / "live")) < 4:
            journal.commit(play.next())
        shutil.copytree(
            tmp_path / "live", tmp_path / "finals", ignore=shutil.ignore_patterns("*-shm", "lock")
        )
    tip = journal.tip.record
    journal.close()
    folder = tmp_path / "finals"
    oldest, second, *_ = places(folder)
    assert (folder / f"{oldest.name}-wal").stat().st_size > 0

    class KilledError(Exception):
        pass

    unlink = Path.unlink

    def kill(path: Path, *, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        if path.name.endswith("-wal"):
            raise KilledError

    marked = read_mark(folder)
    assert isinstance(marked, Marked)
    mark = Mark(folder, marked)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", kill)
        with pytest.raises(KilledError):
            prune(folder, KeepOptions(max_bytes=1), mark)
    mark.close()
    assert places(folder)[0] == oldest
    found = recover(folder, facts().session, CHECK_BYTES)
    assert found is not None
    assert found.damages == ()
    assert found.tip.record == tip
    assert places(folder)[0] == second


def _lose_records(folder: Path, after: int) -> None:
    base = sqlite3.connect(folder / places(folder)[-1].name)
    with closing(base), base:
        base.execute("DELETE FROM records WHERE record > ?", (after,))


@pytest.mark.parametrize("step", ["create", "SegmentWriter", "Mark"])
def test_a_loss_is_told_until_it_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    journal, play = opened(tmp_path), Play()
    for _ in range(3):
        journal.commit(play.next())
    journal.close()
    _lose_records(tmp_path, journal.tip.record - 3)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, step, fail)
        with pytest.raises(JournalFullError):
            opened(tmp_path)
    again = opened(tmp_path)
    assert again.recovered is not None
    assert [damage.record for damage in again.recovered.damages]
    again.close()
    cut = "".join(
        entry.cut
        for entry in map(decode, JournalReader(tmp_path).records())
        if isinstance(entry, Opened)
    )
    assert "missing at the end" in cut or "not the one that was acknowledged" in cut
    opened(tmp_path).close()
    last = opened(tmp_path)
    assert last.recovered is not None
    assert last.recovered.damages == ()
    last.close()


def test_an_epoch_whose_files_are_gone_is_not_taken_again(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        journal = opened(tmp_path)
        assert journal.epoch == epoch
        journal.close()
    for path in tmp_path.glob(f"{places(tmp_path)[-1].name}*"):
        path.unlink()
    again = opened(tmp_path)
    assert again.epoch == 4
    again.close()
    for path in tmp_path.glob("*.sqlite*"):
        path.unlink()
    last = opened(tmp_path)
    assert last.epoch == 5
    last.close()


def test_a_mark_without_an_epoch_is_read_and_written_anew(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.close()
    tip = journal.tip
    body = struct.pack("<8sQQ32s", b"TIPMARK1", 1, tip.record, tip.hash)
    (tmp_path / "mark").write_bytes(body + hashlib.sha256(body).digest()[:8])
    assert read_mark(tmp_path) == Marked(1, tip, 0)
    again = opened(tmp_path)
    assert again.recovered is not None
    assert again.recovered.damages == ()
    again.close()
    assert read_mark(tmp_path) == Marked(1, again.tip, 2)


def test_opening_and_closing_do_not_wait_for_who_reads(killed: tuple[Path, int]) -> None:
    folder, tip = killed
    facts()
    with SegmentReader(folder / places(folder)[0].name, written=True) as slow:
        records = slow.linked()
        next(records)
        began_s = time.monotonic()
        journal = opened(folder)
        assert journal.recovered is not None
        assert journal.recovered.tip.record == tip
        journal.commit(Play(epoch=2).next())
        with SegmentReader(folder / places(folder)[-1].name, written=True) as other:
            more = other.linked()
            next(more)
            journal.close()
        assert time.monotonic() - began_s < LEAVE_WITHIN_S


def test_a_mark_that_names_no_file_removes_none(tmp_path: Path) -> None:
    for _ in range(3):
        opened(tmp_path).close()
    marked = read_mark(tmp_path)
    assert isinstance(marked, Marked)
    Mark(tmp_path, replace(marked, oldest=marked.tip.record + 5)).close()
    found = recover(tmp_path, facts().session, CHECK_BYTES)
    assert found is not None
    assert found.damages == ()
    assert len(places(tmp_path)) == 3


def test_a_head_that_cannot_be_read_takes_no_other_with_it(tmp_path: Path) -> None:
    journal = opened(tmp_path, sign_every_ns=1)
    for number in range(100):
        journal.commit([StateChanged("note", {"number": number})])
    journal.close()
    path = tmp_path / places(tmp_path)[0].name
    heads = {head.record: head for head in JournalReader(tmp_path).heads()}
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("UPDATE records SET time_ns = 7 WHERE record = 96")
    content = bytearray(path.read_bytes())
    page = content.index(heads[50].signature) // PAGE_BYTES * PAGE_BYTES
    content[page : page + PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(content)
    again = opened(tmp_path)
    assert again.recovered is not None
    again.close()
    left = {head.record: head for head in JournalReader(tmp_path).heads()}
    assert 50 not in left
    assert {2, 90} <= set(left)
    assert "signed heads of records before it are lost" in again.recovered.damages[0].reason
    assert verify(tmp_path, VerifyOptions(public_keys=(key().public,), replay=False)).found == []


def test_a_head_that_was_changed_is_told_as_lost(tmp_path: Path) -> None:
    journal = opened(tmp_path, sign_every_ns=1)
    for number in range(10):
        journal.commit([StateChanged("note", {"number": number})])
    journal.close()
    last = journal.tip.record
    with closing(sqlite3.connect(tmp_path / places(tmp_path)[0].name)) as base, base:
        base.execute("UPDATE heads SET signed_ns = 7 WHERE record = 4")
        base.execute("UPDATE records SET time_ns = 7 WHERE record = ?", (last - 2,))
    again = opened(tmp_path)
    assert again.recovered is not None
    again.close()
    reason = again.recovered.damages[0].reason
    assert reason.endswith("signed heads of records before it are lost: 1 are not what was signed")
    left = [head.record for head in JournalReader(tmp_path).heads() if head.record < last - 2]
    assert left == [number for number in range(1, last - 2) if number != 4]
