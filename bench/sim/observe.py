"""From true images to what a detector would have said: noise, misses, snaps, flips, inventions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Bools, Floats, Ints
from bench.sim.occlusion import occluders
from bench.sim.options import ObservationOptions
from bench.sim.ring import RigArrays

FLIPPED = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15])
"""COCO-17 with left and right exchanged."""
LEAST_JOINTS = 5
"""A detector says nothing of a person with fewer joints."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A chunk of detections before they are shuffled into views."""

    keypoints: NDArray[np.float32]
    """(T, C, P, J, 3): u, v, confidence; all zero where missing."""
    detected: Bools
    """(T, C, P)."""
    false_keypoints: NDArray[np.float32]
    """(F, J, 3) skeletons of nobody."""
    false_at: Ints
    """(F, 2) frame in the chunk and camera."""


def observe(
    uv: Floats, depth: Floats, rig: RigArrays, options: ObservationOptions, draw: Draws
) -> Observed:
    """Detections of true images uv (T, C, P, J, 2) at depth (T, C, P, J), seeded by `draw`."""
    rng = draw.rng
    shape = depth.shape
    front = occluders(uv, depth, rig.K[:, 0, 0])
    hidden = front >= 0
    spread = np.exp(options.confidence_spread * rng.standard_normal(shape))
    spread /= np.exp(options.confidence_spread**2)
    factor = np.where(hidden, options.hidden_sigma, 1.0) * spread
    choice = draw.held(shape)
    snapped = hidden & (choice < options.snap)
    dropped = hidden & (choice >= options.snap) & (choice < options.snap + options.drop)
    place = _snap(uv, front, snapped)
    sigma = options.sigma_px * draw.camera_scale[:, None, None]
    measured = place + (sigma * factor)[..., None] * rng.standard_normal((*shape, 2))
    confidence = _confidence(factor, snapped, rng)
    missing = dropped | (rng.random(shape) < options.joint_miss) | ~inside(measured, rig.size)
    keypoints = np.concatenate([measured, confidence[..., None]], axis=-1)
    keypoints[missing] = 0.0
    flip = rng.random(shape[:3]) < options.flip
    keypoints[flip] = keypoints[flip][:, FLIPPED]
    detected = (rng.random(shape[:3]) >= options.person_miss) & (
        (~missing).sum(axis=3) >= LEAST_JOINTS
    )
    made_up, made_at = _inventions(uv, rig, options, rng)
    return Observed(keypoints.astype(np.float32), detected, made_up, made_at)


class Draws:
    """The random numbers of one chunk, and those that stay for a whole arena."""

    def __init__(self, rng: np.random.Generator, camera_scale: Floats, hold: Ints | None) -> None:
        """camera_scale (C,) is each camera's noise; hold (T,) numbers the frames' held draws."""
        self.rng = rng
        self.camera_scale = camera_scale
        self._hold = hold

    def held(self, shape: tuple[int, ...]) -> Floats:
        """Uniform numbers, equal within a hold."""
        if self._hold is None:
            return self.rng.random(shape)
        _, index = np.unique(self._hold, return_inverse=True)
        return self.rng.random((int(index.max()) + 1, *shape[1:]))[index]


def _snap(uv: Floats, front: Ints, snapped: Bools) -> Floats:
    """The images with the snapped joints moved to the occluder's same joint."""
    place = uv.copy()
    t, c, p, j = np.nonzero(snapped)
    place[t, c, p, j] = uv[t, c, front[t, c, p, j], j]
    return place


def _confidence(factor: Floats, snapped: Bools, rng: np.random.Generator) -> Floats:
    """0.05..1, lower where the noise is larger; a snapped joint looks about as sure as others."""
    told = np.where(snapped, 1.2, factor) * np.exp(0.15 * rng.standard_normal(factor.shape))
    return np.clip(1.0 - 0.28 * told, 0.05, 0.99)


def inside(uv: Floats, size: Ints) -> Bools:
    """Which of uv (T, C, ..., 2) lie inside their images (C, 2)."""
    limit = size.reshape(1, -1, *(1,) * (uv.ndim - 3), 2)
    with np.errstate(invalid="ignore"):
        return np.asarray(((uv >= 0) & (uv < limit)).all(axis=-1))


def _inventions(
    uv: Floats, rig: RigArrays, options: ObservationOptions, rng: np.random.Generator
) -> tuple[NDArray[np.float32], Ints]:
    """False skeletons: somebody's true shape, scaled, mirrored at will, somewhere else."""
    frames, cameras, people, joints, _ = uv.shape
    counts = rng.poisson(options.false_rate, (frames, cameras))
    at = np.repeat(np.argwhere(np.ones_like(counts)), counts.ravel(), axis=0)
    total = len(at)
    shape = uv[rng.integers(frames, size=total), at[:, 1], rng.integers(people, size=total)]
    empty = np.isnan(shape).any(axis=(1, 2))
    shape, at = shape[~empty], at[~empty]
    total = len(at)
    centre = shape.mean(axis=1, keepdims=True)
    scale = rng.uniform(0.7, 1.3, (total, 1, 1)) * np.array([1.0, 1.0])
    scale[:, :, 0] *= np.where(rng.random((total, 1)) < 0.5, -1.0, 1.0)
    where = rng.uniform(0.0, 1.0, (total, 1, 2)) * rig.size[at[:, 1]][:, None]
    made = (shape - centre) * scale + where + rng.normal(0, 2 * options.sigma_px, shape.shape)
    confidence = np.clip(
        rng.uniform(0.2, 0.75, (total, 1)) + rng.normal(0, 0.1, (total, joints)), 0.05, 0.99
    )
    keypoints = np.concatenate([made, confidence[..., None]], axis=-1).astype(np.float32)
    limit = rig.size[at[:, 1]][:, None]
    out = ((made < 0) | (made >= limit)).any(axis=-1)
    keypoints[out | (rng.random((total, joints)) < 0.15)] = 0.0
    kept = (keypoints[..., 2] > 0).sum(axis=1) >= LEAST_JOINTS
    return keypoints[kept], at[kept]
