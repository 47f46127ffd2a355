"""Decoded pictures that become RGB only where somebody needs the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

QUARTER_TURN = 90
LUMA_FIRST = frozenset(
    ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray")
)
"""Formats whose first plane is brightness, a byte a pixel."""


class DecodedPicture:
    """A decoder's frame, kept in its own planes; turns upright as its container asks.

    Args:
        frame: The frame as decoded.
    """

    __slots__ = ("_frame", "_turns")

    def __init__(self, frame: av.VideoFrame) -> None:
        self._frame = frame
        self._turns = round(frame.rotation / QUARTER_TURN) % 4

    @property
    def width_px(self) -> int:
        """Width of the upright picture."""
        return int(self._frame.height if self._turns % 2 else self._frame.width)

    @property
    def height_px(self) -> int:
        """Height of the upright picture."""
        return int(self._frame.width if self._turns % 2 else self._frame.height)

    def luma(self) -> NDArray[np.uint8]:
        """Give the brightness as it was decoded, not turned: uint8, a view where that is possible.

        It is valid as long as the picture is.
        """
        frame = self._frame
        if frame.format.name not in LUMA_FIRST:
            frame = VideoReformatter().reformat(frame, format="gray", threads=1)
        plane = frame.planes[0]
        lines = np.frombuffer(memoryview(plane), np.uint8)
        rows = lines[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
        return rows[:, : plane.width]

    def rgb_into(self, out: NDArray[np.uint8]) -> None:
        """Write the upright picture as RGB into ``out``, scaled to its size.

        Args:
            out: uint8 (height, width, 3); another size than the picture's scales it.
        """
        height, width = out.shape[:2]
        if self._turns % 2:
            height, width = width, height
        scaled = (height, width) != (self._frame.height, self._frame.width)
        # A converter of its own for each call: it keeps state, and several threads convert.
        converted = VideoReformatter().reformat(
            self._frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation="AREA" if scaled else "BILINEAR",
            threads=1,
        )
        plane = converted.planes[0]
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows = lines[:height, : width * 3]
        out[...] = np.rot90(rows.reshape(height, width, 3), self._turns)


class ArrayPicture:
    """An RGB picture that is there already.

    Args:
        pixels: uint8 (height, width, 3).
    """

    __slots__ = ("_pixels",)

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels

    @property
    def width_px(self) -> int:
        """Width of the picture."""
        return int(self._pixels.shape[1])

    @property
    def height_px(self) -> int:
        """Height of the picture."""
        return int(self._pixels.shape[0])

    def rgb_into(self, out: NDArray[np.uint8]) -> None:
        """Write the picture into ``out``, scaled to its size."""
        if out.shape == self._pixels.shape:
            out[...] = self._pixels
            return
        import cv2

        out[...] = cv2.resize(
            self._pixels, (out.shape[1], out.shape[0]), interpolation=cv2.INTER_AREA
        )
