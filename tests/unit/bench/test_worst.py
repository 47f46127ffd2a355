"""The slowest frame, memory and growth, by trackers of known cost and size."""

from __future__ import annotations

import mmap
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

import accel
from bench.arrays import Ints, Keypoints
from bench.sim import Arena, preset
from bench.worst import emptied, growth, memory, worst_frame

ENTER_AT, SLOW_AT = 12, 30


@pytest.fixture
def arena() -> Arena:
    return Arena(preset("standard", cameras=4, people=5, frames=40))


@dataclass(frozen=True)
class Seen:
    """Nobody."""

    ids: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    joints_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 17, 3)))
    covariance_m2: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 17, 3, 3)))
    views: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 17), np.int32))


class Sleeper:
    """Takes its time when people appear and once later; keeps some memory for each detection."""

    def __init__(self, kib: int = 0) -> None:
        self.kib = kib
        self.frame = -1
        self.seen: list[int] = []
        self.kept: list[mmap.mmap] = []

    def observe(self, camera: int, capture_time_ns: int, keypoints: Keypoints) -> bool:
        self.frame += camera == 0
        self.seen.append(len(keypoints))
        if self.kib and len(self.kept) < 8 and len(keypoints):
            self.kept.append(mmap.mmap(-1, 1024 * self.kib))  # no heap that was used before
            self.kept[-1].write(b"\x01" * (1024 * self.kib))
        return True

    def snapshot(self, time_ns: int) -> Seen:
        until = time.thread_time() + {ENTER_AT: 0.02, SLOW_AT: 0.04}.get(self.frame, 0.001)
        while time.thread_time() < until:
            pass
        return Seen()


def test_people_enter_at_once_and_the_slowest_frame_is_found(arena: Arena) -> None:
    made: list[Sleeper] = []

    def factory(_: accel.Rig) -> Sleeper:
        made.append(Sleeper())
        return made[-1]

    found = worst_frame(factory, arena, frames=40, passes=2, enter_at=ENTER_AT)
    assert [len(s.seen) for s in made] == [160, 160]
    assert sum(made[0].seen[: 4 * ENTER_AT]) == 0
    assert min(sum(made[0].seen[4 * k : 4 * k + 4]) for k in range(ENTER_AT, 40)) > 8
    assert found.worst_at == SLOW_AT
    assert 40e3 <= found.worst_us <= found.raw_us
    assert 20e3 <= found.entry_us < 40e3
    assert found.ratio == pytest.approx(found.worst_us / found.median_us)
    assert found.ratio > 5


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_memory_is_what_trackers_keep(arena: Arena) -> None:
    found = memory(lambda _: Sleeper(kib=256), arena, frames=3, copies=8)
    assert found.full_kib == pytest.approx(8 * 256, rel=0.1)
    assert found.later_kib == pytest.approx(found.full_kib, rel=0.05)
    assert found.empty_kib < 200
    assert found.each_kib == pytest.approx((found.full_kib - found.empty_kib) / 20)
    assert np.isnan(found.checkpoint_kib)


def test_an_emptied_frame_set_keeps_its_times(arena: Arena) -> None:
    frame_set = next(arena.frame_sets())
    empty = emptied(frame_set)
    assert empty.time_ns == frame_set.time_ns
    assert all(v.keypoints.shape == (0, 17, 3) and len(v.person) == 0 for v in empty.views)


def test_growth_in_proportion_has_exponent_one() -> None:
    proportional = {(c, p): 3.0 * c * p for c in (4, 8) for p in (2, 13)}
    steps = growth(proportional)
    assert [s.along for s in steps] == [
        "4 to 8 cameras, 2 people",
        "4 to 8 cameras, 13 people",
        "2 to 13 people, 4 cameras",
        "2 to 13 people, 8 cameras",
    ]
    assert [s.exponent for s in steps] == pytest.approx([1.0] * 4)
    assert growth({(4, 13): 1.0, (8, 13): 4.0})[0].exponent == pytest.approx(2.0)
    assert growth({(4, 13): 1.0}) == []
