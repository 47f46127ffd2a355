"""suite=game: what it records, and that the bulk engine beats the live tracker on it."""

from __future__ import annotations

import numpy as np
import pytest

import accel
from accel.reference import ResolveOptions
from bench.sim import Arena, preset
from bench.suites.core import evaluate as track
from bench.suites.game import EDGE_FRAMES, GAME_JOINTS, evaluate, record


@pytest.fixture(scope="module")
def arena() -> Arena:
    return Arena(preset("async", cameras=4, people=2, frames=130))


def test_a_recording_holds_every_true_detection_and_no_invention(arena: Arena) -> None:
    recording = record(arena, 20)
    assert recording.keypoints.shape == (20, 4, 2, 17, 3)
    held = 0
    for frame_set in arena.frame_sets(0, 20):
        for view in frame_set.views:
            assert recording.capture_time_ns[frame_set.index, view.camera] == view.capture_time_ns
            for person, keypoints in zip(view.person, view.keypoints, strict=True):
                if person >= 0:
                    found = recording.keypoints[frame_set.index, view.camera, person]
                    np.testing.assert_array_equal(found, keypoints)
                    held += 1
    assert (recording.keypoints[..., 2] > 0).any(axis=-1).sum() == held
    assert (recording.time_ns >= recording.capture_time_ns.min(axis=1)).all()


def test_it_is_more_accurate_than_the_live_tracker_and_says_how_sure_it_is(arena: Arena) -> None:
    recording = record(arena)
    options = ResolveOptions(learn_s=4.0)
    found = evaluate(arena, recording, options)
    live = track(accel.Tracker, arena).metrics
    assert found.metrics.frames == 130 - 2 * EDGE_FRAMES
    assert found.metrics.mpjpe_mm < 0.6 * live.mpjpe_mm
    assert 0.85 < found.metrics.coverage < 0.995
    assert found.metrics.definite == 1.0
    assert found.metrics.joints_given > 0.99
    assert found.joints == 130 * 2 * 17
    assert found.solved_s > 0
    assert np.isnan(found.peak_mib)


def test_a_game_is_38_million_joints() -> None:
    assert GAME_JOINTS == 38_188_800
