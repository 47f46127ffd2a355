"""The committer: on disk, then sent; a disk that fails is waited for, and said."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from edge_node.frames import DegradationKind
from edge_node.journal.entries import Ended, Entry, StateChanged
from edge_node.live.committer import COMMIT_PLAY_NS, Batch, Committer, CommitterOptions
from tests.support.live import MemoryLog, PlayedNode, Watch


def wait_for(what: object, within_s: float = 10.0) -> None:
    until_s = time.monotonic() + within_s
    assert callable(what)
    while not what():
        assert time.monotonic() < until_s, "it did not happen in time"
        time.sleep(0.002)


def test_nothing_is_sent_while_the_disk_fails_and_all_of_it_afterwards() -> None:
    node = PlayedNode()
    node.play(range(20))
    wait_for(lambda: len(node.live.published) >= 15)
    node.log.failing.set()
    wait_for(lambda: node.committer.waiting == 0)
    sent = len(node.live.published)
    node.play(range(20, 40))
    wait_for(lambda: node.watch.failures > 3)
    assert len(node.live.published) <= sent + 1
    assert node.committer.degradations()[0].kind is DegradationKind.JOURNAL_FAILED
    node.log.failing.clear()
    node.close()
    assert [m.sequence for m in node.live.published] == list(range(1, len(node.live.published) + 1))
    assert node.live.times_ns[-1] == node.smoothed.times_ns[-1] + 6 * 16_666_667


def test_frame_sets_that_wait_are_written_together() -> None:
    node = PlayedNode()
    node.log.slow_s = 0.05
    node.play(range(60))
    node.close()
    assert node.log.commits < 30
    assert len(node.live.published) > 50


def test_a_transaction_holds_little_play_however_seldom_frames_come() -> None:
    """A head is signed between two transactions: a kill must not leave half a minute unsigned."""
    node = PlayedNode()
    node.log.slow_s = 0.05
    node.play(range(0, 1800, 30))
    node.close()
    assert len(node.live.published) > 50
    assert COMMIT_PLAY_NS <= max(node.log.spans_ns) < 1.6 * COMMIT_PLAY_NS


def test_the_state_is_judged_by_live_frames_alone() -> None:
    """Smoothed ones are older by the lag and surer: mixed in they harm the age and help the std."""
    node = PlayedNode()
    node.play(range(40))
    node.close()
    assert [time_ns for time_ns in node.judged_ns if time_ns is not None] == node.live.times_ns
    assert node.judged_ns.count(None) == len(node.smoothed.published) > 0


def test_a_slow_commit_is_said_for_a_while() -> None:
    now_s = [0.0]
    log = MemoryLog()

    class SlowLog(MemoryLog):
        def commit(self, entries: object) -> None:
            del entries
            now_s[0] += 0.2

    del log
    options = CommitterOptions(clock_s=lambda: now_s[0])
    committer = Committer(SlowLog(), lambda *_: None, Watch(), options)  # type: ignore[arg-type]
    committer.start()
    assert committer.put(Batch((Ended("stopped", ""),), ()), lambda: False)
    assert committer.close(5.0)
    said = committer.degradations()
    assert [(d.kind, d.detail) for d in said] == [
        (DegradationKind.JOURNAL_SLOW, "a commit took 200 ms")
    ]
    now_s[0] += 10.0
    assert committer.degradations() == ()


def test_behind_a_disk_that_never_answers_closing_gives_up_in_time() -> None:
    log = MemoryLog()
    log.failing.set()
    options = CommitterOptions(queue_batches=4, retry_s=0.01)
    committer = Committer(log, lambda *_: None, Watch(), options)  # type: ignore[arg-type]
    committer.start()
    stop = threading.Event()
    for _ in range(5):
        committer.put(Batch((Ended("stopped", ""),), ()), stop.is_set)
    assert not committer.close(0.3)
    assert log.entries == []


def test_what_ends_the_committer_is_raised_where_batches_are_put() -> None:
    class BrokenLog(MemoryLog):
        def commit(self, entries: object) -> None:
            del entries
            raise ZeroDivisionError

    committer = Committer(BrokenLog(), lambda *_: None, Watch())  # type: ignore[arg-type]
    committer.start()
    committer.put(Batch((Ended("stopped", ""),), ()), lambda: False)
    wait_for(lambda: committer.error is not None)
    with pytest.raises(ZeroDivisionError):
        committer.put(Batch((), ()), lambda: False)
    assert not committer.close(1.0)


def test_what_is_handed_over_late_is_taken_as_long_as_there_is_room() -> None:
    log = MemoryLog()
    committer = Committer(log, lambda *_: None, Watch())  # type: ignore[arg-type]
    committer.start()
    assert committer.put(Batch((Ended("stopped", ""),), ()), lambda: True)
    assert committer.close(5.0)
    assert len(log.entries) == 1


def test_after_one_that_was_given_up_nothing_is_taken_and_closing_says_so() -> None:
    class StuckLog(MemoryLog):
        def commit(self, entries: Sequence[Entry]) -> None:
            stuck.wait()
            super().commit(entries)

    log, stuck = StuckLog(), threading.Event()
    options = CommitterOptions(queue_batches=2)
    committer = Committer(log, lambda *_: None, Watch(), options)  # type: ignore[arg-type]
    committer.start()
    batches = [Batch((StateChanged(f"{number}"),), ()) for number in range(5)]
    assert committer.put(batches[0], lambda: False)
    wait_for(lambda: committer.waiting == 0)
    assert [committer.put(batch, lambda: True) for batch in batches[1:4]] == [True, True, False]
    stuck.set()
    wait_for(lambda: committer.waiting == 0)
    assert not committer.put(batches[4], lambda: False), "a journal has no holes"
    assert not committer.close(5.0)
    assert [e.name for e in log.entries if isinstance(e, StateChanged)] == ["0", "1", "2"]
