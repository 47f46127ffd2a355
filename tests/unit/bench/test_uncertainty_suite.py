"""suite=uncertainty: when each question is asked, and that it finds the covariances' scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.arrays import Ints, Keypoints
from bench.sim import Arena, preset
from bench.suites.uncertainty import INSIDE, LIVE, SMOOTHED, Config, ask_and_score, smooths
from tipoff.errors import InvalidInputError

MS = 1_000_000


@dataclass(frozen=True)
class Seen:
    """A snapshot."""

    ids: Ints
    joints_m: NDArray[np.float64]
    covariance_m2: NDArray[np.float64]
    views: NDArray[np.int32]


@dataclass(frozen=True)
class Options:
    """What the suite reads of a tracker's options."""

    lag_ms: float = 50.0


class Blurred:
    """The truth with errors of known size; smoothed snapshots claim a wrong covariance."""

    def __init__(self, arena: Arena) -> None:
        self.arena, self.options = arena, Options()
        self.rng = np.random.default_rng(1)
        self.newest = 0
        self.asked: list[tuple[int, bool]] = []

    def observe(self, camera: int, capture_time_ns: int, keypoints: Keypoints) -> bool:
        self.newest = max(self.newest, capture_time_ns)
        return True

    def snapshot(self, time_ns: int, *, smoothed: bool = False) -> Seen:
        self.asked.append((self.newest - time_ns, smoothed))
        truth = self.arena.truth(time_ns)
        error = 0.02 * self.rng.standard_normal(truth.shape)
        told = 0.01 if smoothed else 0.02
        covariance = np.tile(np.eye(3) * told**2, (*truth.shape[:2], 1, 1))
        views = np.full(truth.shape[:2], 4, np.int32)
        return Seen(np.arange(len(truth)), truth + error, covariance, views)


class Live:
    """A tracker without smoothed snapshots."""

    def __init__(self, arena: Arena) -> None:
        self.inner = Blurred(arena)

    def observe(self, camera: int, capture_time_ns: int, keypoints: Keypoints) -> bool:
        return self.inner.observe(camera, capture_time_ns, keypoints)

    def snapshot(self, time_ns: int) -> Seen:
        return self.inner.snapshot(time_ns)


def test_each_way_is_asked_at_its_own_time_after_the_first_second() -> None:
    arena = Arena(preset("async", cameras=3, people=4, frames=62))
    tracker = Blurred(arena)
    found = ask_and_score(lambda _: tracker, arena, inside_ms=20.0)
    assert tracker.asked == [(0, False), (20 * MS, False), (50 * MS, True)] * 2
    assert {way: score.metrics().frames for way, score in found.items()} == {
        LIVE: 2,
        INSIDE: 2,
        SMOOTHED: 2,
    }


def test_true_covariances_pass_and_small_ones_do_not() -> None:
    arena = Arena(preset("standard", cameras=3, people=13, frames=120))
    found = ask_and_score(lambda _: Blurred(arena), arena)
    assert set(found) == {LIVE, SMOOTHED}
    live, smoothed = found[LIVE].trust.cells(), found[SMOOTHED].trust.cells()
    for name in ("all", "trunk", "limbs", "3-4 views"):
        assert live[name].coverage == pytest.approx(0.95, abs=0.015)
        assert smoothed[name].coverage < 0.6
    assert smoothed["all"].nees == pytest.approx(4.0, rel=0.05)


def test_a_tracker_that_does_not_smooth_is_asked_for_the_rest() -> None:
    arena = Arena(preset("standard", cameras=3, people=4, frames=62))
    assert smooths(Blurred(arena))
    assert not smooths(Live(arena))
    assert set(ask_and_score(lambda _: Live(arena), arena)) == {LIVE}


def test_an_unknown_workload_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="easy"):
        Config(workloads=["easy"])
