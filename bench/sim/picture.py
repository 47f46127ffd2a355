"""A picture of the arena as one camera would see it: figures on a court, for models to look at.

No more than a mannequin each; it exists so that the cost of a model is measured on a frame with
people in it, the same on every machine, without a video at hand.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.arrays import Floats
from bench.sim.arena import Arena
from bench.sim.options import COURT_LENGTH_M, COURT_WIDTH_M

FLOOR_RGB = (196, 152, 104)
SKIN_RGB = (214, 170, 140)
SHIRTS_RGB = ((180, 30, 40), (30, 60, 170), (60, 60, 60))
_PARTS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))
_MARGIN = 0.15


def draw(arena: Arena, frame: int, camera: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One camera's frame, uint8 (H, W, 3) RGB, and boxes float32 (N, 4) around who is in it."""
    width, height = (int(n) for n in arena.rig.size[camera])
    noise = np.random.default_rng([arena.options.seed, frame, camera]).integers(20, 60, 8)
    picture = np.full((height, width, 3), int(noise[0]), np.uint8)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [
        COURT_LENGTH_M / 2,
        COURT_WIDTH_M / 2,
    ]
    floor, _ = arena.rig.project(np.column_stack([corners, np.zeros(4)])[None])
    if np.isfinite(floor[camera]).all():
        cv2.fillConvexPoly(picture, floor[camera].astype(np.int32), FLOOR_RGB, cv2.LINE_AA)
    uv, depth = arena.images(np.array([frame]))
    order = np.argsort(-depth[0, camera].mean(axis=1))
    boxes = []
    for person in order:
        joints = uv[0, camera, person]
        if np.isfinite(joints).all():
            scale = float(arena.rig.K[camera, 0, 0] / depth[0, camera, person].mean())
            _figure(picture, joints, scale, SHIRTS_RGB[int(person) % 3])
            boxes.append(_box(joints))
    return picture, _within(np.array(boxes, np.float32).reshape(-1, 4), width, height)


def _figure(
    picture: NDArray[np.uint8], joints: Floats, scale: float, shirt: tuple[int, int, int]
) -> None:
    """Limbs as thick lines, the trunk as a quadrilateral, the head as a disc."""
    points = np.round(joints).astype(np.int32)
    for a, b in _PARTS:
        thick = max(1, int(0.13 * scale))
        cv2.line(picture, points[a].tolist(), points[b].tolist(), SKIN_RGB, thick, cv2.LINE_AA)
    trunk = points[[5, 6, 12, 11]]
    cv2.fillConvexPoly(picture, cv2.convexHull(trunk), shirt, cv2.LINE_AA)
    cv2.polylines(picture, [trunk], True, shirt, max(1, int(0.12 * scale)), cv2.LINE_AA)
    head = joints[[3, 4]].mean(axis=0)
    cv2.circle(picture, np.round(head).astype(int).tolist(), int(0.13 * scale), SKIN_RGB, -1)


def _box(joints: Floats) -> Floats:
    low, high = joints.min(axis=0), joints.max(axis=0)
    margin = _MARGIN * (high - low)
    return np.concatenate([low - margin, high + margin])


def _within(boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Only the boxes whose middle is in the picture."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return boxes[(x > 0) & (x < width) & (y > 0) & (y < height)]
