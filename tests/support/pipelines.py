"""A pipeline without a server: people who walk before a ring of cameras, seen without a model."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accel import COCO17, Rig
from edge_node.frames import CameraFrame, TrackedFrame
from edge_node.inference import (
    Detect,
    Found,
    PoseCrops,
    PoseRegion,
    StageTimes,
    Task,
)
from edge_node.pictures import ArrayPicture
from tests.support.rigs import ring_rig
from tipoff.errors import UnavailableError

J = len(COCO17.joints)
PERIOD_NS = 16_666_667
IMAGE = ArrayPicture(np.zeros((1080, 1920, 3), np.uint8))


@dataclass(frozen=True, slots=True)
class Walkers:
    """People who walk in circles, and what a camera sees of them."""

    rig: Rig = field(default_factory=lambda: ring_rig(4))
    people: int = 3
    noise_px: float = 1.0

    def joints_m(self, time_ns: int) -> NDArray[np.float64]:
        """Everybody's joints, (people, J, 3)."""
        rng = np.random.default_rng(11)
        bodies = rng.normal([0.0, 0.0, 1.0], [0.2, 0.2, 0.45], (self.people, J, 3))
        angle = time_ns * 1e-9 + np.arange(self.people) * 2 * np.pi / self.people
        steps = np.stack([3 * np.cos(angle), 2 * np.sin(angle), np.zeros(self.people)], axis=-1)
        joints: NDArray[np.float64] = bodies + steps[:, None, :]
        return joints

    def seen(self, frame: CameraFrame) -> NDArray[np.float32]:
        """Keypoints (people, J, 3) of a frame, the same ones every time."""
        rng = np.random.default_rng((frame.camera, frame.index))
        uv = self.rig.project(self.joints_m(frame.capture_time_ns))[:, :, frame.camera]
        uv = uv + rng.normal(0.0, self.noise_px, uv.shape)
        return np.concatenate([uv, np.full((*uv.shape[:2], 1), 0.9)], axis=-1).astype(np.float32)


class WalkerSource:
    """One camera of the walkers."""

    dropped = 0

    def __init__(self, walkers: Walkers, camera: int, count: int, shift_ns: int = 0) -> None:
        self.camera, self.name = camera, walkers.rig.names[camera]
        self._count, self._shift_ns = count, shift_ns

    @property
    def total(self) -> int:
        """How many frames there will be."""
        return self._count

    def frames(self) -> Iterator[CameraFrame]:
        """Give them."""
        for index in range(self._count):
            time_ns = index * PERIOD_NS + self._shift_ns
            yield CameraFrame(self.camera, self.name, time_ns, index, IMAGE)


class WalkerInference:
    """Finds the walkers in what it is asked about, after a random while."""

    def __init__(self, walkers: Walkers, seed: int = 0, slow_s: float = 0.002) -> None:
        self.walkers, self.dice, self._slow_s = walkers, random.Random(seed), slow_s
        self._pool = ThreadPoolExecutor(4)
        self.times = StageTimes()
        self.asked: list[tuple[int, int, tuple[Task, ...]]] = []
        self.failing = False

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown()

    def submit(self, frame: CameraFrame, tasks: Sequence[Task]) -> Future[Found]:
        """Begin to look."""
        self.asked.append((frame.camera, frame.index, tuple(tasks)))
        return self._pool.submit(self._look, frame, tasks, self.dice.random() * self._slow_s)

    def _look(self, frame: CameraFrame, tasks: Sequence[Task], wait_s: float) -> Found:
        time.sleep(wait_s)
        if self.failing:
            raise UnavailableError("the models do not answer")
        parts = [self._answer(frame, task) for task in tasks]
        return Found(
            np.concatenate(parts),
            np.full(sum(len(part) for part in parts), 0.9, np.float32),
            np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        )

    def _answer(self, frame: CameraFrame, task: Task) -> NDArray[np.float32]:
        seen = self.walkers.seen(frame)
        middle = seen[..., :2].mean(axis=1)
        match task:
            case Detect():
                return seen
            case PoseRegion(scale, region_px):
                x0, y0, x1, y1 = np.array(region_px) / scale
                inside = (middle >= (x0, y0)) & (middle <= (x1, y1))
                found: NDArray[np.float32] = seen[np.all(inside, axis=1)]
                return found
            case PoseCrops(boxes_px=boxes):
                centres = (boxes[:, :2] + boxes[:, 2:]) / 2
                gaps = np.linalg.norm(middle[None] - centres[:, None], axis=-1)
                nearest: NDArray[np.float32] = seen[np.argmin(gaps, axis=1)]
                return nearest


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.frames: list[TrackedFrame] = []
        self.closed = 0

    def write(self, frame: TrackedFrame) -> None:
        """Keep a frame."""
        self.frames.append(frame)

    def close(self) -> None:
        """Count how often."""
        self.closed += 1
