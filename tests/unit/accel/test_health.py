"""The health of a rig through the whole tracker: who is accused, of what, and what follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import accel
from accel.health import read_health
from bench.sim import Arena, FrameSet, preset
from bench.sim.faults import Fault, befallen

PLAY = 900
"""Frame-sets before the fault."""


def tracked(frame_sets: Iterator[FrameSet], arena: Arena) -> accel.Tracker:
    tracker = accel.Tracker(arena.accel_rig())
    for frame_set in frame_sets:
        for view in frame_set.views:
            tracker.observe(view.camera, view.capture_time_ns, view.keypoints)
        tracker.snapshot(frame_set.time_ns)
    return tracker


def arena_of(frames: int) -> Arena:
    return Arena(preset("standard", cameras=6, people=8, frames=frames))


def test_a_new_tracker_is_learning_and_says_so() -> None:
    arena = arena_of(60)
    health = accel.Tracker(arena.accel_rig()).health()
    assert [camera.camera for camera in health.cameras] == list(arena.rig.names)
    assert {camera.verdict for camera in health.cameras} == {accel.Verdict.LEARNING}
    assert health.accused == ()
    assert all(np.isnan(camera.explained) for camera in health.cameras)


def test_a_healthy_rig_is_good_and_its_detections_explained() -> None:
    arena = arena_of(PLAY)
    health = tracked(arena.frame_sets(), arena).health()
    assert {camera.verdict for camera in health.cameras} == {accel.Verdict.GOOD}
    assert health.words == "all cameras agree with one another"
    for camera in health.cameras:
        assert camera.explained > 0.9
        assert camera.noise_scale == 1.0
        assert camera.since_ns is None
        assert np.hypot(*camera.bias_px) < 1.0


@pytest.mark.parametrize(
    ("fault", "frames", "verdict"),
    [
        (Fault(2, turn_deg=(0.0, 0.2, 0.0)), 180, accel.Verdict.TURNED),
        (Fault(2, zoom=0.01), 240, accel.Verdict.ZOOMED),
        (Fault(2, late_frames=1), 90, accel.Verdict.LATE),
        (Fault(2, shows=4), 60, accel.Verdict.SWAPPED),
    ],
)
def test_a_fault_is_named_and_its_camera_counts_less(
    fault: Fault, frames: int, verdict: accel.Verdict
) -> None:
    arena = arena_of(PLAY + frames)
    health = tracked(befallen(arena, fault, PLAY), arena).health()
    assert [camera.camera for camera in health.accused] == ["cam2"]
    found = health["cam2"]
    assert found.verdict == verdict
    assert found.noise_scale >= 2.0
    assert found.since_ns is not None
    assert found.words in health.words
    if verdict == accel.Verdict.TURNED:
        assert found.turn_deg.value[1] == pytest.approx(0.2, abs=0.02)
        assert found.words.startswith("camera cam2 has turned about 0.2 degrees: ")
        assert found.words.endswith(" mm at the far baseline")
    if verdict == accel.Verdict.ZOOMED:
        assert found.zoom.value[0] == pytest.approx(0.01, abs=0.002)
    if verdict == accel.Verdict.LATE:
        assert found.late_s.value[0] == pytest.approx(1 / 60, abs=0.004)
    if verdict == accel.Verdict.SWAPPED:
        assert found.partner == "cam4"
        assert found.explained < 0.5


def test_a_camera_that_is_put_right_is_acquitted() -> None:
    arena = arena_of(PLAY + 360)
    fault = Fault(2, turn_deg=(0.2, 0.0, 0.0))
    health = tracked(befallen(arena, fault, PLAY, PLAY + 180), arena).health()
    assert health.accused == ()
    assert health["cam2"].noise_scale == 1.0


def test_health_is_asked_without_changing_anything() -> None:
    arena = arena_of(120)
    asked, silent = (accel.Tracker(arena.accel_rig()) for _ in range(2))
    for frame_set in arena.frame_sets():
        for view in frame_set.views:
            for tracker in (asked, silent):
                tracker.observe(view.camera, view.capture_time_ns, view.keypoints)
            asked.health()
    time_ns = arena.options.start_ns + 119 * 16_666_667
    np.testing.assert_array_equal(
        asked.snapshot(time_ns).joints_m, silent.snapshot(time_ns).joints_m
    )
    assert asked.health() == silent.health() or any(
        np.isnan(camera.displaced_m) for camera in asked.health().cameras
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (0, "camera b has not been seen enough of to be judged"),
        (3, "camera b has zoomed out about 1 %: 14 mm where people are"),
        (4, "camera b has moved about 5 mm: 14 mm where people are"),
        (5, "camera b is about 17 ms early"),
        (6, "camera b shows the pictures of camera a"),
        (7, "camera b sees people where nobody is: 12 % of its detections fit anybody"),
        (8, "camera b sees nobody where people are"),
        (9, "camera b or camera a has changed; too few others look there to tell"),
    ],
)
def test_every_verdict_has_its_sentence(verdict: int, words: str) -> None:
    effect = [0.0, 0.0, 0.0, -0.01, 0.003, 0.004, 0.0, -0.0167]
    report = (verdict, 0, (0.0, 0.0), (0.0, 0.0), 0.12, effect, [0.0] * 8, 1.0, 0.014, False, 5)
    assert read_health([report], ["b"] if verdict < 6 else ["a"]).cameras[0].words == words.replace(
        "camera b ", "camera b " if verdict < 6 else "camera a ", 1
    )


@pytest.mark.parametrize("away_s", [1.0, 1.9, 2.1, 2.35, 3.1, 6.1])
@pytest.mark.parametrize("lost", [6, 4])
def test_a_blackout_is_no_cameras_fault(away_s: float, lost: int) -> None:
    """Everybody is somewhere else by then, and the cameras are where they were."""
    rate_hz, before_s, after_s = 30, 8, 4
    frames = round((before_s + away_s + after_s) * rate_hz)
    plan = preset("standard", cameras=6, people=10, frames=frames, seed=round(100 * away_s))
    arena = Arena(replace(plan, fps=float(rate_hz)))
    tracker = accel.Tracker(arena.accel_rig())
    accused = set()
    for frame_set in arena.frame_sets():
        away = before_s <= frame_set.index / rate_hz < before_s + away_s
        for view in frame_set.views:
            if not (away and view.camera < lost):
                tracker.observe(view.camera, view.capture_time_ns, view.keypoints)
        if not (away and lost == len(arena.rig.names)):
            tracker.snapshot(frame_set.time_ns)
        accused |= {camera.camera for camera in tracker.health().accused}
    assert not accused
