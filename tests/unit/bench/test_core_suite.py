"""suite=core: what it feeds, times and scores, by trackers that know the truth."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

import accel
from bench.arrays import Floats, Ints, Keypoints
from bench.evaluation import evaluate, race, score_peer
from bench.peers import Found, Peer, load_peer, load_peers
from bench.sim import Arena, FrameSet, preset
from tipoff.errors import NotFoundError


@dataclass(frozen=True)
class Seen:
    """A snapshot."""

    ids: Ints
    joints_m: NDArray[np.float64]
    covariance_m2: NDArray[np.float64]
    views: NDArray[np.int32]


class Oracle:
    """Gives the truth, some millimetres off along x, and remembers what it was fed."""

    def __init__(self, arena: Arena, off_m: float = 0.0) -> None:
        self.arena, self.off_m = arena, off_m
        self.fed: list[tuple[int, int, int]] = []
        self.asked: list[int] = []

    def observe(self, camera: int, capture_time_ns: int, keypoints: Keypoints) -> bool:
        self.fed.append((camera, capture_time_ns, len(keypoints)))
        return True

    def snapshot(self, time_ns: int) -> Seen:
        self.asked.append(time_ns)
        joints = self.arena.truth(time_ns) + np.array([self.off_m, 0, 0])
        people = len(joints)
        covariance = np.tile(np.eye(3) * 1e-4, (people, 17, 1, 1))
        return Seen(np.arange(people), joints, covariance, np.full((people, 17), 8, np.int32))


@pytest.fixture
def arena() -> Arena:
    return Arena(preset("async", cameras=4, people=5, frames=70))


def test_every_camera_is_observed_in_order_of_capture_and_the_newest_time_is_asked(
    arena: Arena,
) -> None:
    oracle = Oracle(arena)
    evaluate(lambda _: oracle, arena, frames=3, warm_up=0)
    times = arena.capture_times_ns(np.arange(3))
    assert [t for _, t, _ in oracle.fed] == np.sort(times, axis=1).ravel().tolist()
    assert {c for c, _, _ in oracle.fed} == {0, 1, 2, 3}
    assert oracle.asked == times.max(axis=1).tolist()


def test_the_rig_handed_to_the_tracker_projects_as_the_arena_does(arena: Arena) -> None:
    rigs: list[accel.Rig] = []

    def factory(rig: accel.Rig) -> Oracle:
        rigs.append(rig)
        return Oracle(arena)

    evaluate(factory, arena, frames=1, warm_up=0)
    joints = arena.truth(arena.options.start_ns).reshape(-1, 3)
    ours, _ = arena.rig.project(joints[None])
    theirs = np.moveaxis(np.asarray(rigs[0].project(joints)), 1, 0)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_truth_scores_zero_and_what_is_off_scores_by_how_much(arena: Arena) -> None:
    assert evaluate(lambda _: Oracle(arena), arena).metrics.mpjpe_mm == pytest.approx(0, abs=1e-9)
    off = evaluate(lambda _: Oracle(arena, 0.012), arena).metrics
    assert off.mpjpe_mm == pytest.approx(12.0)
    assert (off.recall, off.precision, off.switches, off.frames) == (1.0, 1.0, 0, 10)
    assert off.coverage == 1.0


def test_equal_results_have_equal_digests_and_others_do_not(arena: Arena) -> None:
    first, again, other = (
        evaluate(lambda _: Oracle(arena, off), arena, frames=5, warm_up=0).digest  # noqa: B023
        for off in (0.0, 0.0, 1e-12)
    )
    assert first == again
    assert first != other


def peer(name: str, arena: Arena) -> Peer:
    found = load_peer(name, arena.rig)
    assert found is not None
    return found


def test_the_race_times_every_frame_set_of_every_repetition_for_all(arena: Arena) -> None:
    made: list[Oracle] = []

    def factory(_: accel.Rig) -> Oracle:
        made.append(Oracle(arena))
        return made[-1]

    found = race(factory, arena, frames=4, repetitions=3, peers=[peer("opencv", arena)])
    assert [len(oracle.asked) for oracle in made] == [4, 4, 4]
    assert [name.split()[0] for name in found] == ["tipoff", "OpenCV"]
    for spread in found.values():
        assert len(spread.medians) == 3
        assert 0 < spread.median <= spread.p99 <= spread.worst
    assert list(race(factory, arena, 2, 1)) == ["tipoff"]


class Slow:
    """A peer that knows the truth, and how often it was asked and began anew."""

    name, does = "slow", "nothing, slowly"

    def __init__(self, arena: Arena) -> None:
        self.arena, self.calls, self.begun = arena, 0, 0

    def prepare(self, frame_set: FrameSet) -> FrameSet:
        return frame_set

    def run(self, frame_set: FrameSet) -> Floats:
        self.calls += 1
        time.sleep(0.01)
        return self.arena.truth(frame_set.time_ns)

    def found(self, result: Floats) -> Found:
        return Found(np.arange(len(result)), result + np.array([0.0, 0.02, 0.0]))

    def forget(self) -> None:
        self.begun += 1


def test_a_slow_peer_is_timed_within_its_budget_and_scored_by_its_positions(arena: Arena) -> None:
    slow = Slow(arena)
    race(lambda _: Oracle(arena), arena, 30, 2, [slow], peer_budget_s=0.025)
    assert slow.calls < 10
    assert slow.begun == 2
    metrics = score_peer(slow, arena, first=60, frames=5)
    assert metrics is not None
    assert metrics.mpjpe_mm == pytest.approx(20.0)
    assert (metrics.frames, metrics.recall, metrics.switches) == (5, 1.0, 0)
    assert score_peer(peer("opencv", arena), arena, 60, 5) is None


def test_the_peer_gets_the_same_points_that_the_tracker_gets(arena: Arena) -> None:
    frame_set = next(arena.frame_sets())
    prepared = dict(peer("opencv", arena).prepare(frame_set))
    for view in frame_set.views:
        given = view.keypoints[view.keypoints[..., 2] > 0]
        np.testing.assert_array_equal(prepared[view.camera][:, 0], given[:, :2])


def test_an_unknown_peer_is_refused(arena: Arena) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        load_peer("nobody", arena.rig)
    with pytest.raises(NotFoundError, match="nobody"):
        load_peers(["opencv", "nobody"], arena.rig)


def test_a_peer_that_is_not_installed_is_left_out_and_named(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "Pose2Sim", None)
    peers, notes = load_peers(["opencv", "pose2sim"], arena.rig)
    assert [p.name.split()[0] for p in peers] == ["OpenCV"]
    assert len(notes) == 1
    assert "pose2sim" in notes[0]
    assert "pip install" in notes[0]


@pytest.mark.parametrize(("name", "mpjpe_mm"), [("aniposelib", 60.0), ("pose2sim", 60.0)])
def test_peers_place_people_where_they_are(name: str, mpjpe_mm: float) -> None:
    arena = Arena(preset("clean", cameras=4, people=3, frames=64))
    peers, notes = load_peers([name], arena.rig)
    if notes:  # the benches go without it, and say how to have it
        assert not peers
        assert "pip install" in notes[0]
        return
    metrics = score_peer(peers[0], arena, first=60, frames=3)
    assert metrics is not None
    assert metrics.mpjpe_mm < mpjpe_mm
    assert (metrics.recall, metrics.precision, metrics.switches) == (1.0, 1.0, 0)
