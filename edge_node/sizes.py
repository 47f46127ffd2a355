"""Pictures that are not quite as large as their camera was calibrated for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_node.errors import FrameSizeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE_SLACK = 0.02
"""A picture that differs from its calibration by less than this was cut; it is used as it is."""
ASPECT_SLACK = 0.005
"""A picture whose sides differ from its calibration's by one factor, to this, was scaled."""


def size_factor(
    name: str, picture_px: tuple[int, int], calibrated_px: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the calibration's pixels for a pixel of the picture, along x and y.

    A picture of nearly the calibrated size has lost some columns or rows at its right or bottom,
    as encoders cut them: 1. One of the same shape was scaled: its factor.

    Raises:
        FrameSizeError: it is neither.
    """
    ratio = np.asarray(calibrated_px, np.float64) / np.asarray(picture_px, np.float64)
    if (np.abs(ratio - 1.0) <= SIZE_SLACK).all():
        return np.ones(2)
    if abs(ratio[0] / ratio[1] - 1.0) <= ASPECT_SLACK:
        return ratio
    width, height = (int(side) for side in calibrated_px)
    raise FrameSizeError(
        f"camera {name} is calibrated for {width}x{height} px and its video has "
        f"{picture_px[0]}x{picture_px[1]}: give the video that the calibration was made for, or a "
        "scaled copy of it",
        camera=name,
    )
