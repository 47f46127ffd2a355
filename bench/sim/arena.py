"""The arena: ground truth at any time and, frame-set by frame-set, what the cameras report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Floats, Ints
from bench.sim.body import Crowd, draw_bodies
from bench.sim.observe import Draws, Observed, observe
from bench.sim.options import ArenaOptions
from bench.sim.posture import posture
from bench.sim.ring import RigArrays, build_ring
from bench.sim.roam import roam

if TYPE_CHECKING:
    import accel

CHUNK = 32
"""Frame-sets made at once; part of the seeding, so that a frame never depends on who asks first."""
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class View:
    """What one camera reports of one capture."""

    camera: int
    """Index into the rig."""
    capture_time_ns: int
    """Mid-exposure of the first row."""
    keypoints: NDArray[np.float32]
    """(N, 17, 3): u, v in distorted pixels, confidence; all zero where a joint is missing."""
    person: Ints
    """(N,) the true person of each detection, -1 for an invention. Never shown to a tracker."""


@dataclass(frozen=True, slots=True)
class FrameSet:
    """One frame of every camera."""

    index: int
    """Number of the frame-set."""
    views: tuple[View, ...]
    """One a camera, in order of capture time."""

    @property
    def time_ns(self) -> int:
        """The newest capture time in it."""
        return max(view.capture_time_ns for view in self.views)


class Arena:
    """One seeded game. Equal options give equal frames, in whatever order they are asked for."""

    def __init__(self, options: ArenaOptions) -> None:
        """Plan the game: about a second for three minutes of play."""
        self.options = options
        seeds = np.random.SeedSequence(options.seed).spawn(5)
        game, body, arms, ring, noise = (np.random.default_rng(s) for s in seeds)
        self.rig: RigArrays = build_ring(options.ring, ring)
        moves = roam(options.people, options.duration_s, game)
        acts = posture(options.people, options.duration_s, moves.events, arms)
        self.crowd = Crowd(draw_bodies(options.people, body), moves, acts)
        cameras = options.ring.cameras
        offset = noise.uniform(0.0, options.ring.offset_ms * 1e6, cameras)
        self.offset_ns: Ints = offset.astype(np.int64)
        spread = options.observation.camera_spread
        self._scale = 1.0 + spread * noise.uniform(-1.0, 1.0, cameras)

    def accel_rig(self) -> accel.Rig:
        """The cameras as the tracker takes them."""
        import accel

        rig = self.rig
        return accel.Rig(rig.names, rig.K, rig.dist, rig.R, rig.t, rig.size, rig.readout_ms)

    def capture_times_ns(self, frames: Ints) -> Ints:
        """(T,) frame numbers -> (T, C) first-row times."""
        base = np.round(frames * (NS / self.options.fps)).astype(np.int64)
        return np.asarray(base[:, None] + self.offset_ns + self.options.start_ns, dtype=np.int64)

    def truth(self, time_ns: int) -> Floats:
        """Everybody's joints at a time: (P, 17, 3) metres."""
        joints: Floats = self.truths(np.array([time_ns], dtype=np.int64))[0]
        return joints

    def truths(self, times_ns: Ints) -> Floats:
        """Everybody's joints at (T,) times: (T, P, 17, 3) metres."""
        return self._joints((times_ns - self.options.start_ns) * 1e-9)

    def frame_sets(self, first: int = 0, stop: int | None = None) -> Iterator[FrameSet]:
        """Frame-sets first..stop (default: all), made in chunks of bounded size."""
        last = self.options.frames if stop is None else min(stop, self.options.frames)
        for chunk in range(first // CHUNK, -(-last // CHUNK)):
            frames = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK)
            rng = np.random.default_rng([self.options.seed, chunk])
            times = self.capture_times_ns(frames)
            observed = self._observe(frames, times, rng)
            orders = rng.random((*observed.detected.shape[:2], 256))
            for k in np.flatnonzero((frames >= first) & (frames < last)):
                yield _frame_set(int(frames[k]), times[k], observed, int(k), orders[k])

    def images(self, frames: Ints) -> tuple[Floats, Floats]:
        """True images (T, C, P, 17, 2) of the joints at their rows' times, and depths."""
        times = (self.capture_times_ns(frames) - self.options.start_ns) * 1e-9
        if self.options.ring.readout_ms == 0.0 and not self.offset_ns.any():
            return self._project(self._joints(times[:, 0])[:, None])
        early = self._at(times)
        readout_s = self.options.ring.readout_ms * 1e-3
        if readout_s == 0.0:
            return self._project(early)
        middle, late = self._at(times + 0.5 * readout_s), self._at(times + readout_s)
        uv, depth = self._project(middle)
        height = self.rig.size[:, 1].reshape(1, -1, 1, 1)
        for _ in range(2):
            row = np.nan_to_num(np.clip(uv[..., 1] / height, -0.2, 1.2), nan=0.5)[..., None]
            joints = _quadratic(row, early, middle, late)
            uv, depth = self._project(joints)
        return uv, depth

    def _joints(self, times_s: Floats) -> Floats:
        """(T,) seconds since the start -> (T, P, 17, 3)."""
        return self.crowd.joints(self.options.tempo * times_s)

    def _at(self, times_s: Floats) -> Floats:
        """(T, C) times -> (T, C, P, 17, 3)."""
        joints = self._joints(times_s.ravel())
        return joints.reshape(*times_s.shape, *joints.shape[1:])

    def _project(self, joints: Floats) -> tuple[Floats, Floats]:
        frames, _, people, count, _ = joints.shape
        uv, depth = self.rig.project(joints.reshape(*joints.shape[:2], people * count, 3))
        shape = (frames, len(self.rig.names), people, count)
        return uv.reshape(*shape, 2), depth.reshape(shape)

    def _observe(self, frames: Ints, times: Ints, rng: np.random.Generator) -> Observed:
        uv, depth = self.images(frames)
        hold_ms = self.options.observation.hold_ms
        hold = (times[:, 0] // int(hold_ms * 1e6)) if hold_ms > 0 else None
        return observe(uv, depth, self.rig, self.options.observation, Draws(rng, self._scale, hold))


def _quadratic(s: Floats, early: Floats, middle: Floats, late: Floats) -> Floats:
    """The parabola through values at s = 0, 0.5 and 1."""
    return np.asarray(
        early * (1 - s) * (1 - 2 * s) + middle * 4 * s * (1 - s) + late * s * (2 * s - 1),
        dtype=np.float64,
    )


def _frame_set(index: int, times: Ints, observed: Observed, k: int, order: Floats) -> FrameSet:
    """Put a frame's detections and inventions together, shuffled, one view a camera."""
    views = []
    in_frame = observed.false_at[:, 0] == k
    for camera in np.argsort(times, kind="stable"):
        person = np.flatnonzero(observed.detected[k, camera])
        real = observed.keypoints[k, camera, person]
        made_up = observed.false_keypoints[in_frame & (observed.false_at[:, 1] == camera)]
        keypoints = np.concatenate([real, made_up])
        who = np.concatenate([person, np.full(len(made_up), -1)])
        shuffle = np.argsort(order[camera, : len(who)])
        views.append(View(int(camera), int(times[camera]), keypoints[shuffle], who[shuffle]))
    return FrameSet(index, tuple(views))
