"""How to pose the people whom the tracker expects in a frame: whom together, and how large.

A request about a region costs what its input has in pixels and a little more, so people are posed
together where one region is cheaper than two. The people model tells those apart who overlap; a
crop model poses one person, and with two in its crop sometimes the wrong one. Either way somebody
may be found twice, or in a neighbour's stead: `sift` keeps each person once.

A region is cut out of the scaled frame along a grid of the model's stride, and frames are scaled
by a few fixed factors only. So somebody who stands still is shown to the model in the same pixels
at the same place in every frame; regions that move and breathe with every prediction add their own
noise to the keypoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_node.inference import STRIDE_PX, Detect, Found, PoseCrops, PoseRegion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_node.inference import Task

REQUEST_PX = 6000
"""What a request costs beside its input, in pixels of input."""
SLIVER = 0.35
"""Part of a stride by which a region may be smaller than its boxes, whose margin is wider."""
SCALES_PER_OCTAVE = 4
"""Scales between a frame and one of half its size."""
MIN_BOX_PX = 12.0
"""An expected person of whom less than this is in the frame, in pixels, is not asked about."""
OWN_DISTANCE = 0.5
"""A detection is an expected person's within this distance, as part of the person's size."""

CROP_INPUT_PX = {"lightning": 192, "thunder": 256}
"""Input side of the crop models."""
CROP_INPUT_DEFAULT_PX = 256
"""Input side taken for crop models that a user added."""
CROP_MARGIN = 1.25
"""Side of a crop over the longer side of its box."""

REGIONS = "multipose"
"""The pose model that poses all people in a region at once."""
MIXED = "mixed"
"""Crops for people who stand alone, regions for those who overlap."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The people to pose in a frame, as the tracker predicts them; N of them, J joints."""

    boxes_px: NDArray[np.float64]
    """(N, 4): x0, y0, x1, y1 in source pixels; NaN for who is not in view."""
    keypoints_px: NDArray[np.float64]
    """(N, J, 2): u, v in source pixels; NaN where a joint has no image."""


@dataclass(frozen=True, slots=True)
class PoseOptions:
    """How people are posed."""

    model: str = REGIONS
    """``multipose``, ``lightning``, ``thunder``, an added model, or ``mixed``."""
    crop_model: str = "lightning"
    """What ``mixed`` poses people with who stand alone."""
    crop_px: int | None = None
    """Longer side of the crop model's input; None for the published ones."""
    person_px: float = 205.0
    """About how tall the box of a region's tallest person becomes in its input."""


def detect_task(size_px: tuple[int, int], longer_px: int) -> Detect:
    """Plan to search a whole frame.

    Args:
        size_px: Width and height of the frame.
        longer_px: Longer side of the input, a multiple of the stride.
    """
    scale = longer_px / max(size_px)
    width, height = (min(longer_px, strides(side * scale)) for side in size_px)
    return Detect(min(width / size_px[0], height / size_px[1]), (width, height))


def strides(side_px: float) -> int:
    """Round a side to the nearest multiple of the stride, to one at least."""
    return STRIDE_PX * max(1, round(side_px / STRIDE_PX))


def step_scale(scale: float) -> float:
    """Give the nearest of the fixed scales, at most 1."""
    step = round(math.log2(scale) * SCALES_PER_OCTAVE)
    return float(2.0 ** (min(step, 0) / SCALES_PER_OCTAVE))


def pose_tasks(people: Expected, size_px: tuple[int, int], options: PoseOptions) -> list[Task]:
    """Plan how to pose the expected people of a frame.

    Args:
        people: Whom the tracker expects.
        size_px: Width and height of the frame.
        options: How people are posed.
    """
    visible = in_frame(people.boxes_px, size_px)
    if not visible:
        return []
    if options.model not in (REGIONS, MIXED):
        return [crops_task(people.boxes_px, visible, options.model, options.crop_px)]
    groups = group_people(people.boxes_px, visible, size_px, options)
    alone: list[int] = []
    if options.model == MIXED:
        alone = [group[0] for group in groups if is_alone(people.boxes_px, group, visible)]
        groups = [group for group in groups if group[0] not in alone or len(group) > 1]
    tasks: list[Task] = []
    if alone:
        crop = crops_task(people.boxes_px, alone, options.crop_model, options.crop_px)
        tasks.append(crop)
    return tasks + [region_task(people.boxes_px, group, size_px, options) for group in groups]


def in_frame(boxes_px: NDArray[np.float64], size_px: tuple[int, int]) -> list[int]:
    """Give the indices of the boxes (N, 4) of which enough lies in the frame."""
    with np.errstate(invalid="ignore"):
        inside = np.minimum(boxes_px[:, 2:], size_px) - np.maximum(boxes_px[:, :2], 0.0)
        enough = np.all(inside >= MIN_BOX_PX, axis=1)
    return [int(index) for index in np.flatnonzero(enough)]


def is_alone(boxes_px: NDArray[np.float64], group: Sequence[int], others: Sequence[int]) -> bool:
    """Whether a group is one person whose box overlaps nobody's."""
    if len(group) > 1:
        return False
    mine = boxes_px[group[0]]
    theirs = boxes_px[[other for other in others if other != group[0]]]
    common = np.minimum(mine[2:], theirs[:, 2:]) - np.maximum(mine[:2], theirs[:, :2])
    return not bool(np.any(np.all(common > 0, axis=1)))


def crops_task(
    boxes_px: NDArray[np.float64], people: Sequence[int], model: str, crop_px: int | None
) -> PoseCrops:
    """Plan to pose people one by one."""
    chosen = boxes_px[list(people)]
    input_px = crop_px or CROP_INPUT_PX.get(model, CROP_INPUT_DEFAULT_PX)
    sides = (chosen[:, 2:] - chosen[:, :2]).max(axis=1) * CROP_MARGIN
    scale = step_scale(float(input_px / sides.min()))
    return PoseCrops(scale, chosen.astype(np.float32), model, tuple(people))


def region_task(
    boxes_px: NDArray[np.float64],
    people: Sequence[int],
    size_px: tuple[int, int],
    options: PoseOptions,
) -> PoseRegion:
    """Plan to pose people at once, the tallest of them about ``person_px`` tall."""
    boxes = boxes_px[list(people)]
    tallest = float((boxes[:, 2:] - boxes[:, :2]).max())
    scale = step_scale(options.person_px / tallest)
    cells = boxes * scale / STRIDE_PX
    last = [math.ceil(side * scale / STRIDE_PX) for side in size_px]
    low = [max(0, math.floor(edge + SLIVER)) for edge in cells[:, :2].min(axis=0)]
    high = [
        min(n, math.ceil(edge - SLIVER))
        for n, edge in zip(last, cells[:, 2:].max(axis=0), strict=True)
    ]
    x0, y0 = (min(edge, n - 1) for edge, n in zip(low, last, strict=True))
    x1, y1 = max(high[0], x0 + 1), max(high[1], y0 + 1)
    region = (x0 * STRIDE_PX, y0 * STRIDE_PX, x1 * STRIDE_PX, y1 * STRIDE_PX)
    return PoseRegion(scale, region, tuple(people))


def group_people(
    boxes_px: NDArray[np.float64],
    people: Sequence[int],
    size_px: tuple[int, int],
    options: PoseOptions,
) -> list[list[int]]:
    """Group people so that posing each group as one region costs least, greedily.

    Returns:
        Lists of indices, each sorted, in order of their first.
    """

    def cost(group: Sequence[int]) -> int:
        width, height = region_task(boxes_px, group, size_px, options).input_px
        return width * height + REQUEST_PX

    groups = [[person] for person in people]
    costs = [cost(group) for group in groups]
    while len(groups) > 1:
        merged = [
            (cost([*groups[i], *groups[j]]) - costs[i] - costs[j], i, j)
            for i in range(len(groups))
            for j in range(i + 1, len(groups))
        ]
        saving, i, j = min(merged)
        if saving > 0:
            break
        groups[i] = sorted([*groups[i], *groups[j]])
        costs[i] = cost(groups[i])
        del groups[j], costs[j]
    return groups


def sift(found: Found, tasks: Sequence[Task], people: Expected) -> Found:
    """Keep each expected person once: as found by the request that was made for them.

    Args:
        found: What the requests about a frame found.
        tasks: The requests.
        people: Whom the tracker expected in the frame.

    Returns:
        What remains: everybody else's detections of an expected person are dropped, and people
        whom nobody expected are kept.
    """
    if len(tasks) == 1 and isinstance(tasks[0], PoseRegion):
        return found
    owners = [owner(keypoints, people) for keypoints in found.keypoints]
    keep = [
        person is None or person in getattr(tasks[request], "people", (person,))
        for person, request in zip(owners, found.requests, strict=True)
    ]
    chosen = np.array(keep, np.bool_)
    return Found(found.keypoints[chosen], found.scores[chosen], found.requests[chosen])


def owner(keypoints: NDArray[np.float32], people: Expected) -> int | None:
    """Give the expected person nearest to a detection (J, 3), None where nobody is near."""
    if not len(people.boxes_px):
        return None
    gaps = np.linalg.norm(people.keypoints_px - keypoints[None, :, :2], axis=-1)
    known = np.isfinite(gaps)
    mean = np.where(known, gaps, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    sizes = np.sqrt(np.prod(people.boxes_px[:, 2:] - people.boxes_px[:, :2], axis=1))
    distance = np.where(known.any(axis=1) & np.isfinite(sizes), mean / sizes, np.inf)
    nearest = int(np.argmin(distance))
    return nearest if distance[nearest] <= OWN_DISTANCE else None
