"""The simulated arena: bodies that obey mechanics, cameras that see what is there, and seeds."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from bench.arrays import Floats
from bench.sim import PRESETS, Arena, ArenaOptions, preset
from bench.sim.body import LIMBS
from bench.sim.observe import FLIPPED
from bench.sim.posture import GRAVITY_MPS2

FINE_HZ = 240


@pytest.fixture(scope="module")
def arena() -> Arena:
    return Arena(preset("standard", frames=1200, seed=4))


@pytest.fixture(scope="module")
def motion(arena: Arena) -> Floats:
    """Twenty seconds of everybody at 240 Hz: (T, P, 17, 3)."""
    times = np.arange(20 * FINE_HZ) * (1_000_000_000 // FINE_HZ) + arena.options.start_ns
    return arena.truths(times.astype(np.int64))


def test_limbs_never_change_their_length(motion: Floats) -> None:
    for a, b in LIMBS:
        length = np.linalg.norm(motion[:, :, a] - motion[:, :, b], axis=-1)
        assert np.ptp(length, axis=0).max() < 1e-9
        assert length.min() > 0.15
        assert length.max() < 0.65


def test_people_move_as_players_do(motion: Floats) -> None:
    velocity = np.diff(motion, axis=0) * FINE_HZ
    speed = np.linalg.norm(velocity, axis=-1)
    hips, wrists = speed[:, :, 11], speed[:, :, 9:11]
    assert 1.0 < np.median(hips) < 3.0
    assert 5.0 < np.percentile(hips, 99) < 9.0
    assert 8.0 < np.percentile(wrists, 99.9) < 16.0
    assert speed.max() < 25.0
    acceleration = np.linalg.norm(np.diff(velocity, axis=0), axis=-1) * FINE_HZ
    assert np.percentile(acceleration[:, :, 11], 99) < 60.0


def test_everybody_stays_on_the_court_and_stands_on_the_floor(motion: Floats) -> None:
    hips = motion[:, :, 11:13].mean(axis=2)
    assert np.abs(hips[..., 0]).max() < 28.65 / 2 + 1
    assert np.abs(hips[..., 1]).max() < 15.24 / 2 + 1
    lower = motion[:, :, 15:17, 2].min(axis=2)
    assert lower.min() > -0.15
    assert np.median(lower) < 0.2
    assert 1.4 < np.median(motion[:, :, 0, 2]) < 1.9


def test_people_crowd_and_touch(motion: Floats) -> None:
    hips = motion[:, :, 11:13, :2].mean(axis=2)
    gap = np.linalg.norm(hips[:, :, None] - hips[:, None], axis=-1) + 99 * np.eye(hips.shape[1])
    nearest = gap.min(axis=2)
    assert np.percentile(nearest, 1) < 0.5
    assert np.percentile(nearest, 1) > 0.2


def test_jumps_fall_under_gravity(arena: Arena) -> None:
    times = np.arange(20 * FINE_HZ) / FINE_HZ
    height = arena.crowd.posture.jump(times)
    falling = np.diff(height, 2, axis=0) * FINE_HZ**2
    airborne = (height[:-2] > 0.02) & (height[2:] > 0.02)
    assert airborne.any()
    assert np.abs(falling[airborne] + GRAVITY_MPS2).max() < 1e-6
    assert 0.15 < height.max() < 0.6


def test_a_faster_tempo_is_the_same_play_in_less_time() -> None:
    options = preset("standard", frames=60)
    slow, fast = Arena(options), Arena(replace(options, tempo=2.0))
    at = options.start_ns
    np.testing.assert_allclose(slow.truth(at + 400_000_000), fast.truth(at + 200_000_000))


def test_truth_is_smooth_between_frames(arena: Arena) -> None:
    at = arena.options.start_ns + 3_000_000_000
    before, middle, after = (arena.truth(at + d) for d in (-1_000_000, 0, 1_000_000))
    assert np.abs((before + after) / 2 - middle).max() < 2e-4


def test_the_projection_is_opencvs(arena: Arena) -> None:
    joints = arena.truth(arena.options.start_ns + 5_000_000_000).reshape(-1, 3)
    uv, depth = arena.rig.project(joints[None])
    for c in range(len(arena.rig.names)):
        turn, _ = cv2.Rodrigues(arena.rig.R[c])
        expected, _ = cv2.projectPoints(
            joints, turn, arena.rig.t[c], arena.rig.K[c], arena.rig.dist[c]
        )
        np.testing.assert_allclose(uv[c], expected[:, 0], atol=1e-6)
        np.testing.assert_allclose(depth[c], (joints @ arena.rig.R[c].T + arena.rig.t[c])[:, 2])


def test_nearly_everybody_is_inside_nearly_every_image(arena: Arena) -> None:
    uv, _ = arena.images(np.arange(0, 1200, 40))
    inside = ((uv >= 0) & (uv < arena.rig.size[:, None, None])).all(axis=-1)
    assert inside.mean() > 0.95
    assert inside.any(axis=-1).sum(axis=1).min() >= 3


def test_clean_detections_are_the_true_images_with_the_stated_noise() -> None:
    arena = Arena(preset("clean", frames=64, seed=2))
    frames = np.arange(64)
    truth, _ = arena.images(frames)
    errors = []
    for frame_set in arena.frame_sets():
        for view in frame_set.views:
            given = view.keypoints[..., 2] > 0
            true = truth[frame_set.index, view.camera, view.person]
            errors.append((view.keypoints[..., :2] - true)[given])
    error = np.concatenate(errors)
    seen = np.abs(error).max(axis=1) < 8  # the noisier ones are hidden
    assert seen.mean() > 0.97
    assert np.sqrt((error[seen] ** 2).mean()) == pytest.approx(2.0, rel=0.1)


def test_misses_and_inventions_come_at_their_rates() -> None:
    options = preset("standard", frames=96, seed=3)
    wanted = replace(options.observation, drop=0.0, person_miss=0.1, false_rate=0.7)
    arena = Arena(replace(options, observation=wanted))
    uv, _ = arena.images(np.arange(96))
    visible = ((uv >= 0) & (uv < arena.rig.size[:, None, None])).all(axis=-1).sum(axis=-1) >= 10
    views = [view for frame_set in arena.frame_sets() for view in frame_set.views]
    real = sum((view.person >= 0).sum() for view in views)
    assert real / visible.sum() == pytest.approx(0.9, abs=0.03)
    given = np.concatenate([v.keypoints[v.person >= 0][..., 2].ravel() > 0 for v in views])
    assert given.mean() == pytest.approx(0.95, abs=0.02)
    invented = sum((view.person < 0).sum() for view in views)
    assert 0.35 < invented / len(views) < 0.75


def test_flips_exchange_left_and_right_of_a_whole_detection() -> None:
    options = preset("clean", frames=32, seed=5)
    always = replace(options.observation, flip=1.0, sigma_px=0.01)
    arena = Arena(replace(options, observation=always))
    truth, _ = arena.images(np.arange(32))
    gaps = []
    for frame_set in arena.frame_sets():
        for view in frame_set.views:
            expected = truth[frame_set.index, view.camera, view.person][:, FLIPPED]
            given = view.keypoints[..., 2] > 0
            gaps.append(np.abs(view.keypoints[..., :2] - expected)[given].ravel())
    assert np.percentile(np.concatenate(gaps), 99) < 0.2


def test_confidence_says_which_joints_are_noisier() -> None:
    options = preset("clean", frames=64, seed=6)
    spread = replace(options.observation, confidence_spread=0.5)
    arena = Arena(replace(options, observation=spread))
    truth, _ = arena.images(np.arange(64))
    confidence, error = [], []
    for frame_set in arena.frame_sets():
        for view in frame_set.views:
            given = view.keypoints[..., 2] > 0
            gap = view.keypoints[..., :2] - truth[frame_set.index, view.camera, view.person]
            confidence.append(view.keypoints[..., 2][given])
            error.append(np.linalg.norm(gap, axis=-1)[given])
    sure, gap = np.concatenate(confidence), np.concatenate(error)
    low, high = np.percentile(sure, [20, 80])
    assert np.sqrt((gap[sure < low] ** 2).mean()) > 2 * np.sqrt((gap[sure > high] ** 2).mean())


def test_an_asynchronous_rig_captures_each_row_at_its_own_time() -> None:
    options = preset("async", frames=40, seed=7)
    arena = Arena(options)
    frames = np.array([30])
    uv, _ = arena.images(frames)
    times = arena.capture_times_ns(frames)[0]
    assert 5e6 < np.ptp(times) < 16.6e6
    for camera in range(4):
        for person in range(options.people):
            u, v = uv[0, camera, person, 9]
            if not 0 <= v < 1080:
                continue
            taken = int(times[camera] + 8e6 * v / 1080)
            there = arena.truth(taken)[person, 9][None]
            np.testing.assert_allclose(
                arena.rig.project(there[None])[0][camera, 0], [u, v], atol=0.05
            )


def test_equal_seeds_give_equal_frames_from_wherever_they_start() -> None:
    options = preset("standard", frames=80, seed=8)
    whole = list(Arena(options).frame_sets())
    part = list(Arena(options).frame_sets(40, 70))
    assert [f.index for f in part] == list(range(40, 70))
    for a, b in zip(whole[40:70], part, strict=True):
        for x, y in zip(a.views, b.views, strict=True):
            assert (x.camera, x.capture_time_ns) == (y.camera, y.capture_time_ns)
            np.testing.assert_array_equal(x.keypoints, y.keypoints)
            np.testing.assert_array_equal(x.person, y.person)
    other = next(Arena(replace(options, seed=9)).frame_sets())
    assert not np.array_equal(other.views[0].keypoints, whole[0].views[0].keypoints)


def test_times_are_exact_to_the_nanosecond_late_in_a_long_game() -> None:
    arena = Arena(ArenaOptions(frames=2, fps=60.0))
    times = arena.capture_times_ns(np.array([0, 60, 6_000_000]))[:, 0] - arena.options.start_ns
    assert times.tolist() == [0, 1_000_000_000, 100_000_000_000_000]


@pytest.mark.parametrize(("cameras", "people"), [(2, 1), (4, 2), (14, 26)])
def test_any_size_of_rig_and_crowd_can_be_made(cameras: int, people: int) -> None:
    arena = Arena(preset("hard", cameras=cameras, people=people, frames=3))
    frame_sets = list(arena.frame_sets())
    assert len(frame_sets) == 3
    assert all(len(f.views) == cameras for f in frame_sets)
    assert arena.truth(frame_sets[-1].time_ns).shape == (people, 17, 3)
    for view in frame_sets[-1].views:
        assert view.keypoints.dtype == np.float32
        assert np.isfinite(view.keypoints).all()
        assert len(view.person) == len(view.keypoints)


def test_errors_of_hidden_joints_last_where_the_preset_says_so() -> None:
    assert PRESETS["persistent"].observation.hold_ms > 0
    options = preset("clean", frames=30, seed=11)
    lasting = replace(options.observation, snap=0.5, hold_ms=500.0, sigma_px=0.01)
    arena = Arena(replace(options, observation=lasting))
    truth, _ = arena.images(np.arange(30))
    off = np.zeros((30, *truth.shape[1:4]), dtype=bool)
    for frame_set in arena.frame_sets():
        for view in frame_set.views:
            gap = view.keypoints[..., :2] - truth[frame_set.index, view.camera, view.person]
            off[frame_set.index, view.camera, view.person] = np.linalg.norm(gap, axis=-1) > 3
    stays = (off[1:30] & off[:29]).sum() / off[:29].sum()
    assert stays > 0.7
