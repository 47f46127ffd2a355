"""suite=triton without a server: callers, turns, and what counts as the same answer."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bench.arrays import Keypoints
from bench.callers import Latency, call_at_once, race
from bench.sim import Arena, preset
from bench.sim.picture import draw
from bench.suites.triton import difference_px


def answer() -> Keypoints:
    return np.zeros((2, 17, 3), np.float32)


def test_all_callers_call_at_once_and_share_the_requests() -> None:
    together = threading.Barrier(4)
    threads: set[int] = set()

    def way() -> Keypoints:
        threads.add(threading.get_ident())
        together.wait(timeout=10)
        return answer()

    milliseconds, seconds = call_at_once(way, callers=4, requests=8)
    assert len(milliseconds) == 8
    assert len(threads) == 4
    assert seconds > 0


def test_requests_that_do_not_divide_are_all_made() -> None:
    assert len(call_at_once(answer, callers=3, requests=7)[0]) == 7


def test_a_failing_call_is_raised_to_the_caller() -> None:
    def way() -> Keypoints:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        call_at_once(way, callers=2, requests=4)


def test_the_ways_take_turns() -> None:
    order: list[str] = []

    def named(name: str) -> Keypoints:
        order.append(name)
        return answer()

    found = race({"a": lambda: named("a"), "b": lambda: named("b")}, 1, 2, 2)
    assert order == ["a", "a", "b", "b", "a", "a", "b", "b"]
    assert all(len(latency.medians_ms) == 2 for latency in found.values())


def test_answers_are_compared_joint_by_joint() -> None:
    other = answer()
    other[..., 0] += 3.0
    other[..., 1] += 4.0
    assert difference_px(answer(), answer()) == 0.0
    assert difference_px(answer(), other) == pytest.approx(5.0)
    assert difference_px(answer(), answer()[:1]) == float("inf")
    assert difference_px(answer()[:0], answer()[:0]) == 0.0


def test_the_picture_shows_people_inside_their_boxes() -> None:
    frame, boxes = draw(Arena(preset("clean", people=4, frames=30)), 10, 0)
    assert frame.shape == (1080, 1920, 3)
    assert frame.dtype == np.uint8
    assert boxes.shape == (4, 4)
    for x0, y0, x1, y1 in boxes.astype(int):
        inside = frame[max(y0, 0) : y1, max(x0, 0) : x1].reshape(-1, 3)
        assert len(np.unique(inside, axis=0)) > 3


def test_the_cost_is_taken_within_a_turn_so_that_a_busy_moment_does_not_count() -> None:
    slow_moment = Latency(12.0, 90.0, (10.0, 80.0, 12.0), 50.0)
    server = Latency(13.0, 95.0, (11.0, 81.0, 15.0), 40.0)
    assert server.beyond(slow_moment) == pytest.approx(1.0)
