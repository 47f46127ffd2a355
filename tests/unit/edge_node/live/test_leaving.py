"""The way out has one deadline, whatever hangs on it."""

from __future__ import annotations

import threading

import pytest

from edge_node.live import leaving as module
from edge_node.live.leaving import LEAST_S, Leaving


def test_time_runs_from_the_first_word_to_go() -> None:
    now_s = [100.0]
    leaving = Leaving(lambda: now_s[0])
    leaving.begin()
    now_s[0] += 2.0
    leaving.begin()
    assert leaving.left_s(3.0) == pytest.approx(1.0)
    now_s[0] += 5.0
    assert leaving.left_s(3.0) == LEAST_S


def test_a_step_that_hangs_is_left_behind_and_one_that_fails_ends_nothing() -> None:
    now_s = [0.0]
    leaving = Leaving(lambda: now_s[0])
    leaving.begin()
    now_s[0] = 10.0
    hangs = threading.Event()
    assert not leaving.step("hanging", hangs.wait, 1.0)
    assert not leaving.step("failing", lambda: 1 / 0, 1.0)
    assert leaving.step("well", lambda: None, 60.0)
    hangs.set()


def test_the_steps_follow_each_other_and_leave_time_for_the_process_to_end() -> None:
    steps = [
        module.TRACKED_UNTIL_S,
        module.CAMERAS_UNTIL_S,
        module.RING_UNTIL_S,
        module.COMMITTED_UNTIL_S,
        module.ENDED_UNTIL_S,
        module.DRAINED_UNTIL_S,
        module.TOLD_UNTIL_S,
        module.CLOSED_UNTIL_S,
        module.LEAVE_WITHIN_S,
    ]
    assert steps == sorted(set(steps))
