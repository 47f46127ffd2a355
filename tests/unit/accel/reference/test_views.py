"""The bulk engine's views and the core say the same: images, slopes, covariances, starts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from accel import Rig, triangulate
from accel.reference.game.noise import BANDS, PixelNoise, rightness
from accel.reference.game.small import inverse, largest_eigenvalue
from accel.reference.game.start import filled, rays, start
from accel.reference.game.views import Lens, image, normal_equations, spread_of
from tests.support.rigs import random_cameras, ring_rig

Array = NDArray[np.float64]


def rigs(count: int) -> list[Rig]:
    stack = random_cameras(np.random.default_rng(21), count, 5)
    return [stack.rig(i) for i in range(count)]


def axes(points: Array) -> list[Array]:
    """(N, 3) as x, y, z, each (1, 1, 1, N)."""
    return [points[:, i].reshape(1, 1, 1, -1) for i in range(3)]


def test_images_and_slopes_are_those_of_the_core() -> None:
    rng = np.random.default_rng(22)
    for rig in rigs(20):
        points = rng.uniform(-6, 6, (60, 3))
        found = image(Lens.of(rig, np), axes(points))
        uv = rig.project(points)  # (N, C, 2), by the core.
        seen = np.isfinite(uv).all(axis=-1).T
        assert np.array_equal(found.valid[:, 0, 0], seen)
        both = np.stack((found.u, found.v), axis=-1)[:, 0, 0]
        assert np.allclose(both[seen], np.swapaxes(uv, 0, 1)[seen], rtol=1e-11, atol=1e-6)
        for i in range(3):
            step = np.zeros(3)
            step[i] = 1e-6
            slope = (rig.project(points + step) - rig.project(points - step)) / 2e-6
            ours = np.stack((found.slope_u[i], found.slope_v[i]), axis=-1)[:, 0, 0]
            off = np.abs(ours - np.swapaxes(slope, 0, 1))
            fine = seen & np.isfinite(off).all(axis=-1)
            assert (off[fine] < 1e-3 + 1e-4 * np.abs(ours[fine])).all()


def test_the_information_of_all_views_is_the_core_s_covariance() -> None:
    rng = np.random.default_rng(23)
    rig = ring_rig(5)
    points = rng.uniform(-3, 3, (50, 3))
    uv = rig.project(points) + rng.normal(0, 0.5, (50, 5, 2))
    core = triangulate(rig, uv, sigma_px=2.0)
    assert core.inliers.all()
    found = image(Lens.of(rig, np), axes(core.points_m))
    eu, ev = (np.swapaxes(uv, 0, 1)[..., i].reshape(5, 1, 1, 50) - (found.u, found.v)[i]
              for i in range(2))  # fmt: skip
    weight = np.full(eu.shape, 0.25)
    normal = normal_equations(np, found, (eu, ev), weight)
    covariance = inverse(np, normal.information)[0, 0]
    assert np.allclose(covariance, core.covariance_m2, rtol=1e-5, atol=1e-12)
    # The core has converged: nothing is left to step.
    step = np.einsum("nij,nj->ni", covariance, normal.gradient[0, 0])
    assert np.abs(step).max() < 1e-6
    spread = spread_of(found.slope_u, covariance[None, None])
    slopes = np.stack(found.slope_u, axis=-1)[:, 0, 0]
    assert np.allclose(spread[:, 0, 0], np.einsum("cni,nij,cnj->cn", slopes, covariance, slopes))


def test_each_frame_starts_where_the_core_triangulates() -> None:
    rng = np.random.default_rng(24)
    rig = ring_rig(6)
    points = rng.uniform(-3, 3, (80, 3))
    uv = rig.project(points) + rng.normal(0, 1.0, (80, 6, 2))
    wrong = rng.integers(6, size=80)
    uv[np.arange(80), wrong] += rng.choice([-1, 1], (80, 2)) * rng.uniform(60, 300, (80, 2))
    lens = Lens.of(rig, np)
    u, v = (np.swapaxes(uv, 0, 1)[..., i].reshape(6, 1, 1, 80) for i in range(2))
    seen = rays(lens, u, v, np.ones(u.shape, dtype=bool))
    found, good = start(lens, seen, lens.k["fx"])
    assert good.all()
    core = triangulate(rig, uv).points_m
    off = np.linalg.norm(found[0, 0] - core, axis=-1)
    assert np.nanmedian(off) < 0.01
    assert np.nanpercentile(off, 95) < 0.05


def test_gaps_are_filled_beside_the_body() -> None:
    points = np.zeros((4, 1, 3, 3))
    points[:, 0, :, 0] = np.arange(4)[:, None] + np.array([0.0, 1.0, 2.0])
    good = np.ones((4, 1, 3), dtype=bool)
    good[:2, 0, 2] = good[3, 0, 1] = False
    out = filled(np, np.where(good[..., None], points, 99.0), good)
    assert np.array_equal(out[good], points[good])
    # The third joint lies 1 beside the middle (of three) when first seen; so it did before.
    assert np.allclose(out[:2, 0, 2, 0], [0.5 + 1.0, 1.5 + 1.0])
    assert np.isfinite(filled(np, points, np.zeros((4, 1, 3), dtype=bool))).all()


def test_small_matrices() -> None:
    rng = np.random.default_rng(25)
    a = rng.normal(size=(200, 3, 3))
    assert np.allclose(inverse(np, a) @ a, np.eye(3), atol=1e-8)
    s = a @ np.swapaxes(a, -1, -2)
    s[0], s[1] = np.eye(3) * 4, np.diag([1.0, 5.0, 5.0])
    assert np.allclose(largest_eigenvalue(np, s), np.linalg.eigvalsh(s)[:, -1], rtol=1e-7)


def test_noise_is_learned_by_camera_and_by_confidence() -> None:
    rng = np.random.default_rng(26)
    camera, band = np.array([1.0, 4.0, 9.0]), np.linspace(2.0, 0.5, BANDS)
    share = rng.uniform(500, 5000, (3, BANDS))
    exact = share * camera[:, None] * band
    found = PixelNoise.assumed(3, 4.0).learned(exact, share)
    product = found.camera[:, None] * found.band
    assert np.allclose(product, camera[:, None] * band, rtol=0.05)
    nothing = PixelNoise.assumed(3, 4.0).learned(np.zeros((3, BANDS)), np.zeros((3, BANDS)))
    assert np.sqrt(nothing.camera) == pytest.approx(4.0, rel=0.01)
    confidence = np.array([[[0.0, 0.5, 1.0]]] * 3)
    variance = found.variance(np, confidence)
    expected = found.camera[:, None] * found.band[[0, BANDS // 2, BANDS - 1]]
    assert np.allclose(variance[:, 0], expected)


def test_a_residual_is_right_or_wrong_by_its_length() -> None:
    weight = rightness(np, np.array([0.0, 6.0, 12.0, 20.0, 1e9]))
    assert weight[0] > 0.99
    assert weight[1] > 0.9
    assert weight[2] == pytest.approx(0.5)
    assert weight[3] < 0.02
    assert weight[4] < 1e-12
