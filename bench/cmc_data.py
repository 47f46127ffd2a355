"""The shared CMC sequences: four cameras, boxes of a detector, ground truth, and their scorer.

CMC1 and CMC2 (Ong et al., "A Bayesian filter for multi-view 3D multi-object tracking with occlusion
handling", TPAMI 2022): 3 and 10 people in a room, 261 frames at 4 a second. Boxes have no points of
the body, so `boxes_to_points` makes a skeleton of three: a person stands upright, so the box's top
and bottom edges cut the image of the vertical through its centre where head and feet are.
"""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Floats, Keypoints
from tipoff.errors import NotFoundError

if TYPE_CHECKING:
    import accel

SEQUENCES = ("CMC1", "CMC2")
FPS = 4.0
NS = 1_000_000_000
SIZE = (1920, 1024)
"""Width and height of the images, pixels."""
AREA_M = ((2.03, 6.3), (0.0, 3.41))
"""Where people count, x and y: the limits of the authors' own tracker."""
EDGE_PX = 3.0
"""A box that comes this near to the image's edge is cut there."""
LOWER_PX = 5.0
"""Whose box reaches less than this farther down is not known to be nearer."""
CONFIDENCE = 0.9
"""The detector's own confidences are not among the data."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One sequence as it lies in the shared folder."""

    name: str
    """CMC1 or CMC2."""
    names: tuple[str, ...]
    """(C,) cameras."""
    P: Floats
    """(C, 3, 4) world metres to pixels."""
    boxes: dict[int, list[Floats]]
    """Frame number to each camera's boxes (N, 4): left, top, width, height, pixels."""
    truth: dict[int, dict[int, Floats]]
    """Frame number to each person's centroid, metres."""
    scorer: ModuleType
    """The shared eval_cmc.py."""

    def rig(self) -> accel.Rig:
        """The cameras as the tracker takes them: K, R and t of each P, no distortion."""
        import accel

        parts = [decompose(p) for p in self.P]
        K, R, t = (np.stack([part[i] for part in parts]) for i in range(3))
        size = np.tile(np.array(SIZE, dtype=np.int64), (len(parts), 1))
        return accel.Rig(self.names, K, np.zeros((len(parts), 5)), R, t, size)

    def score(self, predicted: dict[int, list[list[float]]]) -> dict[str, float]:
        """The shared scorer's figures of frame -> [id, x, y, z], over these frames alone."""
        truth = {frame: people for frame, people in self.truth.items() if frame in predicted}
        found: dict[str, float] = self.scorer.evaluate(truth, predicted)
        return found


def decompose(projection: Floats) -> tuple[Floats, Floats, Floats]:
    """K (3, 3) with positive diagonal and K[2, 2] = 1, R and t of a 3x4 P (any scale).

    RQ decomposition of the left 3x3 block (Hartley and Zisserman 2003, A4.1.1).
    """
    p = projection * np.sign(np.linalg.det(projection[:, :3]))
    q, r = np.linalg.qr(p[::-1, :3].T)
    K, R = r.T[::-1, ::-1], q.T[::-1]
    signs = np.sign(np.diag(K))
    K, R = K * signs, signs[:, None] * R
    t = np.linalg.solve(K, p[:, 3])
    return K / K[2, 2], R, t


def box_skeleton() -> accel.Skeleton:
    """Top, centre and bottom of an upright person; its height is learned as limb lengths are."""
    import accel

    return accel.Skeleton(
        name="box3",
        joints=("top", "centre", "bottom"),
        edges=((0, 1), (1, 2)),
        limbs=((0, 1), (1, 2)),
        mirror=(0, 1, 2),
        trunk=(0, 1, 2),
        parents=(1, -1, 1),
    )


def boxes_to_points(boxes: Floats, projection: Floats) -> Keypoints:
    """Boxes (N, 4) of a camera with P -> keypoints (N, 3, 3) of `box_skeleton`.

    Points that the image's edge cut off are missing: the bottom or top there, and the centre. So
    are bottom and centre of a box that ends behind a nearer one: there its edge is often where the
    other begins, not the feet.
    """
    down = projection[:, 2] * -np.sign(projection[2, 2] or 1.0)
    left, top, width, height = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    right, bottom = left + width, top + height
    u, v = (left + right) / 2, (top + bottom) / 2
    # The vanishing point of the vertical, in homogeneous pixels; a line through it and the centre.
    du, dv = down[0] - u * down[2], down[1] - v * down[2]
    slope = np.where(np.abs(dv) > 1e-9, du / np.where(np.abs(dv) > 1e-9, dv, 1.0), 0.0)
    points = np.zeros((len(u), 3, 3))
    for joint, row in enumerate((top, v, bottom)):
        points[:, joint, 0] = np.clip(u + slope * (row - v), left, right)
        points[:, joint, 1] = row
        points[:, joint, 2] = CONFIDENCE
    cut_top, cut_bottom = top < EDGE_PX, bottom > SIZE[1] - EDGE_PX
    cut_bottom |= ends_behind(np.stack([left, top, right, bottom], axis=1))
    points[cut_top, 0] = 0.0
    points[cut_bottom, 2] = 0.0
    points[cut_top | cut_bottom, 1] = 0.0
    return points.astype(np.float32)


def ends_behind(corners: Floats) -> NDArray[np.bool_]:
    """Whether the middle of each box's bottom edge lies in a box that reaches farther down.

    Cameras look down on a floor: of two people the one whose feet are lower in the image is nearer.

    Args:
        corners: (N, 4) left, top, right, bottom of each box, pixels.
    """
    left, top, right, bottom = corners.T
    u = (left + right)[:, None] / 2
    inside = (left < u) & (u < right) & (top < bottom[:, None])
    return np.asarray((inside & (bottom > bottom[:, None] + LOWER_PX)).any(axis=1))


def load(folder: Path, name: str) -> Sequence:
    """Read one sequence.

    Raises:
        NotFoundError: It is not in `folder`/data/cmc.
    """
    data = folder / "data" / "cmc"
    if not (data / name).is_dir():
        raise NotFoundError(
            f"there is no sequence {name} in {data}; say where the shared data lies by TIPOFF_DATA "
            "or suite.data=FOLDER",
            folder=str(folder),
        )
    matrices = json.loads((data / "cam_mat.json").read_text(encoding="utf-8"))
    names = tuple(sorted(key.split("_")[0] for key in matrices))
    scorer = _scorer(folder / "eval" / "eval_cmc.py")
    seen = [scorer.load_detections(data / name / f"detections_{camera}.txt") for camera in names]
    truth = scorer.load_tracks(data / name / "ground_truth.txt")
    frames = sorted(set(truth).union(*seen))
    nothing = np.zeros((0, 4))
    return Sequence(
        name=name,
        names=names,
        P=np.array([matrices[f"{camera}_cam_mat.mat"] for camera in names], dtype=np.float64),
        boxes={frame: [boxes.get(frame, nothing) for boxes in seen] for frame in frames},
        truth=truth,
        scorer=scorer,
    )


def shared_folder(configured: str = "") -> Path:
    """The shared data: as configured, TIPOFF_DATA, or beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    return Path(configured or os.environ.get("TIPOFF_DATA", beside))


def _scorer(path: Path) -> ModuleType:
    """The shared scorer, from where it lies."""
    spec = importlib.util.spec_from_file_location("eval_cmc", path)
    if spec is None or spec.loader is None or not path.exists():
        raise NotFoundError(f"the scorer {path} is not there", path=str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
