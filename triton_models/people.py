"""From heads to people in source pixels, the last step of every way to find people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from accel.decode import people
from accel.letterbox import Placement, letterbox
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from triton_models.backend import Outputs
    from triton_models.heads import Heads

MULTIPOSE = "movenet-multipose"
STRIDE_PX = 32
MAX_SIDE_PX = 2048
MIN_SOURCE_PX = 16
MAX_SOURCE_PX = 16384


def check_input_size(width: float, height: float) -> tuple[int, int]:
    """Refuse an input size that the network cannot take.

    Raises:
        InvalidInputError: a side that is no multiple of 32, or absurd.
    """
    for name, side in (("input_width", width), ("input_height", height)):
        if not math.isfinite(side) or side % STRIDE_PX or not 0 < side <= MAX_SIDE_PX:
            raise InvalidInputError(
                f"{name} is {side:g} px: a multiple of {STRIDE_PX} up to {MAX_SIDE_PX} is needed"
            )
    return int(width), int(height)


def check_threshold(threshold: float) -> float:
    """Refuse a threshold that is none.

    Raises:
        InvalidInputError: it is not between 0 and 1.
    """
    if not 0.0 < threshold < 1.0:
        raise InvalidInputError(f"the threshold is {threshold:g}: it must lie between 0 and 1")
    return threshold


def check_frame(frame: NDArray[np.uint8]) -> tuple[int, int]:
    """Refuse a frame that cannot be used; return its width and height.

    Raises:
        InvalidInputError: a side that is too short or too long.
    """
    height, width = frame.shape[:2]
    if not (min(height, width) >= MIN_SOURCE_PX and max(height, width) <= MAX_SOURCE_PX):
        raise InvalidInputError(
            f"the frame has {width}x{height} px: each side must have {MIN_SOURCE_PX} to "
            f"{MAX_SOURCE_PX} px"
        )
    return width, height


def read_people(heads: Heads, placement: Placement, threshold: float) -> Outputs:
    """Return the people in one picture's heads, in source pixels.

    Args:
        heads: The outputs of MultiPose for a batch of one.
        placement: Where the source lies in the network's input.
        threshold: Least score of a person.
    """
    boxes, keypoints, scores = people(
        *(heads[name][0] for name in ("heat", "center", "regress", "offset", "scale", "boxoff")),
        threshold=threshold,
    )
    keypoints[..., :2] = placement.to_source(keypoints[..., :2])
    in_source = placement.boxes_to_source(boxes).astype(np.float32)
    return {"BOXES": in_source, "KEYPOINTS": keypoints, "SCORES": scores}


def whole(source_size: tuple[int, int], input_size: tuple[int, int]) -> Placement:
    """Return where a whole picture lies in the input (width and height of both)."""
    return letterbox(source_size, input_size)
