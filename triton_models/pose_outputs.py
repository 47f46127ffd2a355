"""From the outputs of a pose model for crops to joints in pixels of the crop, one layout each.

Every function takes the outputs by role, for N crops, and gives float32 (N, J, 3): x, y in the
model's own coordinates and a confidence 0..1; NaN, NaN, 0 where there is no joint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from accel.decode import single
from accel.skeleton import COCO17
from triton_models.weights.manifest import Crop, Layout

Outputs: TypeAlias = Mapping[str, NDArray[np.float32]]
Joints: TypeAlias = NDArray[np.float32]

JOINTS = len(COCO17.joints)

QUARTER = 0.25
"""A heatmap's peak leans towards its larger neighbour by this part of a cell."""


def movenet(outputs: Outputs, _crop: Crop) -> Joints:
    """The heads of a single-person MoveNet."""
    heads = [outputs[role] for role in ("heat", "center", "regress", "offset")]
    poses = [single(*each) for each in zip(*heads, strict=True)]
    return np.stack(poses) if poses else np.empty((0, 17, 3), np.float32)


def simcc(outputs: Outputs, crop: Crop) -> Joints:
    """A classification along each axis (Li et al.: "SimCC", 2022): x (N, J, W), y (N, J, H).

    A joint is as sure as the less sure of its two coordinates.
    """
    across, down = _finite(outputs["x"]), _finite(outputs["y"])
    x = across.argmax(axis=2) * (crop.width_px / across.shape[2])
    y = down.argmax(axis=2) * (crop.height_px / down.shape[2])
    return _joints(x, y, np.minimum(across.max(axis=2), down.max(axis=2)))


def heatmap(outputs: Outputs, crop: Crop) -> Joints:
    """One map a joint: heatmap (N, J, h, w) or (N, h, w, J), told by which axis counts joints."""
    maps = _finite(outputs["heatmap"])
    if maps.shape[1] != JOINTS:
        maps = maps.transpose(0, 3, 1, 2)
    count, joints, height, width = maps.shape
    flat = maps.reshape(count, joints, -1)
    i, j = np.divmod(flat.argmax(axis=2), width)
    x = (j + _lean(maps, i, j, (0, 1))) * (crop.width_px / width)
    y = (i + _lean(maps, i, j, (1, 0))) * (crop.height_px / height)
    return _joints(x, y, flat.max(axis=2))


def keypoints(outputs: Outputs, crop: Crop) -> Joints:
    """Joints as they are: keypoints (N, J, 3) or (N, 1, J, 3)."""
    values = outputs["keypoints"]
    values = values.reshape(values.shape[0], *values.shape[-2:])
    order, unit = (crop.joints or "xy-px").split("-")
    first, second = values[..., 0], values[..., 1]
    x, y = (first, second) if order == "xy" else (second, first)
    if unit == "unit":
        x, y = x * np.float32(crop.width_px), y * np.float32(crop.height_px)
    return _joints(x, y, _finite(values[..., 2]))


DECODERS: Mapping[Layout, Callable[[Outputs, Crop], Joints]] = {
    "movenet-single-heads": movenet,
    "simcc": simcc,
    "heatmap": heatmap,
    "keypoints": keypoints,
}
"""The layouts of models for crops."""


def _joints(x: NDArray[np.floating], y: NDArray[np.floating], sure: Joints) -> Joints:
    found = np.isfinite(x) & np.isfinite(y) & (sure > 0.0)
    joints = np.stack([x, y, np.clip(sure, 0.0, 1.0)], axis=-1).astype(np.float32)
    joints[~found] = (np.nan, np.nan, 0.0)
    return joints


def _lean(
    maps: NDArray[np.float32], i: NDArray[np.intp], j: NDArray[np.intp], axis: tuple[int, int]
) -> NDArray[np.float64]:
    """A quarter cell towards the larger neighbour along an axis; none at the border."""
    height, width = maps.shape[2:]
    after, before = (i + axis[0], j + axis[1]), (i - axis[0], j - axis[1])
    inside = (before[0] >= 0) & (before[1] >= 0) & (after[0] < height) & (after[1] < width)
    n, k = np.ogrid[: maps.shape[0], : maps.shape[1]]
    values = [
        maps[n, k, np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        for row, column in (after, before)
    ]
    return np.where(inside, QUARTER * np.sign(values[0] - values[1]), 0.0)


def _finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Numbers that are not finite become 0: they are evidence of nothing."""
    return np.where(np.isfinite(values), values, np.float32(0.0)).astype(np.float32)
