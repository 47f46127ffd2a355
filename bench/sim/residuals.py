"""Streams of residuals made directly: hours of play in seconds, one sum a person, camera and block.

People wander over the court and swing with the possessions. What a detector errs with is alike for
a while: each person in each camera has a bias that is held for seconds, sometimes a gross one; each
camera errs the same way for everybody, constantly and slowly wandering; keypoints are noisy on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Floats, Ints
from bench.sim.faults import Fault, changed
from bench.sim.options import RingOptions
from bench.sim.ring import RigArrays, build_ring

BLOCK_S = 0.25
CHUNK_BLOCKS = 1200
JOINTS = 17


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What the residuals are made of."""

    ring: RingOptions = field(default_factory=RingOptions)
    """The cameras."""
    people: int = 13
    """On the court."""
    fps: float = 60.0
    """Frames of a camera a second."""
    sigma_px: float = 2.0
    """Noise of a keypoint."""
    held_px: float = 0.5
    """How much all keypoints of a person in a camera err alike, per axis."""
    held_s: float = 4.0
    """Mean time for which they do."""
    gross_share: float = 0.03
    """Part of these biases that are ten times as large."""
    constant_px: float = 0.0
    """Bias of a camera for everybody, per axis, for the whole stream."""
    wander_px: float = 0.05
    """The same, wandering."""
    wander_s: float = 60.0
    """How long it takes to wander."""
    seen: float = 0.85
    """Part of the time that a camera sees a person."""
    tempo: float = 1.0
    """How fast they run; 1: about 2 m/s on average."""
    seed: int = 1
    """Everything random follows from it."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A chunk of the stream: B blocks, P people, C cameras; as `HealthMonitor.feed` takes it."""

    times_ns: Ints
    """(B,)."""
    points_m: NDArray[np.float64]
    """(B, P, 3)."""
    velocities_mps: NDArray[np.float64]
    """(B, P, 3)."""
    counts: NDArray[np.float32]
    """(B, P, C) keypoints."""
    means_px: NDArray[np.float32]
    """(B, P, C, 2) their mean residuals."""
    frames: NDArray[np.int32]
    """(B, C, 4) detections, explained, expected, held."""


class ResidualStream:
    """A seeded stream; a fault may begin and end in it."""

    def __init__(self, options: StreamOptions) -> None:
        self.options = options
        self._rng = np.random.default_rng(options.seed)
        self.rig: RigArrays = build_ring(options.ring, self._rng)
        people, cameras = options.people, options.ring.cameras
        self._constant = options.constant_px * self._rng.standard_normal((cameras, 2))
        self._wander = options.wander_px * self._rng.standard_normal((cameras, 2))
        self._rates = self._rng.uniform(0.05, 0.5, (people, 2, 4))
        self._phases = self._rng.uniform(0.0, 2 * np.pi, (people, 2, 4))

    def chunks(
        self, seconds: float, fault: Fault | None = None, onset_s: float = 0.0, end_s: float = 1e12
    ) -> Iterator[Blocks]:
        """The stream's blocks; `fault` shows from `onset_s` to `end_s`."""
        total = round(seconds / BLOCK_S)
        for first in range(0, total, CHUNK_BLOCKS):
            times_s = (np.arange(first, min(first + CHUNK_BLOCKS, total)) + 0.5) * BLOCK_S
            yield self._chunk(times_s, fault, (times_s >= onset_s) & (times_s < end_s))

    def _chunk(self, times_s: Floats, fault: Fault | None, faulty: NDArray[np.bool_]) -> Blocks:
        points = self._places(times_s)
        velocities = (self._places(times_s + 0.1) - self._places(times_s - 0.1)) / 0.2
        uv = self.rig.project(points[:, None])[0].transpose(0, 2, 1, 3)
        inside = ((uv >= 0) & (uv < self.rig.size[None, None])).all(axis=-1)
        seen = inside & (self._held(times_s, uv.shape[:3], 2.0) < self.options.seen)
        frames = round(self.options.fps * BLOCK_S)
        counts = np.where(seen, JOINTS * frames * 0.9, 0.0)
        means = self._errors(times_s, uv.shape[:3], counts)
        means += self._common(points, uv)
        if fault is not None and faulty.any():
            means[faulty] += self._effect(fault, points[faulty], velocities[faulty], uv[faulty])
        means[~seen] = 0.0
        held = seen.sum(axis=1) * frames
        told = np.stack([held, held, held, held], axis=-1)
        return Blocks(
            np.round(times_s * 1e9).astype(np.int64),
            points,
            velocities,
            counts.astype(np.float32),
            means.astype(np.float32),
            told.astype(np.int32),
        )

    def _places(self, times_s: Floats) -> NDArray[np.float64]:
        """(B, P, 3): everybody's middle."""
        turns = self.options.tempo * self._rates * times_s[:, None, None, None] + self._phases
        paths = np.sin(turns).sum(axis=-1)
        swing = np.tanh(3.0 * np.sin(2 * np.pi * self.options.tempo * times_s / 37.0))
        x = 2.2 * paths[..., 0] + 7.0 * swing[:, None]
        y = 2.6 * paths[..., 1]
        return np.stack([x, y, np.full_like(x, 1.0)], axis=-1)

    def _held(self, times_s: Floats, shape: tuple[int, ...], mean_s: float) -> Floats:
        """Uniform numbers (B, P, C) that stay for a while."""
        fresh = self._rng.random(shape, dtype=np.float32)
        return np.take_along_axis(fresh, self._since(shape, mean_s), axis=0)

    def _since(self, shape: tuple[int, ...], mean_s: float) -> Ints:
        """Index of the block at which each value (B, P, C) was last drawn."""
        drawn = self._rng.random(shape, dtype=np.float32) < BLOCK_S / mean_s
        index = np.where(drawn, np.arange(shape[0])[:, None, None], 0)
        return np.maximum.accumulate(index, axis=0)

    def _errors(self, times_s: Floats, shape: tuple[int, ...], counts: Floats) -> Floats:
        """Mean errors (B, P, C, 2) of the detector."""
        options = self.options
        since = self._since(shape, options.held_s)
        scale = np.where(self._rng.random(shape, dtype=np.float32) < options.gross_share, 10.0, 1.0)
        fresh = self._rng.standard_normal((*shape, 2), dtype=np.float32) * scale[..., None]
        alike = np.take_along_axis(fresh, since[..., None], axis=0)
        white = self._rng.standard_normal((*shape, 2), dtype=np.float32)
        noise = options.sigma_px / np.sqrt(np.maximum(counts, 1.0))
        errors: Floats = options.held_px * alike + noise[..., None] * white
        keep = np.exp(-BLOCK_S / options.wander_s)
        steps = self._rng.standard_normal((len(times_s), *self._wander.shape))
        steps *= options.wander_px * np.sqrt(1 - keep**2)
        for b, step in enumerate(steps):
            self._wander = keep * self._wander + step
            errors[b] += self._wander + self._constant
        return errors

    def _common(self, points: Floats, uv: Floats) -> Floats:
        """What an error of the tracker, 10 mm, shows in all cameras."""
        wrong = points + self._rng.normal(0.0, 0.01, points.shape)
        moved = self.rig.project(wrong[:, None])[0].transpose(0, 2, 1, 3)
        return np.nan_to_num(uv - moved)

    def _effect(self, fault: Fault, points: Floats, velocities: Floats, uv: Floats) -> Floats:
        """What the fault moves the images by (B, P, C, 2)."""
        late_s = fault.late_frames / self.options.fps
        truth = points - late_s * velocities
        moved = changed(self.rig, fault).project(truth[:, None])[0].transpose(0, 2, 1, 3)
        effect = np.zeros_like(uv)
        c = fault.camera
        effect[:, :, c] = np.nan_to_num(moved[:, :, c] - uv[:, :, c])
        return effect
