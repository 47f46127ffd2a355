"""Where a part of a frame lies in a model's input, and back: the one place that knows.

Two kinds of coordinates meet here. *Pixels* are those of OpenCV and of every calibration: the
centre of the first pixel is (0, 0). *Edges* measure regions: the first pixel reaches from 0 to 1,
the whole frame from (0, 0) to (width, height). A pixel coordinate is its edge coordinate less 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tipoff.errors import InvalidInputError

MOVENET_SHIFT_PX = 0.25
"""What to add to a MoveNet coordinate to make it an edge coordinate of its input.

Measured on mirrored images (which make the error visible twice): 0.17 to 0.36 for all three models
at every size that was tried, as expected of labels in pixels of images that training shrank.
"""

MAX_SIDE_PX = 65536
"""No region and no input may be larger than this."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A region of a frame, scaled into the top left corner of a model's input."""

    region: tuple[float, float, float, float]
    """x0, y0, x1, y1 of the region, edges in source pixels; it may reach beyond the frame."""
    width_px: int
    """Width that the region has in the input."""
    height_px: int
    """Height that the region has in the input."""

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels a source pixel, along x and y."""
        x0, y0, x1, y1 = self.region
        return self.width_px / (x1 - x0), self.height_px / (y1 - y0)

    def to_source(
        self, points: ArrayLike, shift_px: float = MOVENET_SHIFT_PX
    ) -> NDArray[np.float64]:
        """From a model's coordinates to source pixels.

        Args:
            points: (..., 2) x, y as a model gives them, in pixels of its input.
            shift_px: what makes them edges: 0.5 for a model that speaks in pixels, 0 for one that
                speaks in edges.

        Returns:
            (..., 2) u, v in source pixels; NaN stays NaN.
        """
        edges = (np.asarray(points, np.float64) + shift_px) / self._scale
        return edges + self._origin - 0.5

    def to_input(
        self, points: ArrayLike, shift_px: float = MOVENET_SHIFT_PX
    ) -> NDArray[np.float64]:
        """From source pixels to the coordinates that a model would give: inverse of `to_source`."""
        edges = np.asarray(points, np.float64) + 0.5 - self._origin
        return edges * self._scale - shift_px

    def boxes_to_source(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes (..., 4) x0, y0, x1, y1, edges in the input, to edges in the source."""
        corners = np.asarray(boxes, np.float64)
        pairs = corners.reshape(*corners.shape[:-1], 2, 2) / self._scale + self._origin
        return pairs.reshape(corners.shape)

    @property
    def _scale(self) -> NDArray[np.float64]:
        return np.array(self.scale)

    @property
    def _origin(self) -> NDArray[np.float64]:
        return np.array(self.region[:2], np.float64)


def letterbox(
    source_size: tuple[int, int],
    input_size: tuple[int, int],
    region: Sequence[float] | None = None,
) -> Placement:
    """Place a frame, or a region of it, in an input without changing its aspect.

    It fills the input's width or height from the top left corner; the rest is black.

    Args:
        source_size: width and height of the frame.
        input_size: width and height of the input.
        region: x0, y0, x1, y1, edges in source pixels; cut to the frame and widened to whole
            pixels. None is the whole frame.

    Raises:
        InvalidInputError: a size is not within 1..65536, or the region is not finite or does not
            touch the frame.
    """
    for side in (*source_size, *input_size):
        if not 1 <= side <= MAX_SIDE_PX:
            raise InvalidInputError(
                f"an image of {source_size[0]}x{source_size[1]} px for an input of "
                f"{input_size[0]}x{input_size[1]}: each side must be 1 to {MAX_SIDE_PX}"
            )
    x0, y0, x1, y1 = _cut(region, source_size) if region is not None else (0, 0, *source_size)
    scale = min(input_size[0] / (x1 - x0), input_size[1] / (y1 - y0))
    width, height = (max(1, round(side * scale)) for side in (x1 - x0, y1 - y0))
    return Placement((x0, y0, x1, y1), width, height)


def crop(
    box: Sequence[float] | NDArray[np.floating], input_size: tuple[int, int], expand: float = 1.25
) -> Placement:
    """Place a person's box in the whole input: enlarged, and grown to the input's aspect.

    Args:
        box: x0, y0, x1, y1, edges in source pixels; it may reach beyond the frame.
        input_size: width and height of the input.
        expand: factor on the box, about its centre.

    Raises:
        InvalidInputError: the box is not finite, is empty or is absurdly large.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    width, height = expand * (x1 - x0), expand * (y1 - y0)
    if not (0.0 < width <= MAX_SIDE_PX and 0.0 < height <= MAX_SIDE_PX):
        raise InvalidInputError(
            f"a person's box is {x0:g}, {y0:g}, {x1:g}, {y1:g}: x0 < x1 and y0 < y1, finite and "
            f"less than {MAX_SIDE_PX} px apart, are needed"
        )
    aspect = input_size[0] / input_size[1]
    half_w = 0.5 * max(width, height * aspect)
    half_h = half_w / aspect
    cx, cy = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    return Placement((cx - half_w, cy - half_h, cx + half_w, cy + half_h), *input_size)


def _cut(region: Sequence[float], source_size: tuple[int, int]) -> tuple[int, int, int, int]:
    if len(region) != 4 or not all(math.isfinite(v) for v in region):
        raise InvalidInputError(f"a region is four finite numbers x0, y0, x1, y1, not {region}")
    width, height = source_size
    x0, y0 = max(0, math.floor(region[0])), max(0, math.floor(region[1]))
    x1, y1 = min(width, math.ceil(region[2])), min(height, math.ceil(region[3]))
    if x0 >= x1 or y0 >= y1:
        raise InvalidInputError(
            f"the region {', '.join(f'{v:g}' for v in region)} holds nothing of a frame of "
            f"{width}x{height} px"
        )
    return x0, y0, x1, y1
