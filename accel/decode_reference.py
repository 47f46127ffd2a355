"""What `accel.decode` computes, in plain NumPy: slow, short, and the oracle of its tests.

Both read the heads of MoveNet (CenterNet; Zhou, Wang, Krähenbühl: "Objects as Points", 2019) as
the published models do inside their graphs, without their limits of six people and 256 px. They
differ in one thing: there a joint's confidence is the largest that any candidate at the same cell
has, here it is the person's own. All sums, products and exponentials are taken in float64 in the
same order in both.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

STRIDE_PX = 4
"""Input pixels a cell of the heads."""

PEAK_RADIUS = 2
"""A peak is the largest within this many cells: a 5x5 neighbourhood."""

PEAK_TOLERANCE = 1e-6
"""Two cells of a plateau may differ by this much and both be its peak."""

SPREAD = 0.3
"""Variance, in sides of the heads, of where a joint is looked for around its regressed place."""

CENTER_SOFTNESS = 1.8
"""Cells added to a distance before it divides, in the single-person model."""

JOINT_FLOOR = 0.127
"""Joints of less confidence do not count towards a person's score."""

FAR_PX = 1e6
"""A joint further away than this was not found: no input is that large."""

PEAKS_PER_PERSON = 4
"""Peaks looked at for each person that may be returned; bounds the work on a noisy head."""

# Spread of how people mark each joint, as a fraction of the person's size (COCO's evaluation).
SIGMAS = (
    np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float64)
    / 1000.0
)


Box: TypeAlias = tuple[float, float, float, float]
"""y0, x0, y1, x1 in cells."""

Person: TypeAlias = tuple[float, Box, NDArray[np.float64]]
"""Score, box, joints (17, 3)."""


def people(  # noqa: PLR0913 - the six heads of one model
    heat: NDArray[np.float32],
    center: NDArray[np.float32],
    regress: NDArray[np.float32],
    offset: NDArray[np.float32],
    scale: NDArray[np.float32],
    boxoff: NDArray[np.float32],
    *,
    threshold: float = 0.15,
    max_people: int = 64,
    nms_oks: float = 0.6,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """See `accel.decode.people`."""
    cells = _peaks(center[..., 0], threshold)[: PEAKS_PER_PERSON * max_people]
    found = []
    for y, x in cells:
        box = _box(scale, boxoff, y, x)
        if box is None:
            continue
        joints = _joints(heat, regress, offset, (y, x), box)
        score = _score(min(float(center[y, x, 0]), 1.0), joints)
        if score > 0.0 and score >= threshold:
            found.append((score, box, joints))
    found.sort(key=lambda person: -person[0])
    kept = _suppress(found, max_people, nms_oks)
    boxes = np.array([_to_xyxy(box) for _, box, _ in kept], np.float32).reshape(-1, 4)
    keypoints = np.array([joints for _, _, joints in kept], np.float32).reshape(-1, 17, 3)
    return boxes, keypoints, np.array([score for score, _, _ in kept], np.float32)


def crop_resize(
    frame: NDArray[np.uint8],
    region: tuple[float, float, float, float],
    height_px: int,
    width_px: int,
) -> NDArray[np.float32]:
    """See `accel.decode.crop_resize`."""
    down = _triangles(region[1], region[3], height_px, frame.shape[0])
    across = _triangles(region[0], region[2], width_px, frame.shape[1])
    pixels: NDArray[np.float64] = np.einsum(
        "iy,yxc,jx->ijc", down, frame.astype(np.float64), across, optimize=True
    )
    return pixels.astype(np.float32)


def single(
    heat: NDArray[np.float32],
    center: NDArray[np.float32],
    regress: NDArray[np.float32],
    offset: NDArray[np.float32],
) -> NDArray[np.float32]:
    """See `accel.decode.single`."""
    height, width = heat.shape[:2]
    rows, columns = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
    near = _distance(rows, columns, height / 2, width / 2) + CENTER_SOFTNESS
    y, x = _argmax(_likely(center[..., 0]) / near)
    joints = np.full((17, 3), [np.nan, np.nan, 0.0])
    for k in range(17):
        aim = _aim(regress, y, x, k)
        likely = _likely(heat[..., k])
        values = _finite(likely / (_distance(rows, columns, *aim) + CENTER_SOFTNESS))
        i, j = _argmax(values)
        if values[i, j] > 0.0:
            joints[k] = _place(offset, i, j, k, likely[i, j])
    return joints.astype(np.float32)


def _score(center: float, joints: NDArray[np.float64]) -> float:
    """How sure a person is: the centre's value times the mean confidence of its clear joints."""
    total, count = 0.0, 0
    for confidence in joints[:, 2]:
        if confidence > JOINT_FLOOR:
            total += float(confidence)
            count += 1
    return center * total / max(count, 1)


def _triangles(start: float, end: float, count: int, size: int) -> NDArray[np.float64]:
    """How much each of `size` pixels gives to each of `count`: (count, size).

    A triangle of one pixel of the coarser of the two images, so that shrinking averages and
    enlarging interpolates; at the frame's edge it is cut, and beyond it everything is black.
    """
    step = (end - start) / count
    support = max(step, 1.0)
    reach = math.ceil(support) + 1
    weights = np.zeros((count, size))
    for i in range(count):
        middle = start + (i + 0.5) * step
        taps = np.arange(math.floor(middle) - reach, math.floor(middle) + reach + 1)
        taps = taps[(taps >= 0) & (taps < size)]
        values = np.maximum(0.0, 1.0 - np.abs(taps + 0.5 - middle) / support)
        if 0.0 <= middle <= size:
            weights[i, taps] = values / values.sum()
    return weights


def _peaks(center: NDArray[np.float32], threshold: float) -> list[tuple[int, int]]:
    """Cells that are the largest of their neighbourhood, the best first, in order among equals."""
    clean = np.where(np.isfinite(center), np.minimum(center, 1.0), -np.inf).astype(np.float64)
    padded = np.pad(clean, PEAK_RADIUS, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * PEAK_RADIUS + 1,) * 2)
    largest = windows.max(axis=(2, 3))
    cells = np.argwhere((clean >= threshold) & (clean >= largest - PEAK_TOLERANCE))
    return [(int(y), int(x)) for y, x in sorted(cells, key=lambda cell: -clean[tuple(cell)])]


def _box(scale: NDArray[np.float32], boxoff: NDArray[np.float32], y: int, x: int) -> Box | None:
    """The person's box y0, x0, y1, x1 in cells within the heads; None where it is none."""
    height, width = scale.shape[:2]
    numbers = [float(v) for v in (*boxoff[y, x], *scale[y, x])]
    if not all(math.isfinite(v) for v in numbers):
        return None
    cy, cx = y + numbers[0], x + numbers[1]
    half_h, half_w = 0.5 * max(numbers[2], 0.0), 0.5 * max(numbers[3], 0.0)
    y0, y1 = (min(max(v, 0.0), float(height)) for v in (cy - half_h, cy + half_h))
    x0, x1 = (min(max(v, 0.0), float(width)) for v in (cx - half_w, cx + half_w))
    return (y0, x0, y1, x1) if math.ceil(y0) < y1 and math.ceil(x0) < x1 else None


def _joints(
    heat: NDArray[np.float32],
    regress: NDArray[np.float32],
    offset: NDArray[np.float32],
    peak: tuple[int, int],
    box: Box,
) -> NDArray[np.float64]:
    """Each joint where its heat, weighed by nearness to its regressed place, is largest in the box.

    Returns:
        (17, 3): u, v in input pixels and confidence; NaN, NaN, 0 where nothing was found.
    """
    top, left, bottom, right = (math.ceil(edge) for edge in box)
    rows, columns = np.arange(top, bottom), np.arange(left, right)
    spread = SPREAD * min(heat.shape[:2])
    joints = np.full((17, 3), [np.nan, np.nan, 0.0])
    for k in range(17):
        aim_y, aim_x = _aim(regress, *peak, k)
        nearness = np.outer(_bell(rows - aim_y, spread), _bell(columns - aim_x, spread))
        weighed = _finite(_likely(heat[top:bottom, left:right, k]) * nearness)
        i, j = _argmax(weighed)
        if weighed[i, j] > 0.0:
            joints[k] = _place(offset, top + i, left + j, k, weighed[i, j])
    return joints


def _aim(regress: NDArray[np.float32], y: int, x: int, k: int) -> tuple[float, float]:
    return y + float(regress[y, x, 2 * k]), x + float(regress[y, x, 2 * k + 1])


def _bell(distance: NDArray[Any], spread: float) -> NDArray[np.float64]:
    return np.array([math.exp(-(float(d) * float(d)) / spread) for d in distance])


def _place(
    offset: NDArray[np.float32], i: int, j: int, k: int, confidence: float
) -> tuple[float, float, float]:
    v = (i + float(offset[i, j, 2 * k])) * STRIDE_PX
    u = (j + float(offset[i, j, 2 * k + 1])) * STRIDE_PX
    found = abs(u) <= FAR_PX and abs(v) <= FAR_PX
    return (u, v, confidence) if found else (math.nan, math.nan, 0.0)


def _distance(
    rows: NDArray[np.float64], columns: NDArray[np.float64], y: float, x: float
) -> NDArray[np.float64]:
    return np.sqrt(((rows - y) ** 2)[:, None] + ((columns - x) ** 2)[None, :])


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers that are not finite become 0: they are evidence of nothing."""
    return np.where(np.isfinite(values), values, 0.0).astype(np.float64)


def _likely(values: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities: what is not finite is 0, and nothing is surer than sure."""
    return np.minimum(_finite(values), 1.0)


def _argmax(values: NDArray[np.float64]) -> tuple[int, int]:
    i, j = np.unravel_index(int(np.argmax(values)), values.shape)
    return int(i), int(j)


def _to_xyxy(box: Box) -> tuple[float, float, float, float]:
    y0, x0, y1, x1 = box
    return x0 * STRIDE_PX, y0 * STRIDE_PX, x1 * STRIDE_PX, y1 * STRIDE_PX


def _suppress(found: list[Person], max_people: int, nms_oks: float) -> list[Person]:
    """Drop whoever has nearly the joints of somebody with a better score."""
    kept: list[Person] = []
    for person in found:
        if len(kept) == max_people:
            break
        if all(_similarity(person, other) <= nms_oks for other in kept):
            kept.append(person)
    return kept


def _similarity(a: Person, b: Person) -> float:
    """Object keypoint similarity over the joints that both have, as COCO's evaluation defines it.

    The area is the mean of both boxes'.
    """
    area = 0.5 * (_area(a[1]) + _area(b[1]))
    total, shared = 0.0, 0
    for k in range(17):
        if a[2][k, 2] > 0.0 and b[2][k, 2] > 0.0:
            du, dv = a[2][k, 0] - b[2][k, 0], a[2][k, 1] - b[2][k, 1]
            total += math.exp(-(du * du + dv * dv) / (8.0 * SIGMAS[k] * SIGMAS[k] * area))
            shared += 1
    return total / shared if shared else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1]) * STRIDE_PX * STRIDE_PX
