"""Rigs for tests: a ring of cameras around a court, and stacks of random ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accel import Rig

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CameraStack:
    """N rigs of C cameras as arrays (N, C, ...), as `accel.reference` takes them."""

    K: Array
    dist: Array
    R: Array
    t: Array

    def rig(self, i: int) -> Rig:
        """The i-th one."""
        count = self.K.shape[1]
        names = [f"cam{c:02}" for c in range(count)]
        size = np.tile([1920.0, 1080.0], (count, 1))
        return Rig(names, self.K[i], self.dist[i], self.R[i], self.t[i], size)


def looking_at(centers: Array, targets: Array) -> tuple[Array, Array]:
    """R (..., 3, 3) and t (..., 3) of level cameras at `centers` (..., 3) looking at `targets`."""
    axis = targets - centers
    axis = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    right = np.cross(axis, [0.0, 0.0, 1.0])
    right = right / np.linalg.norm(right, axis=-1, keepdims=True)
    R = np.stack([right, np.cross(axis, right), axis], axis=-2)
    return R, -np.einsum("...ij,...j->...i", R, centers)


def ring_rig(count: int = 6, dist: tuple[float, ...] = (-0.1, 0.05, 1e-3, -5e-4, 0.01)) -> Rig:
    """Cameras on an ellipse around a court, 6 m up, looking at its centre."""
    angles = np.arange(count) * 2 * np.pi / count + 0.1
    centers = np.stack([20 * np.cos(angles), 14 * np.sin(angles), np.full(count, 6.0)], axis=-1)
    R, t = looking_at(centers, np.tile([0.0, 0.0, 1.0], (count, 1)))
    K = np.tile(
        np.array([[1400.0, 0.0, 960.0], [0.0, 1390.0, 540.0], [0.0, 0.0, 1.0]]), (count, 1, 1)
    )
    names = [f"cam{c:02}" for c in range(count)]
    size = np.tile([1920.0, 1080.0], (count, 1))
    return Rig(names, K, np.tile(dist, (count, 1)), R, t, size)


def random_cameras(rng: np.random.Generator, scenes: int, cameras: int) -> CameraStack:
    """Cameras with all terms of the model, 5 to 25 m away, looking near the origin."""
    shape = (scenes, cameras)
    angle, radius = rng.uniform(0, 2 * np.pi, shape), rng.uniform(5, 25, shape)
    height = rng.uniform(0.5, 9, shape)
    centers = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=-1)
    R, t = looking_at(centers, rng.uniform(-2, 2, (*shape, 3)))
    K = np.zeros((*shape, 3, 3))
    K[..., 0, 0] = rng.uniform(600, 2500, shape)
    K[..., 1, 1] = K[..., 0, 0] * rng.uniform(0.98, 1.02, shape)
    K[..., 0, 1] = rng.choice([0.0, 1.5], shape)
    K[..., 0, 2], K[..., 1, 2] = rng.uniform(900, 1000, shape), rng.uniform(500, 600, shape)
    K[..., 2, 2] = 1.0
    dist = rng.normal(0, 1, (*shape, 5)) * np.array([0.15, 0.08, 0.002, 0.002, 0.03])
    return CameraStack(K, dist, R, t)
