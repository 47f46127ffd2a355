"""Glances at pictures: a small picture of block means, and how much changed since the last glance.

About 0.3 ms for 1080p, LOOKS_HZ times a second; the rest of the frames are not looked at.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_node.cameras.watch import Look

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOKS_HZ = 20.0
"""Most looks at a camera in a second."""
THUMB_ROWS, THUMB_COLUMNS = 36, 64
"""Blocks of a small picture."""
FINER = 4
"""A picture is first made this much finer than blocks, where means are rounded to whole levels."""
SAMPLE_EVERY = 8
"""Every so many rows and columns are compared with the look before."""
FLICKER_LEVELS = 2
"""A sample that changes by less has not changed."""
CALM_ROWS, CALM_COLUMNS = 6, 8
"""Parts of a picture whose shares of changed samples are ranked."""
CALM = CALM_ROWS * CALM_COLUMNS // 4
"""Rank of the part that is told: three quarters of the picture may move."""

_EVERY_NS = round(1e9 / LOOKS_HZ)
_EARLY_NS = _EVERY_NS // 8


class Glance:
    """Looks at one camera's frames, as often as is useful."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._samples: NDArray[np.int16] | None = None
        self._mark = 0

    def due(self, now_ns: int) -> bool:
        """Say whether it is time for another look; every look counts from the one before."""
        if self._last_ns is not None and now_ns - self._last_ns < _EVERY_NS - _EARLY_NS:
            return False
        self._last_ns = now_ns
        return True

    def at_picture(self, luma: NDArray[np.uint8]) -> Look:
        """Look at a picture.

        Args:
            luma: uint8 (height, width).
        """
        samples = luma[::SAMPLE_EVERY, ::SAMPLE_EVERY].astype(np.int16)
        before, self._samples = self._samples, samples
        changed = math.nan
        if before is not None and before.shape == samples.shape:
            changed = _calmest(np.abs(samples - before) >= FLICKER_LEVELS)
        return Look(thumb_of(luma), changed)

    def at_people(self, keypoints: NDArray[np.float32]) -> Look:
        """Look at a recorded observation: there, only exact repetition says anything."""
        if not len(keypoints):
            return Look(None, math.nan)
        mark = zlib.crc32(np.ascontiguousarray(keypoints).tobytes()) | 1 << 32
        before, self._mark = self._mark, mark
        return Look(None, math.nan if not before else float(mark != before), mark)


def _calmest(changed: NDArray[np.bool_]) -> float:
    """Give the share of changed samples in the calmest quarter of a picture's parts."""
    rows, columns = changed.shape[0] // CALM_ROWS, changed.shape[1] // CALM_COLUMNS
    if not rows or not columns:
        return float(changed.mean())
    whole = changed[: rows * CALM_ROWS, : columns * CALM_COLUMNS]
    shares = whole.reshape(CALM_ROWS, rows, CALM_COLUMNS, columns).mean(axis=(1, 3))
    return float(np.partition(shares.reshape(-1), CALM)[CALM])


def thumb_of(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give the block means of a picture, float32 (36, 64)."""
    size = (THUMB_COLUMNS * FINER, THUMB_ROWS * FINER)
    fine = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    blocks = fine.reshape(THUMB_ROWS, FINER, THUMB_COLUMNS, FINER)
    thumb: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return thumb
