"""Simulated inference: what pose models would say about a frame, and what that costs.

Costs are milliseconds of one CPU thread, errors and recall as measured on MoveNet: a detector finds
people by how tall they are in its input, a crop model's error is a part of the person's height.
What was not measured is said at its field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Bools, Floats, Ints
from bench.sim.occlusion import occluders
from bench.sim.traffic import TrafficArena

LEAST_JOINTS = 5
"""A model says nothing of a person with fewer joints in view."""
CHUNK = 32
CROP_MARGIN = 1.25
"""Side of a crop over the longer side of its box."""
BLUNDER = 0.16
"""A crop shows the person whose middle is nearest to its own; two that differ by this part of its
side are about as likely. Not measured."""
NOBODY = 0.5
"""Nobody's middle within this part of a crop's side of its middle: it shows nobody."""


@dataclass(frozen=True, slots=True)
class Detector:
    """A model that searches whole frames: MoveNet MultiPose."""

    input_px: tuple[int, int] = (640, 384)
    """Width and height of its input."""
    ms: float = 89.0
    """What a frame costs."""
    recall: tuple[tuple[float, float], ...] = ((40.0, 0.67), (64.0, 0.82), (80.0, 0.94))
    """Part of the people found, by height in the input, px."""
    error: float = 0.017
    """Standard deviation of a keypoint along an axis as a part of the height: Thunder's, times
    the ratio of their bone-length variations, 6.3 to 4.4 %."""
    input_error_px: float = 0.7
    """The same in pixels of the input, beside it. Not measured."""

    @property
    def scale(self) -> float:
        """Input over a frame of 1920 px."""
        return self.input_px[0] / 1920.0


DETECTORS: dict[int, Detector] = {
    px: Detector((px, height), ms)
    for px, height, ms in (
        (320, 192, 22.0),
        (448, 256, 40.0),
        (512, 288, 52.0),
        (640, 384, 89.0),
        (960, 544, 213.0),
    )
}
"""MultiPose by the longer side of its input."""


@dataclass(frozen=True, slots=True)
class CropModel:
    """A model that poses one person in a crop."""

    ms: float
    """What a crop costs."""
    error: tuple[tuple[float, float], ...]
    """Standard deviation along an axis as a part of the height, by the height in source pixels."""
    miss: float = 0.03
    """Part of the crops that give nothing. Not measured."""


THUNDER = CropModel(28.0, ((40.0, 0.0287), (64.0, 0.012)))
"""PCK@5% of 78 at 40 px, mean error of 1.5 % from 64 px on, both as for Gaussian errors."""
LIGHTNING = CropModel(7.0, ((40.0, 0.0402), (64.0, 0.0168)))
"""Thunder's errors times 1.4, not measured."""
CROP_MODELS = {"thunder": THUNDER, "lightning": LIGHTNING}


@dataclass(frozen=True, slots=True)
class Flaws:
    """What goes wrong beside noise."""

    joint_miss: float = 0.05
    """Probability that a joint is missing."""
    snap: float = 0.2
    """Probability that a hidden joint lands on the occluder's same joint."""
    drop: float = 0.4
    """Probability that a hidden joint is missing."""
    hidden_sigma: float = 2.0
    """How many times noisier the hidden joints are that neither snap nor are missing."""
    false_rate: float = 0.2
    """Mean number of false skeletons in a searched frame."""
    false_crop: float = 0.1
    """Part of the crops of nobody that give a false skeleton."""


@dataclass(slots=True)
class Scenes:
    """The true images of an arena's frame-sets, made once for all policies."""

    arena: TrafficArena
    """The game; cameras in step."""
    frames: int
    """How many frame-sets."""
    times_ns: Ints = field(init=False)
    """(T,) of the frame-sets."""
    uv: Floats = field(init=False)
    """(T, C, P, J, 2)."""
    front: Ints = field(init=False)
    """(T, C, P, J) who hides a joint, -1 nobody."""
    present: Bools = field(init=False)
    """(T, P)."""

    def __post_init__(self) -> None:
        """Make all images."""
        index = np.arange(self.frames, dtype=np.int64)
        self.times_ns = self.arena.capture_times_ns(index).max(axis=1)
        chunks = [self.arena.images(index[i : i + CHUNK]) for i in range(0, self.frames, CHUNK)]
        focal = self.arena.rig.K[:, 0, 0]
        self.front = np.concatenate([occluders(uv, depth, focal) for uv, depth in chunks])
        self.uv = np.concatenate([uv for uv, _ in chunks])
        self.present = self.arena.present(self.times_ns)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said about a frame."""

    keypoints: NDArray[np.float32]
    """(N, J, 3)."""
    cost_ms: float
    """What it cost."""


class Inference:
    """Answers requests about frames; equal requests get equal answers."""

    def __init__(
        self, scenes: Scenes, detector: Detector, crop: CropModel, flaws: Flaws | None = None
    ) -> None:
        self.scenes, self.detector, self.crop = scenes, detector, crop
        self.flaws = flaws if flaws is not None else Flaws()
        self.size = scenes.arena.rig.size

    def detect(self, frame: int, camera: int) -> Answer:
        """Search a frame."""
        rng = self._rng(frame, camera, 0)
        uv, seen, height = self._view(frame, camera)
        detector = self.detector
        points = np.array([(0.0, 0.0), *detector.recall])
        found = rng.random(len(uv)) < np.interp(height * detector.scale, *points.T)
        found &= seen.sum(axis=1) >= LEAST_JOINTS
        sigma = np.hypot(detector.error * height, detector.input_error_px / detector.scale)
        keypoints = self._keypoints(frame, camera, sigma, seen, rng)
        invented = self._inventions(uv, camera, rng)
        return Answer(np.concatenate([keypoints[found], invented]), detector.ms)

    def pose(self, frame: int, camera: int, boxes_px: Floats) -> Answer:
        """Pose one person in each of the boxes (N, 4); who is found twice is given once."""
        rng = self._rng(frame, camera, 1)
        uv, seen, height = self._view(frame, camera)
        part = np.array(self.crop.error)
        sigma = np.interp(height, part[:, 0], part[:, 1]) * height
        keypoints = self._keypoints(frame, camera, sigma, seen, rng)
        missed = rng.random(len(uv)) < self.crop.miss
        taken: set[int] = set()
        out = []
        for box in boxes_px:
            middle, side = _crop(box)
            person = _shown(uv, seen, middle, side, rng)
            if person is None:
                if rng.random() < self.flaws.false_crop:
                    out.append(_nobody(middle, side, rng))
                continue
            if person in taken or missed[person]:
                continue
            taken.add(person)
            gap = np.abs(keypoints[person, :, :2] - middle).max(axis=-1)
            inside = np.asarray(gap < side / 2)
            if inside.sum() >= LEAST_JOINTS:
                out.append(np.where(inside[:, None], keypoints[person], 0.0))
        stacked = np.stack(out) if out else np.empty((0, uv.shape[1], 3))
        return Answer(stacked.astype(np.float32), self.crop.ms * len(boxes_px))

    def _rng(self, frame: int, camera: int, kind: int) -> np.random.Generator:
        return np.random.default_rng([self.scenes.arena.options.seed, 5, frame, camera, kind])

    def _view(self, frame: int, camera: int) -> tuple[Floats, Bools, Floats]:
        """Everybody's true image, which joints lie in it, and heights."""
        uv = self.scenes.uv[frame, camera]
        with np.errstate(invalid="ignore"):
            seen = np.asarray(((uv >= 0) & (uv < self.size[camera])).all(axis=-1))
        seen &= self.scenes.present[frame][:, None]
        v = np.where(seen, uv[..., 1], np.nan)
        height = np.nan_to_num(np.fmax.reduce(v, axis=1) - np.fmin.reduce(v, axis=1))
        return uv, seen, np.asarray(height * 1.12)

    def _keypoints(
        self, frame: int, camera: int, sigma: Floats, seen: Bools, rng: np.random.Generator
    ) -> Floats:
        """Everybody as a model with these errors (P,) would see them: (P, J, 3)."""
        flaws, uv, front = (
            self.flaws,
            self.scenes.uv[frame, camera],
            self.scenes.front[frame, camera],
        )
        hidden = front >= 0
        choice = rng.random(front.shape)
        snapped = hidden & (choice < flaws.snap)
        dropped = hidden & (choice >= flaws.snap) & (choice < flaws.snap + flaws.drop)
        place = uv.copy()
        p, j = np.nonzero(snapped)
        place[p, j] = uv[front[p, j], j]
        spread = np.exp(0.2 * rng.standard_normal(front.shape)) / np.exp(0.04)
        factor = np.where(hidden, flaws.hidden_sigma, 1.0) * spread
        noise = rng.standard_normal((*front.shape, 2))
        measured = place + (sigma[:, None] * factor)[..., None] * noise
        told = np.where(snapped, 1.2, factor) * np.exp(0.15 * rng.standard_normal(front.shape))
        confidence = np.clip(1.0 - 0.28 * told, 0.05, 0.99)
        out = np.concatenate([measured, confidence[..., None]], axis=-1)
        out[dropped | ~seen | (rng.random(front.shape) < flaws.joint_miss)] = 0.0
        return np.asarray(np.nan_to_num(out))

    def _inventions(self, uv: Floats, camera: int, rng: np.random.Generator) -> Floats:
        """False skeletons: somebody's true shape somewhere else."""
        out = [np.empty((0, uv.shape[1], 3))]
        for _ in range(rng.poisson(self.flaws.false_rate)):
            shape = uv[rng.integers(len(uv))]
            if not np.isfinite(shape).all():
                continue
            moved = shape - shape.mean(axis=0) + rng.uniform(0.0, 1.0, 2) * self.size[camera]
            confidence = np.clip(rng.uniform(0.2, 0.75) + rng.normal(0, 0.1, len(uv[0])), 0.05, 1.0)
            out.append(np.concatenate([moved, confidence[:, None]], axis=-1)[None])
        return np.concatenate(out)


def _crop(box: Floats) -> tuple[Floats, float]:
    """Middle and side of the square around a box."""
    middle = 0.5 * (box[:2] + box[2:])
    return middle, CROP_MARGIN / 1.12 * float((box[2:] - box[:2]).max())


def _shown(
    uv: Floats, seen: Bools, middle: Floats, side: float, rng: np.random.Generator
) -> int | None:
    """Whom a crop shows."""
    able = np.flatnonzero(seen.sum(axis=1) >= LEAST_JOINTS)
    draw = rng.random()
    if not len(able):
        return None
    low, high = np.nanmin(uv[able], axis=1), np.nanmax(uv[able], axis=1)
    distance = np.linalg.norm(0.5 * (low + high) - middle, axis=1) / side
    if distance.min() > NOBODY:
        return None
    weight = np.exp(-((distance / BLUNDER) ** 2) + (distance.min() / BLUNDER) ** 2)
    chosen = int(np.searchsorted(np.cumsum(weight) / weight.sum(), draw))
    return int(able[min(chosen, len(able) - 1)])


def _nobody(middle: Floats, side: float, rng: np.random.Generator) -> Floats:
    """A skeleton where there is nobody."""
    place = middle + 0.25 * side * rng.standard_normal((17, 2))
    return np.concatenate([place, rng.uniform(0.05, 0.4, (17, 1))], axis=-1)


def boxes_of(poses: Sequence[tuple[float, float, float, float]]) -> Floats:
    """Boxes as an array (N, 4)."""
    return np.array(poses, dtype=np.float64).reshape(-1, 4)
