"""Triangulation: exact where it can be, robust where it must be, silent where it knows nothing."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import least_squares

from accel import InvalidInputError, Rig, Triangulation, triangulate
from tests.support.rigs import looking_at, ring_rig

Array = NDArray[np.float64]
GATE_SIGMAS = 3.717


def assert_nothing(found: Triangulation) -> None:
    """No point, no covariance, no residual, no inlier."""
    assert np.isnan(found.points_m).all()
    assert np.isnan(found.covariance_m2).all()
    assert np.isnan(found.residual_px).all()
    assert not found.inliers.any()


def pair(centers: list[list[float]], targets: list[list[float]]) -> Rig:
    """Cameras without distortion at these places."""
    R, t = looking_at(np.array(centers), np.array(targets))
    count = len(centers)
    K = np.tile(np.array([[1000.0, 0, 500], [0, 1000.0, 500], [0, 0, 1]]), (count, 1, 1))
    names = [f"c{i}" for i in range(count)]
    return Rig(names, K, np.zeros((count, 5)), R, t, np.full((count, 2), 1000.0))


def test_exact_pixels_give_exact_points() -> None:
    rig = ring_rig(6)
    points = np.random.default_rng(0).uniform([-10, -6, 0], [10, 6, 2], (500, 3))
    found = triangulate(rig, rig.project(points))

    assert np.abs(found.points_m - points).max() < 1e-9
    assert found.residual_px.max() < 1e-7
    assert found.inliers.all()


def test_covariance_is_what_noise_does() -> None:
    rig = ring_rig(5)
    rng = np.random.default_rng(1)
    point = np.array([3.0, -2.0, 1.0])
    confidence = np.array([1.0, 0.5, 0.25, 1.0, 0.8])
    noise = rng.normal(0, 1.5, (20000, 5, 2)) / np.sqrt(confidence)[:, None]
    # Without the gate, which would cut the tails off: sigma is given larger than it is.
    found = triangulate(rig, rig.project(point) + noise, confidence, sigma_px=6.0)
    said = triangulate(rig, rig.project(point), confidence, sigma_px=1.5).covariance_m2
    measured = np.cov(found.points_m.T)

    assert found.inliers.all()
    assert np.allclose(measured, said, rtol=0.03, atol=2e-6)
    assert np.abs(found.points_m.mean(axis=0) - point).max() < 4e-4


def test_outliers_are_found_and_measured() -> None:
    rig = ring_rig(7)
    rng = np.random.default_rng(2)
    points = rng.uniform([-8, -5, 0], [8, 5, 2], (300, 3))
    uv = rig.project(points) + rng.normal(0, 1, (300, 7, 2))
    wrong = np.zeros((300, 7), dtype=bool)
    for row in range(300):
        wrong[row, rng.choice(7, 3, replace=False)] = True
    uv += np.where(
        wrong[..., None], rng.choice([-1, 1], (300, 7, 2)) * rng.uniform(60, 300, (300, 7, 2)), 0
    )
    found = triangulate(rig, uv)

    right = (found.inliers == ~wrong).all(axis=1)
    assert right.mean() > 0.97  # Three wrong rays may meet by accident.
    assert np.linalg.norm(found.points_m - points, axis=1)[right].max() < 0.15
    assert (found.residual_px[wrong] > 2 * GATE_SIGMAS).mean() > 0.99
    assert np.isfinite(found.residual_px).all()


def test_a_doubtful_view_counts_less_but_is_gated_alike() -> None:
    rig = ring_rig(4)
    point = np.array([1.0, 2.0, 1.0])
    uv = rig.project(point)
    uv[0, 0] += 5.0
    pull = [
        np.linalg.norm(triangulate(rig, uv, [w, 1, 1, 1]).points_m - point)
        for w in (0.01, 0.1, 1.0)
    ]
    assert pull[0] < 0.2 * pull[1] < 0.2 * pull[2]

    uv[0, 0] += 100.0
    assert triangulate(rig, uv, [0.01, 1, 1, 1]).inliers.tolist() == [False, True, True, True]


@pytest.mark.parametrize("missing", [0.0, -1.0, np.nan, np.inf])
def test_missing_by_confidence_is_missing_by_pixel(missing: float) -> None:
    rig = ring_rig(4)
    uv = rig.project([1.0, 2.0, 1.0])
    by_confidence = triangulate(rig, uv, [1.0, missing, 1.0, 1.0])
    uv[1] = [np.inf, np.nan] if np.isinf(missing) else [3.0, np.nan]
    by_pixel = triangulate(rig, uv)

    for field in ("points_m", "covariance_m2", "residual_px", "inliers"):
        a, b = getattr(by_confidence, field), getattr(by_pixel, field)
        assert np.array_equal(a, b, equal_nan=field != "inliers")
    uv[1] = np.inf
    assert np.isnan(triangulate(rig, uv).residual_px[1])
    assert by_pixel.inliers.tolist() == [True, False, True, True]
    assert np.isnan(by_pixel.residual_px).tolist() == [False, True, False, False]


def test_one_view_or_none_is_no_point() -> None:
    rig = ring_rig(3)
    uv = rig.project([0.0, 0.0, 1.0])

    assert_nothing(triangulate(rig, uv, [0, 1, 0]))
    assert_nothing(triangulate(rig, uv, [0, 0, 0]))
    assert_nothing(triangulate(rig, np.full((3, 2), np.nan)))
    assert_nothing(triangulate(ring_rig(1), np.zeros((1, 2))))


@pytest.mark.parametrize("turn", range(8))
def test_parallel_rays_meet_nowhere(turn: int) -> None:
    direction = np.array([np.cos(turn), np.sin(turn), -0.3])
    centers = np.array([[0.0, 0.0, 5.0], [1.0, 3.0, 5.5], [-2.0, 1.0, 4.0]])
    rig = pair(centers.tolist(), (centers + direction).tolist())

    assert_nothing(triangulate(rig, np.full((3, 2), 500.0)))
    assert_nothing(triangulate(rig, np.full((3, 2), 321.0), [1, 0, 1]))


def test_rays_that_meet_behind_the_cameras_are_no_point() -> None:
    rig = pair([[-1, 0, 1], [1, 0, 1]], [[-2, 5, 1], [2, 5, 1]])

    assert_nothing(triangulate(rig, np.full((2, 2), 500.0)))


def test_cameras_in_one_place_give_no_point() -> None:
    rig = pair([[0, 0, 1], [0, 0, 1]], [[0, 5, 1], [1, 5, 1]])

    assert_nothing(triangulate(rig, rig.project([0.3, 6.0, 1.2])))


def test_views_that_all_disagree_are_no_point() -> None:
    rig = pair([[0, 0, 1], [5, 0, 1], [0, 9, 1]], [[2, 4, 1]] * 3)
    rng = np.random.default_rng(3)
    uv = rng.uniform(0, 1000, (500, 3, 2))
    found = triangulate(rig, uv)
    alone = np.isnan(found.points_m[:, 0])

    assert alone.mean() > 0.8  # Two rays of three do meet by accident now and then.
    assert (found.inliers.sum(axis=1) == np.where(alone, 0, found.inliers.sum(axis=1))).all()
    assert (found.inliers.sum(axis=1)[~alone] >= 2).all()


def test_a_short_baseline_says_so_in_its_covariance() -> None:
    rig = pair([[0, 0, 1], [0.2, 0, 1]], [[0, 20, 1], [0, 20, 1]])
    point = np.array([0.5, 15.0, 1.5])
    found = triangulate(rig, rig.project(point))
    std = np.sqrt(np.diag(found.covariance_m2))

    assert np.abs(found.points_m - point).max() < 1e-6
    assert std[1] > 30 * std[0]


def test_a_far_point_whose_depth_is_unknown_is_refused() -> None:
    rig = pair([[0, 0, 1], [0.02, 0, 1]], [[0, 20, 1], [0, 20, 1]])

    assert_nothing(triangulate(rig, rig.project([0.5, 500.0, 1.5])))


def test_every_pair_proposes_up_to_a_bound() -> None:
    rig = ring_rig(40)
    point = np.array([2.0, 1.0, 1.0])
    uv = rig.project(point)
    uv[10:] += np.random.default_rng(4).uniform(50, 400, (30, 2))
    confidence = np.where(np.arange(40) < 10, 0.9, 0.5)
    found = triangulate(rig, uv, confidence)

    assert found.inliers[:10].all()
    assert np.abs(found.points_m - point).max() < 1e-6


def test_leading_axes_are_kept_and_rows_are_independent() -> None:
    rig = ring_rig(4)
    rng = np.random.default_rng(5)
    points = rng.uniform(-3, 3, (2, 3, 3))
    uv = rig.project(points) + rng.normal(0, 2, (2, 3, 4, 2))
    confidence = rng.uniform(0.1, 1, (2, 3, 4))
    found = triangulate(rig, uv, confidence)

    assert found.points_m.shape == (2, 3, 3)
    assert found.covariance_m2.shape == (2, 3, 3, 3)
    assert found.residual_px.shape == found.inliers.shape == (2, 3, 4)
    alone = triangulate(rig, uv[1, 2], confidence[1, 2])
    assert np.array_equal(alone.points_m, found.points_m[1, 2])
    assert np.array_equal(alone.covariance_m2, found.covariance_m2[1, 2])
    assert triangulate(rig, np.zeros((0, 4, 2))).points_m.shape == (0, 3)


def test_float32_strided_and_broadcast_inputs_are_taken() -> None:
    rig = ring_rig(4)
    uv = rig.project(np.random.default_rng(6).uniform(-3, 3, (10, 3)))
    wide = np.zeros((10, 8, 2))
    wide[:, ::2] = uv

    assert np.array_equal(triangulate(rig, wide[:, ::2]).points_m, triangulate(rig, uv).points_m)
    assert triangulate(rig, uv.astype(np.float32), [1, 1, 0.5, 1]).inliers.all()


@pytest.mark.parametrize(
    ("uv", "confidence", "sigma_px", "message"),
    [
        (np.zeros((5, 2)), None, 2.0, r"this rig of 4 cameras needs \(\.\.\., 4, 2\)"),
        (np.zeros(2), None, 2.0, "uv has shape"),
        ("x", None, 2.0, "uv is no array"),
        (np.zeros((3, 4, 2)), np.zeros((2, 4)), 2.0, "confidence has shape"),
        (np.zeros((4, 2)), "x", 2.0, "confidence is no array"),
        (np.zeros((4, 2)), None, 0.0, "sigma_px is 0.0"),
        (np.zeros((4, 2)), None, np.nan, "sigma_px is nan"),
    ],
)
def test_wrong_input_is_refused(
    uv: Array, confidence: Array, sigma_px: float, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        triangulate(ring_rig(4), uv, confidence, sigma_px)


def test_threads_give_the_same_bits() -> None:
    rig = ring_rig(6)
    rng = np.random.default_rng(7)
    uv = rig.project(rng.uniform(-3, 3, (400, 3))) + rng.normal(0, 20, (400, 6, 2))
    expected = triangulate(rig, uv).points_m
    results: list[Array] = []
    threads = [
        threading.Thread(target=lambda: results.append(triangulate(rig, uv).points_m))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 4
    assert all(np.array_equal(each, expected, equal_nan=True) for each in results)


PIXEL = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=300, deadline=None)
@given(
    uv=st.lists(st.tuples(PIXEL, PIXEL), min_size=3, max_size=3),
    confidence=st.lists(PIXEL, min_size=3, max_size=3),
    sigma_px=st.floats(1e-3, 1e3),
)
def test_whatever_comes_in_what_comes_out_is_sound(
    uv: list[tuple[float, float]], confidence: list[float], sigma_px: float
) -> None:
    rig = ring_rig(3)
    found = triangulate(rig, uv, confidence, sigma_px)
    assert not np.isinf(found.residual_px).any()
    if np.isnan(found.points_m).any():
        assert_nothing(found)
        return
    assert found.inliers.sum() >= 2
    assert (found.residual_px[found.inliers] <= GATE_SIGMAS * sigma_px * 1.001).all()
    assert np.isfinite(found.points_m).all()
    assert (np.linalg.eigvalsh(found.covariance_m2) > 0).all()
    depth = np.einsum("cj,j->c", rig.R[:, 2], found.points_m) + rig.t[:, 2]
    assert (depth[found.inliers] > 0).all()


def test_the_point_is_the_least_squares_of_an_independent_solver() -> None:
    """SciPy's solver on OpenCV's projection finds the same point from the same inliers."""
    rig = ring_rig(6)
    rng = np.random.default_rng(11)
    points = rng.uniform([-8, -5, 0], [8, 5, 2], (40, 3))
    uv = rig.project(points) + rng.normal(0, 2, (40, 6, 2))
    uv[:, 4] += 150.0
    confidence = rng.uniform(0.2, 1.0, (40, 6))
    found = triangulate(rig, uv, confidence)
    rotations = [cv2.Rodrigues(R)[0] for R in rig.R]

    def residuals(x: Array, row: int) -> Array:
        off = []
        for c in np.flatnonzero(found.inliers[row]):
            image = cv2.projectPoints(x[None], rotations[c], rig.t[c], rig.K[c], rig.dist[c])[0]
            off.append(np.sqrt(confidence[row, c]) * (image[0, 0] - uv[row, c]))
        return np.concatenate(off)

    for row in range(40):
        best = least_squares(
            residuals, points[row], args=(row,), xtol=1e-14, ftol=1e-14, gtol=1e-12
        )
        assert found.inliers[row].sum() >= 4
        assert np.abs(best.x - found.points_m[row]).max() < 1e-6
