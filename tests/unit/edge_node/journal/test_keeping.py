"""What is pruned, and what never is."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_node.journal import recovery
from edge_node.journal.carried import CARRIED, read_carried, write_carried
from edge_node.journal.entries import Snapped
from edge_node.journal.errors import JournalBusyError, JournalError
from edge_node.journal.folder import (
    LOCK,
    Place,
    file_bytes,
    last_epoch,
    move_aside,
    places,
    writing,
)
from edge_node.journal.keeping import Keeper, KeepOptions, prune, prune_by_hand
from edge_node.journal.mark import BadMark, Mark, Marked, read_mark
from edge_node.journal.resuming import resume_tracker
from edge_node.journal.segment import fold
from edge_node.journal.spare import Spare
from edge_node.journal.verifying import verify
from tests.support.journals import Play, facts, opened

STEPS = 106
DAY_S = 86_400.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal of many files."""
    journal, play = opened(tmp_path / "finals", segment_bytes=60_000), Play(checkpoint_every=10)
    for _ in range(STEPS):
        journal.commit(play.next())
    journal.close()
    assert len(places(tmp_path / "finals")) > 5
    return tmp_path / "finals"


def _prune(folder: Path, options: KeepOptions, carried: int = 0) -> list[Place]:
    marked = read_mark(folder)
    assert isinstance(marked, Marked)
    mark = Mark(folder, marked)
    try:
        return prune(folder, options, mark, carried)
    finally:
        mark.close()


def test_without_bounds_everything_stays(folder: Path) -> None:
    before = places(folder)
    assert _prune(folder, KeepOptions()) == []
    assert places(folder) == before


def test_the_oldest_files_go_as_far_as_the_size_asks(folder: Path) -> None:
    before = places(folder)
    sizes = [file_bytes(folder, place) for place in before]
    removed = _prune(folder, KeepOptions(max_bytes=sum(sizes[2:])))
    assert removed == before[:2]
    assert places(folder) == before[2:]
    verdict = verify(folder)
    assert verdict.found == []
    assert verdict.first == before[2].first


def test_what_is_kept_can_be_resumed_and_replayed(folder: Path) -> None:
    play = Play(checkpoint_every=10)
    for _ in range(STEPS):
        play.next()
    _prune(folder, KeepOptions(max_bytes=0))
    assert len(places(folder)) == 1
    verdict = verify(folder)
    assert verdict.holds
    assert verdict.snapshots["live"] > 0
    journal = opened(folder)
    assert journal.recovered is not None
    assert journal.recovered.damages == ()
    resumed = resume_tracker(facts().rig, journal.recovered)
    assert resumed.checkpoint() == play.tracker.checkpoint()
    journal.close()


def test_files_go_by_age(folder: Path) -> None:
    written_s = (folder / places(folder)[0].name).stat().st_mtime
    young = KeepOptions(max_age_s=DAY_S, clock_s=lambda: written_s + DAY_S / 2)
    assert _prune(folder, young) == []
    old = KeepOptions(max_age_s=DAY_S, clock_s=lambda: written_s + 2 * DAY_S)
    assert _prune(folder, old)
    assert len(places(folder)) == 1


def test_what_was_not_carried_up_stays(folder: Path) -> None:
    before = places(folder)
    keep = KeepOptions(max_bytes=0, carried=True)
    assert _prune(folder, keep, 0) == []
    # One record short of the second file's end.
    assert _prune(folder, keep, before[2].first - 2) == before[:1]
    assert _prune(folder, keep, before[2].first - 1) == before[1:2]


def test_a_file_without_a_checkpoint_behind_it_stays(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=30_000)
    play = Play(checkpoint_every=10_000)
    for _ in range(STEPS):
        journal.commit(play.next())
    journal.close()
    before = places(tmp_path)
    assert len(before) > 2
    assert _prune(tmp_path, KeepOptions(max_bytes=0)) == []


def test_a_journal_prunes_itself_while_it_is_written(tmp_path: Path) -> None:
    keep = KeepOptions(max_bytes=200_000)
    journal, play = opened(tmp_path, segment_bytes=60_000, keep=keep), Play(checkpoint_every=10)
    for _ in range(3 * STEPS):
        journal.commit(play.next())
    journal.close()
    assert places(tmp_path)[0].first > 1
    assert sum(file_bytes(tmp_path, place) for place in places(tmp_path)) < 400_000
    assert verify(tmp_path).holds


def test_what_was_carried_up_is_known_after_a_restart(folder: Path) -> None:
    keep = KeepOptions(max_bytes=0, carried=True)
    journal = opened(folder, keep=keep)
    carried = places(folder)[1].first
    journal.carried_up_to(carried)
    journal.close()
    assert read_carried(folder) == carried
    prune_by_hand(folder, KeepOptions(max_bytes=0))
    # The file of that record holds more that was not carried up.
    assert places(folder)[0].first == carried
    assert len(places(folder)) > 2


def test_nobody_prunes_a_journal_that_is_written(folder: Path) -> None:
    journal = opened(folder)
    with pytest.raises(JournalBusyError):
        prune_by_hand(folder, KeepOptions(max_bytes=0))
    journal.close()


def test_an_epoch_that_was_moved_aside_is_not_taken_again(folder: Path) -> None:
    journal = opened(folder)
    assert journal.epoch == 2
    journal.commit([Snapped("live", 1, 5, bytes(32), b"")])
    journal.close()
    move_aside(folder, [places(folder)[-1].name], "for a test")
    assert last_epoch(folder) == 2
    again = opened(folder)
    assert again.epoch == 3
    assert again.recovered is not None
    assert "missing at the end" in again.recovered.damages[0].reason
    again.close()


def test_a_file_that_is_not_closed_stays_and_so_does_what_follows(folder: Path) -> None:
    before = places(folder)
    marked = read_mark(folder)
    assert isinstance(marked, Marked)
    mark = Mark(folder, marked)
    removed = prune(folder, KeepOptions(max_bytes=0), mark, unclosed=[before[2].name])
    mark.close()
    assert removed == before[:2]


def test_the_keeper_prunes_no_file_before_it_has_closed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was pruned and is closed afterwards was made anew, empty: damage at the next start."""
    monkeypatch.setattr(Keeper, "_run", lambda _self: None)
    keep = KeepOptions(max_bytes=0)
    journal, play = opened(tmp_path, segment_bytes=60_000, keep=keep), Play(checkpoint_every=10)
    while len(places(tmp_path)) < 3:
        journal.commit(play.next())
    written = places(tmp_path)
    keeper = journal._keeper
    keeper._prune()
    assert places(tmp_path) == written
    keeper._close_finished()
    keeper._prune()
    assert places(tmp_path) == written[-1:]
    keeper._logged.append(tmp_path / written[0].name)
    keeper._close_finished()
    assert places(tmp_path) == written[-1:]
    tip = journal.tip
    journal.close()
    again = opened(tmp_path)
    assert again.recovered is not None
    assert again.recovered.damages == ()
    assert again.recovered.tip.record >= tip.record
    again.close()


def test_the_log_of_a_file_that_is_gone_is_not_folded_in(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        fold(tmp_path / "gone.sqlite", truncate=True)
    assert list(tmp_path.iterdir()) == []


def test_without_room_for_the_next_file_old_ones_still_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Spare) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Spare, "prepare", refuse)
    keep = KeepOptions(max_bytes=1)
    journal, play = opened(tmp_path, segment_bytes=60_000, keep=keep), Play(checkpoint_every=10)
    while journal.tip.record < 600:
        journal.commit(play.next())
    journal.close()
    assert len(places(tmp_path)) == 1
    assert verify(tmp_path).holds


def test_a_commit_that_fails_wakes_who_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, play = opened(tmp_path), Play()
    turned = threading.Event()
    monkeypatch.setattr(journal._keeper, "_prune", turned.set)
    entries = play.next()
    with monkeypatch.context() as patch:
        patch.setattr(journal._writer, "append", _refuse)
        with pytest.raises(JournalError):
            journal.commit(entries)
    assert turned.wait(10.0)
    journal.close()


def _refuse(*_: object) -> None:
    raise sqlite3.OperationalError("the disk takes nothing")


def test_an_old_file_that_cannot_be_read_does_not_keep_the_others(folder: Path) -> None:
    before = places(folder)
    (folder / before[1].name).write_bytes(bytes(5000))
    assert prune_by_hand(folder, KeepOptions(max_bytes=0)) == before[:-1]


@pytest.mark.parametrize("content", ["", "many\n"])
def test_nothing_goes_where_it_is_not_known_what_was_carried_up(folder: Path, content: str) -> None:
    before = places(folder)
    write_carried(folder, before[-1].first)
    (folder / CARRIED).write_text(content, "ascii")
    assert read_carried(folder) == 0
    assert prune_by_hand(folder, KeepOptions(max_bytes=0)) == []
    (folder / CARRIED).unlink()
    assert read_carried(folder) is None
    assert prune_by_hand(folder, KeepOptions(max_bytes=0)) == before[:-1]


def test_records_that_take_the_numbers_of_lost_ones_do_not_count_as_carried_up(
    folder: Path,
) -> None:
    last = read_mark(folder)
    assert isinstance(last, Marked)
    write_carried(folder, last.tip.record)
    for place in places(folder)[2:]:
        (folder / place.name).unlink()
    journal = opened(folder)
    assert journal.recovered is not None
    assert read_carried(folder) == journal.recovered.tip.record < last.tip.record
    journal.close()


def test_a_look_at_the_lock_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open("r") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = threading.Timer(0.05, fcntl.flock, (looking, fcntl.LOCK_UN))
        timer.start()
        with writing(tmp_path):
            pass
        timer.join()


def _meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Have something happen, once, while a number is written and not yet in its place."""
    before = os.fsync
    due = [happens]

    def fsync(handle: int) -> None:
        if due:
            due.pop()()
        before(handle)

    monkeypatch.setattr("edge_node.journal.carried.os.fsync", fsync)


def test_two_who_carry_up_at_once_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another() -> None:
        thread = threading.Thread(target=write_carried, args=(tmp_path, 7))
        thread.start()
        thread.join()
        assert read_carried(tmp_path) == 7

    _meanwhile(monkeypatch, another)
    write_carried(tmp_path, 8)
    assert read_carried(tmp_path) == 8
    assert [path.name for path in tmp_path.iterdir()] == [CARRIED]


def test_a_node_that_starts_does_not_disturb_who_carries_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _meanwhile(monkeypatch, lambda: recovery._tidy(tmp_path, BadMark("")))
    write_carried(tmp_path, 8)
    assert read_carried(tmp_path) == 8


def test_who_carries_up_does_not_keep_a_node_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was half written when the node looked has its place when it is to be removed."""
    monkeypatch.setattr(Path, "glob", lambda self, _: [self / f"{CARRIED}.1-1.part"])
    recovery._tidy(tmp_path, BadMark(""))
