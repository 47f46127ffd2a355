"""Smoothed answers, checkpoints and instruction sets, as a user of `accel` meets them."""

from __future__ import annotations

import numpy as np
import pytest

import accel
from accel import _core
from bench.sim import Arena, FrameSet, preset
from tests.support.tracking import assert_same, feed

FRAMES = 60


@pytest.fixture(scope="module")
def arena() -> Arena:
    return Arena(preset("async", cameras=5, people=4, frames=FRAMES, seed=5))


@pytest.fixture(scope="module")
def frame_sets(arena: Arena) -> list[FrameSet]:
    return list(arena.frame_sets())


def mean_error_m(arena: Arena, snapshot: accel.Snapshot) -> float:
    gap = np.linalg.norm(snapshot.joints_m[:, None] - arena.truth(snapshot.time_ns)[None], axis=-1)
    return float(gap.mean(axis=-1).min(axis=1).mean())


def test_a_smoothed_snapshot_is_better_and_comes_when_it_can(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    live, smoothed = [], []
    for frame_set in frame_sets:
        feed(tracker, [frame_set])
        now = frame_set.time_ns
        if frame_set.index < 20:
            continue
        live.append(mean_error_m(arena, tracker.snapshot(now)))
        with pytest.raises(accel.NotYetError, match="lag_ms = 100"):
            tracker.snapshot(now - 99_999_999, smoothed=True)
        smoothed.append(mean_error_m(arena, tracker.snapshot(now - 100_000_000, smoothed=True)))
    assert np.mean(smoothed) < 0.8 * np.mean(live)
    with pytest.raises(accel.TimeOutOfRangeError, match="lag_ms"):
        tracker.snapshot(frame_sets[0].time_ns, smoothed=True)


def test_a_late_frame_changes_no_bit_of_a_smoothed_snapshot(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    punctual, late = accel.Tracker(arena.accel_rig()), accel.Tracker(arena.accel_rig())
    feed(punctual, frame_sets)
    views = [view for frame_set in frame_sets for view in frame_set.views]
    order = sorted(range(len(views)), key=lambda i: i + (17 if i % 5 == 3 else 0))
    for n, i in enumerate(order):
        late.observe(views[i].camera, views[i].capture_time_ns, views[i].keypoints)
        if n % 7 == 0:
            late.snapshot(views[i].capture_time_ns)
    now = frame_sets[-1].time_ns
    for back in (100_000_000, 123_456_789):
        assert_same(
            punctual.snapshot(now - back, smoothed=True), late.snapshot(now - back, smoothed=True)
        )
    assert_same(punctual.snapshot(now), late.snapshot(now))


def test_a_checkpoint_continues_to_the_same_bits_on_any_instruction_set(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    rig = arena.accel_rig()
    whole = accel.Tracker(rig)
    feed(whole, frame_sets[:30])
    restored = accel.Tracker.restore(rig, whole.checkpoint())
    assert restored.options == whole.options
    assert restored.isa == whole.isa
    others = [accel.Tracker(rig, accel.TrackerOptions(isa=isa)) for isa in _core.instruction_sets()]
    for other in others:
        feed(other, frame_sets[:30])
    for frame_set in frame_sets[30:]:
        for tracker in (whole, restored, *others):
            feed(tracker, [frame_set])
        expected = whole.snapshot(frame_set.time_ns)
        for tracker in (restored, *others):
            assert_same(tracker.snapshot(frame_set.time_ns), expected)
    assert restored.checkpoint() == whole.checkpoint()


def test_questions_between_late_frames_change_no_byte_of_a_checkpoint(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    """A node asks what a frame should show before it observes it; no journal holds questions."""
    quiet, asked = accel.Tracker(arena.accel_rig()), accel.Tracker(arena.accel_rig())
    views = [view for frame_set in frame_sets for view in frame_set.views]
    for i in sorted(range(len(views)), key=lambda i: i + (17 if i % 5 == 3 else 0)):
        for tracker in (quiet, asked):
            tracker.observe(views[i].camera, views[i].capture_time_ns, views[i].keypoints)
        asked.predict(views[i].camera, views[i].capture_time_ns)
    assert asked.stats["replayed"] > quiet.stats["replayed"]
    assert asked.checkpoint() == quiet.checkpoint()


def test_a_checkpoint_that_cannot_be_continued_is_refused_with_the_reason(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    rig = arena.accel_rig()
    tracker = accel.Tracker(rig)
    feed(tracker, frame_sets[:5])
    good = tracker.checkpoint()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    with pytest.raises(accel.CheckpointError, match="checksum"):
        accel.Tracker.restore(rig, bytes(bad))
    with pytest.raises(accel.CheckpointError, match="no checkpoint"):
        accel.Tracker.restore(rig, b"no such thing as this")
    other = Arena(preset("standard", cameras=4, people=4, frames=1, seed=6)).accel_rig()
    with pytest.raises(accel.CheckpointError, match="another rig"):
        accel.Tracker.restore(other, good)


def test_an_instruction_set_that_is_not_here_is_refused_by_name() -> None:
    with pytest.raises(accel.InvalidInputError, match="baseline"):
        accel.TrackerOptions(isa="mmx")
