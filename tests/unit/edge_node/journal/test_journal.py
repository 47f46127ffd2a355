"""Committing, opening again, and going on to the same bits."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from accel import Tracker
from edge_node.journal.entries import (
    Ended,
    Observed,
    Restarted,
    Snapped,
    StateChanged,
)
from edge_node.journal.errors import JournalBusyError, JournalFullError, ReplayDifferedError
from edge_node.journal.folder import places
from edge_node.journal.journal import Journal
from edge_node.journal.resuming import resume_tracker
from edge_node.journal.segment import SegmentReader
from tests.support.journals import Play, facts, key, opened, wait_for_spare
from tipoff.errors import ConflictError, InternalError


def _records(folder: Path) -> list[int]:
    numbers = []
    for place in places(folder):
        with SegmentReader(folder / place.name) as reader:
            numbers += [linked.record.record for linked in reader.linked()]
    return numbers


def test_a_new_journal_has_nothing_to_recover(tmp_path: Path) -> None:
    journal = opened(tmp_path / "finals")
    assert journal.recovered is None
    assert journal.epoch == 1
    assert not journal.resumes
    journal.close()
    journal.close()


@pytest.mark.parametrize("stop", [1, 29, 30, 31, 75])
def test_a_tracker_goes_on_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    journal, play = opened(tmp_path), Play()
    for _ in range(stop):
        journal.commit(play.next())
    journal.close()
    again = opened(tmp_path)
    assert again.recovered is not None
    assert again.resumes
    resumed = resume_tracker(again.facts.rig, again.recovered)
    assert resumed.checkpoint() == play.tracker.checkpoint()
    assert resumed.stats == play.tracker.stats
    following = Play(resumed, epoch=again.epoch, first=stop)
    for entry, other in zip(following.next(), play.next(), strict=False):
        if isinstance(entry, Snapped) and isinstance(other, Snapped) and entry.kind == "live":
            assert entry.digest == other.digest
    again.close()


def test_a_restart_hands_on_what_was_sent(tmp_path: Path) -> None:
    journal, play = opened(tmp_path), Play()
    sent = [entry for _ in range(40) for entry in _commit(journal, play)]
    journal.close()
    again = opened(tmp_path)
    found = again.recovered
    assert found is not None
    assert again.epoch == 2
    assert found.damages == ()
    for kind in ("live", "smoothed"):
        snapped = [entry for entry in sent if entry.kind == kind]
        messages = [message.message for message in found.messages[kind]]
        assert messages == [entry.message for entry in snapped]
        assert found.sequences[kind, 1] == snapped[-1].sequence
    assert found.last_time_ns == max(entry.time_ns for entry in sent if entry.kind == "live")
    assert found.states["members"] == {"members": [29]}
    again.close()


def _commit(journal: Journal, play: Play) -> list[Snapped]:
    entries = play.next()
    journal.commit(entries)
    return [entry for entry in entries if isinstance(entry, Snapped)]


def test_epochs_rise_and_messages_of_several_are_handed_on(tmp_path: Path) -> None:
    tracker, step = None, 0
    for epoch in (1, 2, 3):
        journal = opened(tmp_path)
        assert journal.epoch == epoch
        if journal.recovered is not None:
            tracker = resume_tracker(journal.facts.rig, journal.recovered)
        play = Play(tracker, epoch, step)
        for _ in range(20):
            journal.commit(play.next())
        step = play.step
        journal.close()
    journal = opened(tmp_path)
    assert journal.recovered is not None
    places_of = [(m.epoch, m.sequence) for m in journal.recovered.messages["live"]]
    assert places_of == [(epoch, n) for epoch in (1, 2, 3) for n in range(1, 21)]
    journal.close()


def test_an_epoch_is_taken_even_where_nothing_was_committed(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        journal = opened(tmp_path)
        assert journal.epoch == epoch
        journal.close()


def test_another_rig_is_not_gone_on_with(tmp_path: Path) -> None:
    journal, play = opened(tmp_path), Play()
    journal.commit(play.next())
    journal.close()
    other = dataclasses.replace(facts(), rig=facts().rig.subset(facts().rig.names[:3]))
    again = Journal.open(tmp_path, other, key())
    assert again.recovered is not None
    assert not again.resumes
    assert "rig" in again.recovered.why_not
    again.close()
    third = Journal.open(tmp_path, other, key())
    assert third.recovered is not None
    assert third.recovered.calls == ()
    assert third.recovered.checkpoint is None
    third.close()


def test_a_tracker_that_began_anew_is_resumed_from_there(tmp_path: Path) -> None:
    journal, play = opened(tmp_path), Play()
    for _ in range(35):
        journal.commit(play.next())
    journal.close()
    again = opened(tmp_path)
    fresh = Play(Tracker(facts().rig), again.epoch, 35)
    again.commit([Restarted("somebody asked for it")])
    for _ in range(5):
        again.commit(fresh.next())
    again.close()
    third = opened(tmp_path)
    assert third.recovered is not None
    resumed = resume_tracker(facts().rig, third.recovered)
    assert resumed.checkpoint() == fresh.tracker.checkpoint()
    third.close()


def test_a_call_that_was_not_made_is_noticed(tmp_path: Path) -> None:
    journal, play = opened(tmp_path), Play()
    for step in range(12):
        entries = play.next()
        if step == 6:
            entries = [e for e in entries if not (isinstance(e, Observed) and e.camera == 1)]
        journal.commit(entries)
    journal.close()
    again = opened(tmp_path)
    assert again.recovered is not None
    with pytest.raises(ReplayDifferedError, match="is not what was sent"):
        resume_tracker(facts().rig, again.recovered)
    again.close()


def test_another_process_is_kept_out(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with pytest.raises(JournalBusyError):
        opened(tmp_path)
    journal.close()
    opened(tmp_path).close()


def test_the_folder_of_another_session_is_left_alone(tmp_path: Path) -> None:
    opened(tmp_path).close()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConflictError, match="finals"):
        Journal.open(tmp_path, dataclasses.replace(facts(), session="semi"), key())
    assert sorted(tmp_path.iterdir()) == before
    opened(tmp_path).close()


def test_a_session_that_has_ended_takes_nothing_more(tmp_path: Path) -> None:
    journal, play = opened(tmp_path), Play()
    journal.commit([*play.next(), Ended("completed", "")])
    with pytest.raises(InternalError, match="ended"):
        journal.commit(play.next())
    journal.close()
    with pytest.raises(ConflictError, match="has ended"):
        opened(tmp_path)


@pytest.mark.parametrize("sequence", [0, 1, 3])
def test_a_sequence_out_of_turn_is_refused(tmp_path: Path, sequence: int) -> None:
    journal = opened(tmp_path)
    journal.commit([Snapped("live", 1, 5, bytes(32), b"one")])
    with pytest.raises(InternalError, match="after 1"):
        journal.commit([Snapped("live", sequence, 6, bytes(32), b"two")])
    journal.commit([Snapped("smoothed", 1, 5, bytes(32), b"one")])
    journal.commit([Snapped("live", 2, 6, bytes(32), b"two")])
    journal.close()


def test_a_full_file_is_followed_by_another_at_a_checkpoint(tmp_path: Path) -> None:
    journal, play = opened(tmp_path, segment_bytes=200_000), Play()
    for entries in play:
        journal.commit(entries)
    tip = journal.tip
    journal.close()
    assert len(places(tmp_path)) > 2
    assert _records(tmp_path) == list(range(1, tip.record + 1))
    for place in places(tmp_path)[1:]:
        with SegmentReader(tmp_path / place.name) as reader:
            assert reader.has_base()
    again = opened(tmp_path, segment_bytes=200_000)
    assert again.recovered is not None
    resumed = resume_tracker(facts().rig, again.recovered)
    assert resumed.checkpoint() == play.tracker.checkpoint()
    again.close()
    assert not list(tmp_path.glob("*-wal"))


def test_without_checkpoints_a_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=50_000)
    for n in range(15):
        journal.commit([StateChanged("noise", {"n": n, "noise": os.urandom(10_000).hex()})])
    journal.close()
    assert len(places(tmp_path)) > 1


def test_a_walk_reaches_back_to_a_checkpoint(tmp_path: Path) -> None:
    journal, play = opened(tmp_path, segment_bytes=100_000), Play(checkpoint_every=1000)
    for _ in range(60):
        journal.commit(play.next())
    journal.close()
    assert len(places(tmp_path)) > 1
    again = opened(tmp_path, check_bytes=1)
    assert again.recovered is not None
    assert resume_tracker(facts().rig, again.recovered).checkpoint() == play.tracker.checkpoint()
    again.close()


def test_a_full_file_is_told_and_the_same_commit_succeeds_later(tmp_path: Path) -> None:
    journal, play = opened(tmp_path, max_pages=40), Play()
    committed, entries, tip = 0, play.next(), journal.tip
    for _ in range(100):
        try:
            journal.commit(entries)
        except JournalFullError:
            break
        committed, entries, tip = committed + 1, play.next(), journal.tip
    with pytest.raises(JournalFullError):
        journal.commit(entries)
    assert journal.tip == tip
    journal._writer._base.execute("PRAGMA max_page_count=100000")
    journal.commit(entries)
    journal.commit(play.next())
    journal.close()
    again = opened(tmp_path)
    assert again.recovered is not None
    assert again.recovered.damages == ()
    assert again.recovered.sequences["live", 1] == committed + 2
    again.close()


def test_heads_are_signed_at_most_as_often_as_said(tmp_path: Path) -> None:
    now = [1_000_000_000_000]
    journal = opened(tmp_path, clock_ns=lambda: now[0])
    first = journal.head()
    assert first.holds
    assert (first.record, first.hash) == (journal.tip.record, journal.tip.hash)
    journal.commit([StateChanged("a", {})])
    assert journal.head() is first
    now[0] += 1_000_000_000
    second = journal.head()
    assert second.record == journal.tip.record
    assert second.signed_ns == now[0]
    journal.commit([StateChanged("b", {})])
    now[0] += 10
    journal.close()
    with SegmentReader(tmp_path / places(tmp_path)[-1].name) as reader:
        heads = reader.heads()
    assert [head.record for head in heads] == [1, 2, 3]
    assert all(head.holds for head in heads)


def test_commits_of_several_threads_take_turns(tmp_path: Path) -> None:
    journal = opened(tmp_path)

    def write(name: str) -> None:
        for n in range(20):
            journal.commit([StateChanged(name, {"n": n}), StateChanged(name, {"n": n})])
            journal.head()

    threads = [threading.Thread(target=write, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    again = opened(tmp_path)
    assert again.recovered is not None
    assert again.recovered.tip.record == 161
    assert again.recovered.damages == ()
    again.close()


def test_heads_are_signed_again_after_the_clock_was_set_back(tmp_path: Path) -> None:
    now = [10**18]
    journal, play = opened(tmp_path, clock_ns=lambda: now[0]), Play()
    journal.commit(play.next())
    before = journal.head()
    now[0] -= 3_600 * 10**9
    journal.commit(play.next())
    after = journal.head()
    assert after.record > before.record
    assert after.signed_ns == now[0]
    # And from there on as often as said, again.
    journal.commit(play.next())
    assert journal.head() == after
    now[0] += 10**9
    assert journal.head().record == journal.tip.record
    journal.close()


def test_closing_does_not_wait_for_a_disk_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_node.journal.journal.CLOSE_FILES_WITHIN_S", 0.1)
    journal, play = opened(tmp_path), Play()
    journal.commit(play.next())
    answers = threading.Event()
    append = journal._writer.append

    def wait(*arguments: Any) -> None:
        answers.wait()
        append(*arguments)

    monkeypatch.setattr(journal._writer, "append", wait)
    journal.close()
    journal.close()
    # What may still be written is written by nobody else.
    with pytest.raises(JournalBusyError):
        opened(tmp_path)
    answers.set()
    _open_soon(tmp_path).close()


def _open_soon(folder: Path) -> Journal:
    for _ in range(100):
        try:
            return opened(folder)
        except JournalBusyError:
            time.sleep(0.05)
    raise AssertionError("it stays locked")


def test_a_journal_stays_locked_while_its_files_are_looked_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_node.journal.keeping.CLOSE_WITHIN_S", 0.1)
    journal = opened(tmp_path)
    wait_for_spare(journal)
    answers, called = threading.Event(), threading.Event()

    def wait() -> None:
        called.set()
        answers.wait()

    monkeypatch.setattr(journal._keeper, "_prune", wait)
    journal._keeper.carried_up_to(0)
    assert called.wait(10.0)
    journal.close()
    with pytest.raises(JournalBusyError):
        opened(tmp_path)
    # The mark is still this one's, and not another file under the same number.
    journal._mark.prune(1)
    answers.set()
    journal._keeper._thread.join()
    journal._held.close()
    opened(tmp_path).close()
