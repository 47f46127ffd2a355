"""Small recorded games with ground truth, made without the benches' simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accel import COCO17, Rig
from accel.reference import Recording
from tests.support.rigs import ring_rig

NS = 1_000_000_000
FPS = 60.0

_POSE = np.array(
    [
        [0.10, 0.00, 1.70], [0.08, 0.03, 1.74], [0.08, -0.03, 1.74], [0.0, 0.07, 1.72],
        [0.0, -0.07, 1.72], [0.0, 0.19, 1.46], [0.0, -0.19, 1.46], [0.05, 0.25, 1.17],
        [0.05, -0.25, 1.17], [0.22, 0.22, 1.02], [0.22, -0.22, 1.02], [0.0, 0.13, 0.95],
        [0.0, -0.13, 0.95], [0.04, 0.14, 0.52], [0.04, -0.14, 0.52], [0.0, 0.14, 0.08],
        [0.0, -0.14, 0.08],
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Game:
    """A rig, what it recorded, and where everybody was."""

    rig: Rig
    recording: Recording
    truth_m: NDArray[np.float64]
    """(T, P, J, 3) at the steps' times."""


def joints_at(time_s: NDArray[np.floating[Any]], people: int) -> NDArray[np.float64]:
    """Rigid bodies (..., P, J, 3) that walk in circles, turn and bob."""
    t = time_s[..., None]
    p = np.arange(people)
    turn = 0.9 * t + 2.1 * p
    centre = np.stack(
        (1.2 * np.cos(turn) + 0.4 * p - 0.4, 1.2 * np.sin(turn), 0.05 * np.sin(7 * t + p)), axis=-1
    )
    heading = turn + np.pi / 2 + 0.5 * np.sin(3 * t + p)
    c, s = np.cos(heading)[..., None], np.sin(heading)[..., None]
    x = c * _POSE[:, 0] - s * _POSE[:, 1]
    y = s * _POSE[:, 0] + c * _POSE[:, 1]
    body = np.stack((x, y, np.broadcast_to(_POSE[:, 2], x.shape)), axis=-1)
    return np.asarray(centre[..., None, :] + body)


def game(  # noqa: PLR0917
    seed: int = 1,
    steps: int = 120,
    cameras: int = 4,
    people: int = 2,
    wrong: float = 0.05,
    missing: float = 0.1,
    offset_ms: float = 0.0,
    readout_ms: float = 0.0,
    flips: float = 0.0,
    sigma_px: float = 2.0,
) -> Game:
    """A game with noise, wrong joints, missing joints, late cameras and mirrored detections."""
    rng = np.random.default_rng(seed)
    base = ring_rig(cameras)
    rig = Rig(
        base.names, base.K, base.dist, base.R, base.t, base.size, np.full(cameras, readout_ms)
    )
    step_time = np.round(np.arange(steps) * NS / FPS).astype(np.int64)
    late = np.round(rng.uniform(-0.5, 0.5, cameras) * offset_ms * 1e6).astype(np.int64)
    capture = step_time[:, None] + late
    keypoints = np.zeros((steps, cameras, people, 17, 3), dtype=np.float32)
    height = rig.size[:, 1]
    for c in range(cameras):
        uv = rig.project(joints_at(capture[:, c] * 1e-9, people))[..., c, :]
        if readout_ms:
            for _ in range(3):
                rows = capture[:, c, None, None] * 1e-9 + 1e-3 * readout_ms * uv[..., 1] / height[c]
                there = joints_at(rows, people)
                own = np.stack(
                    [
                        np.stack([there[:, p, j, p, j] for j in range(17)], axis=1)
                        for p in range(people)
                    ],
                    axis=1,
                )
                uv = rig.project(own)[..., c, :]
        keypoints[:, c, ..., :2] = uv
    keypoints[..., :2] += rng.normal(0, sigma_px, keypoints[..., :2].shape)
    off = rng.random(keypoints.shape[:-1]) < wrong
    keypoints[..., :2] += np.where(off[..., None], rng.normal(0, 80, (*off.shape, 2)), 0)
    keypoints[..., 2] = rng.uniform(0.6, 0.9, off.shape)
    keypoints[rng.random(off.shape) < missing] = 0.0
    flip = rng.random(off.shape[:3]) < flips
    keypoints[flip] = keypoints[flip][:, list(COCO17.mirror)]
    truth = joints_at(step_time * 1e-9, people)
    return Game(rig, Recording(step_time, capture, keypoints), truth)
