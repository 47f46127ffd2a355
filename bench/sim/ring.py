"""The ring of cameras above the court, and its projection in plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Floats
from bench.sim.options import RingOptions


@dataclass(frozen=True, slots=True)
class RigArrays:
    """A calibrated rig as `accel.Rig` takes it: x_cam = R X + t, OpenCV's k1 k2 p1 p2 k3."""

    names: tuple[str, ...]
    """(C,) camera names."""
    K: Floats
    """(C, 3, 3) pixel matrices."""
    dist: Floats
    """(C, 5) Brown coefficients."""
    R: Floats
    """(C, 3, 3) world to camera."""
    t: Floats
    """(C, 3) world to camera, metres."""
    size: NDArray[np.int64]
    """(C, 2) width and height, pixels."""
    readout_ms: Floats
    """(C,) time from the first row to the last."""

    def project(self, points_m: Floats) -> tuple[Floats, Floats]:
        """Points (..., C or 1, N, 3) -> pixels (..., C, N, 2), NaN where the lens ends, and depths.

        A point behind the camera, or outside the angle where the Brown polynomial still rises,
        has no image: NaN.
        """
        camera = np.einsum("cij,...cnj->...cni", self.R, points_m) + self.t[:, None, :]
        depth = camera[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = camera[..., 0] / depth, camera[..., 1] / depth
        r2 = x * x + y * y
        k1, k2, p1, p2, k3 = (self.dist[:, i][:, None] for i in range(5))
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        rising = 1 + r2 * (3 * k1 + r2 * (5 * k2 + r2 * 7 * k3))
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        u = self.K[:, 0, 0][:, None] * xd + self.K[:, 0, 2][:, None]
        v = self.K[:, 1, 1][:, None] * yd + self.K[:, 1, 2][:, None]
        uv = np.stack([u, v], axis=-1)
        uv[(depth < 0.1) | (rising <= 0.1) | (r2 > 4.0)] = np.nan
        return uv, depth


def build_ring(options: RingOptions, rng: np.random.Generator) -> RigArrays:
    """Cameras evenly around the court, each a little off its place, aimed near the centre."""
    count = options.cameras
    angle = 2 * np.pi * (np.arange(count) + 0.5 + rng.uniform(-0.15, 0.15, count)) / count
    centre = np.stack(
        [
            options.semi_axes_m[0] * np.cos(angle),
            options.semi_axes_m[1] * np.sin(angle),
            rng.uniform(*options.height_m, count),
        ],
        axis=1,
    )
    target = np.stack(
        [
            rng.uniform(-1.5, 1.5, count),
            rng.uniform(-1.0, 1.0, count),
            rng.uniform(0.4, 1.0, count),
        ],
        axis=1,
    )
    rotation = np.stack([_look_at(c, g) for c, g in zip(centre, target, strict=True)])
    rotation = np.einsum("cij,cjk->cik", _roll(rng.normal(0, 0.01, count)), rotation)
    return RigArrays(
        names=tuple(f"cam{i}" for i in range(count)),
        K=_pixel_matrices(options, rng),
        dist=_brown(options, rng),
        R=rotation,
        t=-np.einsum("cij,cj->ci", rotation, centre),
        size=np.tile(np.array(options.size_px, dtype=np.int64), (count, 1)),
        readout_ms=np.full(count, options.readout_ms),
    )


def _look_at(centre: Floats, target: Floats) -> Floats:
    """World to camera: z towards the target, y down."""
    forward = (target - centre) / np.linalg.norm(target - centre)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def _roll(angles: Floats) -> Floats:
    out = np.tile(np.eye(3), (len(angles), 1, 1))
    out[:, 0, 0] = out[:, 1, 1] = np.cos(angles)
    out[:, 0, 1] = -np.sin(angles)
    out[:, 1, 0] = np.sin(angles)
    return out


def _pixel_matrices(options: RingOptions, rng: np.random.Generator) -> Floats:
    count = options.cameras
    focal = options.focal_px * rng.uniform(0.96, 1.04, count)
    matrices = np.tile(np.eye(3), (count, 1, 1))
    matrices[:, 0, 0] = focal
    matrices[:, 1, 1] = focal * rng.uniform(0.998, 1.002, count)
    matrices[:, 0, 2] = options.size_px[0] / 2 + rng.uniform(-15, 15, count)
    matrices[:, 1, 2] = options.size_px[1] / 2 + rng.uniform(-15, 15, count)
    return matrices


def _brown(options: RingOptions, rng: np.random.Generator) -> Floats:
    count = options.cameras
    columns = [
        rng.uniform(-0.26, -0.12, count),
        rng.uniform(0.03, 0.08, count),
        rng.uniform(-6e-4, 6e-4, count),
        rng.uniform(-6e-4, 6e-4, count),
        rng.uniform(-0.01, 0.01, count),
    ]
    return options.distortion * np.stack(columns, axis=1)
