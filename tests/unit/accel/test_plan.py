"""`Tracker.plan` as its users see it; the choice itself is tested beside its C++ sources too."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import accel
from bench.sim import Arena, FrameSet, preset

FRAMES = 40
INTERVAL_NS = 16_666_667


@pytest.fixture(scope="module")
def arena() -> Arena:
    return Arena(preset("clean", cameras=5, people=4, frames=FRAMES, seed=5))


@pytest.fixture(scope="module")
def frame_sets(arena: Arena) -> list[FrameSet]:
    return list(arena.frame_sets())


def tracked(arena: Arena, frame_sets: list[FrameSet]) -> accel.Tracker:
    tracker = accel.Tracker(arena.accel_rig())
    for frame_set in frame_sets:
        for view in frame_set.views:
            assert tracker.observe(view.camera, view.capture_time_ns, view.keypoints)
    return tracker


def next_budget(frame_sets: list[FrameSet], **changes: Any) -> accel.PlanBudget:
    budget = accel.PlanBudget(frame_sets[-1].time_ns + INTERVAL_NS, 60.0, entries_per_s=0.0)
    return dataclasses.replace(budget, **changes)


def test_people_are_posed_where_they_are_expected(arena: Arena, frame_sets: list[FrameSet]) -> None:
    tracker = tracked(arena, frame_sets)
    budget = next_budget(frame_sets)
    plan = tracker.plan(budget)
    assert plan.detect == ()
    assert len(plan.pose) == 8
    assert plan.cost_ms == pytest.approx(56.0)
    assert 0 < plan.error_after_mm < plan.error_before_mm
    known = set(tracker.snapshot(budget.time_ns).ids.tolist())
    for pose in plan.pose:
        assert pose.id in known
        assert pose.gain_mm > 0
        expected = tracker.predict(pose.camera, budget.time_ns)
        joints = expected.keypoints[expected.ids == pose.id][0, :, :2]
        x0, y0, x1, y1 = pose.box_px
        assert (joints > (x0, y0)).all()
        assert (joints < (x1, y1)).all()


def test_equal_questions_have_equal_answers_and_change_nothing(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    asked, left_alone = tracked(arena, frame_sets), tracked(arena, frame_sets)
    budget = next_budget(frame_sets, entries_per_s=1.0)
    assert asked.plan(budget) == asked.plan(budget) == left_alone.plan(budget)
    now = budget.time_ns
    np.testing.assert_array_equal(asked.snapshot(now).joints_m, left_alone.snapshot(now).joints_m)


def test_a_restored_tracker_plans_the_same(arena: Arena, frame_sets: list[FrameSet]) -> None:
    tracker = tracked(arena, frame_sets[:-1])
    for view in frame_sets[-1].views[:3]:
        ids = tracker.snapshot(view.capture_time_ns).ids[:2].tolist()
        tracker.observe(view.camera, view.capture_time_ns, view.keypoints, asked=ids)
    restored = accel.Tracker.restore(arena.accel_rig(), tracker.checkpoint())
    budget = next_budget(frame_sets, entries_per_s=1.0)
    assert restored.plan(budget) == tracker.plan(budget)


def test_before_anything_is_known_everything_is_searched(arena: Arena) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    plan = tracker.plan(accel.PlanBudget(0, 5 * 52.0))
    assert sorted(d.camera for d in plan.detect) == [0, 1, 2, 3, 4]
    assert {d.reason for d in plan.detect} == {"due"}
    assert plan.expected_unknown > 1
    assert [plan.asked(c) for c in range(5)] == [None] * 5


def test_when_a_camera_was_searched_follows_from_what_was_observed(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    def first_searched(searched: int) -> int:
        tracker = tracked(arena, frame_sets[:20])
        for frame_set in frame_sets[20:]:
            for view in frame_set.views:
                asked = None if view.camera == searched else [1]
                keypoints = view.keypoints[:0] if asked else view.keypoints
                tracker.observe(view.camera, view.capture_time_ns, keypoints, asked=asked)
        plan = tracker.plan(next_budget(frame_sets, entries_per_s=50.0, inference_ms=4 * 52.0))
        return sum(d.camera == searched for d in plan.detect[:4])

    # One of five was searched just now: the other four come first.
    assert [first_searched(camera) for camera in range(5)] == [0] * 5


def test_nobody_loses_what_nobody_looked_for(arena: Arena, frame_sets: list[FrameSet]) -> None:
    """A track that was not asked about keeps its chance; one that was and is not found loses it."""

    def chance_lost(asked: list[int] | None) -> float:
        tracker = tracked(arena, frame_sets[:20])
        for frame_set in frame_sets[20:26]:
            for view in frame_set.views:
                nothing = view.keypoints[:0]
                tracker.observe(view.camera, view.capture_time_ns, nothing, asked=asked)
        plan = tracker.plan(next_budget(frame_sets[:26]))
        return plan.expected_unknown

    everybody = tracked(arena, frame_sets[:20]).snapshot(frame_sets[19].time_ns).ids.tolist()
    assert chance_lost([]) == pytest.approx(0.0)
    assert chance_lost(everybody[:1]) > 0.2
    assert chance_lost(everybody) > chance_lost(everybody[:1])
    assert chance_lost(everybody) == pytest.approx(chance_lost(None))


def test_views_count_as_long_as_they_are_the_newest_that_were_asked(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    tracker = tracked(arena, frame_sets[:-1])
    before = tracker.snapshot(frame_sets[-2].time_ns)
    first, second = before.ids[:2].tolist()
    for view in frame_sets[-1].views:
        tracker.observe(view.camera, view.capture_time_ns, view.keypoints[:0], asked=[second])
    after = tracker.snapshot(frame_sets[-1].time_ns)
    views = {int(i): v.max() for i, v in zip(after.ids, after.views, strict=True)}
    assert views[first] == before.views[0].max() > 0
    assert views[second] == 0


def test_somebody_whom_one_camera_saw_is_posed_in_the_others(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    view = next(v for v in frame_sets[0].views if v.camera == 0)
    tracker.observe(0, view.capture_time_ns, view.keypoints[:1])
    plan = tracker.plan(accel.PlanBudget(view.capture_time_ns + INTERVAL_NS, 28.0))
    assert [pose.reason for pose in plan.pose] == ["unmatched"] * len(plan.pose)
    assert len(plan.pose) >= 3
    truth = arena.truth(view.capture_time_ns)[view.person[0]]
    uv, _ = arena.rig.project(truth[None])
    for pose in plan.pose:
        x0, y0, x1, y1 = pose.box_px
        centre = uv[pose.camera].mean(axis=0)
        assert x0 < centre[0] < x1
        assert y0 < centre[1] < y1
        assert plan.asked(pose.camera) == []


def test_cameras_may_be_named_and_left_out(arena: Arena, frame_sets: list[FrameSet]) -> None:
    tracker = tracked(arena, frame_sets)
    names = arena.rig.names
    budget = next_budget(frame_sets, cameras=[names[3], 1], inference_ms=1000.0)
    plan = tracker.plan(budget)
    assert {pose.camera for pose in plan.pose} == {1, 3}
    per_camera = dataclasses.replace(budget, detect_ms=[1.0] * 5)
    assert tracker.plan(per_camera).cost_ms <= 1000.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inference_ms": -1.0}, "inference_ms"),
        ({"inference_ms": float("nan")}, "inference_ms"),
        ({"pose_ms": 0.0}, "pose_ms"),
        ({"detect_ms": [1.0, 2.0]}, "5 cameras"),
        ({"detect_ms": [1.0] * 4 + [-1.0]}, "detect_ms"),
        ({"cameras": [5]}, "camera 5"),
        ({"cameras": ["nobody"]}, "nobody"),
        ({"recall": ()}, "recall"),
        ({"recall": ((40.0, 0.5), (40.0, 0.6))}, "recall"),
        ({"recall": ((40.0, 1.5),)}, "recall"),
        ({"time_ns": 2**63}, "time_ns"),
        ({"time_ns": 1.5}, "time_ns"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(
    arena: Arena, frame_sets: list[FrameSet], change: dict[str, Any], words: str
) -> None:
    tracker = tracked(arena, frame_sets[:2])
    with pytest.raises(accel.TipoffError, match=words):
        tracker.plan(next_budget(frame_sets, **change))


@pytest.mark.parametrize("asked", [["a"], 5, [2**63], range(2000)])
def test_identities_that_cannot_be_are_refused(arena: Arena, asked: Any) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    with pytest.raises(accel.InvalidInputError, match="asked"):
        tracker.observe(0, 0, np.zeros((0, 17, 3), np.float32), asked=asked)
