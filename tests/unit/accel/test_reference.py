"""The core and its oracle in plain array code say the same, and refuse the same."""

from __future__ import annotations

from dataclasses import dataclass

import array_api_strict
import numpy as np
import pytest
from numpy.typing import NDArray

from accel import reference, triangulate
from accel.reference.cameras import namespace_of
from tests.support.rigs import CameraStack, random_cameras, ring_rig

Array = NDArray[np.float64]
SCENES_PER_SIZE = 770
"""Times 13 sizes of rig: 10,010 scenes."""


@dataclass(frozen=True)
class Scenes:
    """N random scenes: a rig, a point and what was seen of it each."""

    cameras: CameraStack
    points: Array
    uv: Array
    confidence: Array


def random_scenes(seed: int, scenes: int, count: int) -> Scenes:
    """Scenes with noise, outliers (up to all views), missing views (up to all) and weights."""
    rng = np.random.default_rng(seed)
    cameras = random_cameras(rng, scenes, count)
    points = rng.uniform(-4, 4, (scenes, 3))
    uv = reference.project(cameras, points)
    uv += rng.normal(0, 1, uv.shape) * rng.choice([0, 0.5, 2, 6], (scenes, 1, 1))
    wrong = rng.random((scenes, count)) < rng.choice([0, 0, 0.1, 0.4, 1], (scenes, 1))
    uv += np.where(wrong[..., None], rng.normal(0, 150, uv.shape), 0)
    missing = rng.random((scenes, count)) < rng.choice([0, 0.2, 0.7], (scenes, 1))
    uv[missing] = np.nan
    confidence = rng.uniform(0.05, 1, (scenes, count))
    confidence[rng.random((scenes, count)) < 0.1] = 0.0
    return Scenes(cameras, points, uv, confidence)


@pytest.mark.parametrize("count", range(2, 15))
def test_the_core_agrees_with_the_oracle(count: int) -> None:
    scenes = random_scenes(count, SCENES_PER_SIZE, count)
    expected_uv = reference.project(scenes.cameras, scenes.points)
    expected = reference.triangulate(scenes.cameras, scenes.uv, scenes.confidence)
    found_points = np.isfinite(expected.points_m[:, 0])

    assert 0.25 < found_points.mean() < 0.95  # Both kinds of scene are there.
    for i in range(SCENES_PER_SIZE):
        rig = scenes.cameras.rig(i)
        uv = rig.project(scenes.points[i])
        assert np.array_equal(np.isnan(uv), np.isnan(expected_uv[i]))
        assert np.nanmax(np.abs(uv - expected_uv[i]), initial=0) < 1e-6
        found = triangulate(rig, scenes.uv[i], scenes.confidence[i])
        assert np.array_equal(found.inliers, expected.inliers[i])
        assert np.isnan(found.points_m).any() != found_points[i]
        if found_points[i]:
            assert expected.condition[i] <= 1e6
            assert np.abs(found.points_m - expected.points_m[i]).max() < 1e-6
            close = found.inliers
            assert np.abs(found.residual_px - expected.residual_px[i])[close].max() < 1e-6
            assert np.allclose(found.covariance_m2, expected.covariance_m2[i], rtol=1e-5)
        residuals = np.isnan(found.residual_px), np.isnan(expected.residual_px[i])
        assert np.array_equal(*residuals)


def test_good_scenes_are_solved() -> None:
    """What is refused is refused for a reason: four good views and no bad one always suffice."""
    rng = np.random.default_rng(99)
    cameras = random_cameras(rng, 2000, 4)
    points = rng.uniform(-2, 2, (2000, 3))
    exact = reference.project(cameras, points)
    solution = reference.triangulate(cameras, exact + rng.normal(0, 1, exact.shape))
    seen = np.isfinite(exact).all(axis=(1, 2))
    inside = seen & (np.abs(exact - [960, 540]) < [1500, 1000]).all(axis=(1, 2))

    assert inside.sum() > 1000
    assert np.isfinite(solution.points_m[inside]).all()
    off = np.linalg.norm(solution.points_m - points, axis=-1)[inside]
    std = np.sqrt(np.trace(solution.covariance_m2, axis1=-2, axis2=-1))[inside]
    assert np.median(off) < 0.02
    assert (off < 3 * std).all()


@pytest.mark.parametrize("count", [18, 24])
def test_they_agree_where_not_every_view_may_propose(count: int) -> None:
    scenes = random_scenes(1000 + count, 40, count)
    tied = np.round(scenes.confidence, 1)  # Equal confidences: the earlier camera proposes.
    expected = reference.triangulate(scenes.cameras, scenes.uv, tied)
    for i in range(40):
        found = triangulate(scenes.cameras.rig(i), scenes.uv[i], tied[i])
        assert np.array_equal(found.inliers, expected.inliers[i])
        assert np.allclose(found.points_m, expected.points_m[i], atol=1e-6, equal_nan=True)


def test_undistortion_agrees() -> None:
    rng = np.random.default_rng(8)
    cameras = random_cameras(rng, 300, 3)
    uv = rng.uniform([-500, -500], [2500, 1600], (300, 40, 2))
    for i in range(300):
        rig = cameras.rig(i)
        for c in range(3):
            found, expected = rig.undistort(uv[i], c), reference.undistort(rig, uv[i], c)
            assert np.array_equal(np.isnan(found), np.isnan(expected))
            assert np.nanmax(np.abs(found - expected), initial=0) < 1e-9


def test_the_oracle_takes_a_rig_and_leading_axes() -> None:
    rig = ring_rig(5)
    points = np.random.default_rng(9).uniform(-3, 3, (2, 4, 3))
    uv = reference.project(rig, points)
    solution = reference.triangulate(rig, uv)

    assert np.array_equal(uv, rig.project(points))
    assert solution.points_m.shape == (2, 4, 3)
    assert np.abs(solution.points_m - points).max() < 1e-9
    assert solution.inliers.all()


def test_the_oracle_runs_on_nothing_but_the_array_api() -> None:
    scenes = random_scenes(7, 60, 6)
    uv, weights = (array_api_strict.asarray(a) for a in (scenes.uv, scenes.confidence))
    strict = reference.triangulate(scenes.cameras, uv, weights)
    plain = reference.triangulate(scenes.cameras, scenes.uv, scenes.confidence)

    assert isinstance(strict.points_m, type(uv))
    for field in ("points_m", "covariance_m2", "residual_px", "inliers", "condition"):
        a, b = np.asarray(getattr(strict, field)), getattr(plain, field)
        assert np.allclose(a, b, rtol=1e-12, atol=1e-12, equal_nan=True)
    rig = ring_rig(3)
    pixel = array_api_strict.asarray(np.array([100.0, 200.0]))
    assert np.allclose(np.asarray(reference.undistort(rig, pixel, 1)), rig.undistort([100, 200], 1))
    point = array_api_strict.asarray(np.array([0.5, 1.0, 1.5]))
    assert np.allclose(np.asarray(reference.project(rig, point)), rig.project([0.5, 1.0, 1.5]))


def test_a_library_whose_arrays_do_not_name_it_is_found() -> None:
    """As CuPy's are; what the standard's functions do there only a GPU can tell."""

    class Silent:
        dtype = np.float64

    Silent.__module__ = "array_api_strict.somewhere"
    assert namespace_of(Silent()) is array_api_strict
    assert namespace_of(np.zeros(1)) is np


def test_the_oracle_takes_lists_and_single_precision() -> None:
    rig = ring_rig(3)
    uv = rig.project([0.5, 1.0, 1.5]).astype(np.float32)
    solution = reference.triangulate(rig, uv, [1, 1, 0.5])

    assert np.array_equal(reference.project(rig, [0.5, 1, 1.5]), rig.project([0.5, 1.0, 1.5]))
    assert solution.points_m.dtype == np.float64
    assert np.abs(solution.points_m - triangulate(rig, uv, [1, 1, 0.5]).points_m).max() < 1e-9


def test_parallel_rays_and_points_behind_are_refused_by_both() -> None:
    rig = ring_rig(4)
    directions = np.random.default_rng(10).normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for far in (1e5, 1e7, 1e9, -5.0):
        uv = rig.project(far * directions)
        found, expected = triangulate(rig, uv), reference.triangulate(rig, uv)
        assert np.array_equal(np.isnan(found.points_m), np.isnan(expected.points_m))
        assert np.array_equal(found.inliers, expected.inliers)
        if far >= 1e7:
            assert np.isnan(found.points_m).all()
