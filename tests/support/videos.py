"""Videos made for tests: a codec, a size, frame times, a rotation; each frame tells its number."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

STEP = 8
"""How much brighter each frame is than the one before."""
DARKEST = 40
CLOCK = Fraction(1, 90_000)
ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "mjpeg": "mjpeg"}
CONTAINERS = {"h264": "mp4", "hevc": "mp4", "vp9": "webm", "mjpeg": "avi"}


@dataclass(frozen=True, slots=True)
class VideoSpec:
    """What to make."""

    codec: str = "h264"
    """h264, hevc, vp9 or mjpeg."""
    width: int = 96
    height: int = 64
    frames: int = 12
    rate_hz: int = 30
    times_s: tuple[float, ...] | None = None
    """Presentation times; None is every 1 / rate_hz."""


def picture(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Grey, brighter with the number; its top left quarter is red."""
    pixels = np.full((height, width, 3), DARKEST + STEP * number, np.uint8)
    pixels[: height // 2, : width // 2] = (200, 30, 30)
    return pixels


def number_of(pixels: NDArray[np.uint8]) -> int:
    """The number of the frame that a decoded picture shows, by its bottom right corner."""
    height, width = pixels.shape[:2]
    corner = pixels[height * 3 // 4 :, width * 3 // 4 :]
    return round((float(corner.mean()) - DARKEST) / STEP)


def make_video(folder: Path, name: str, spec: VideoSpec | None = None) -> Path:
    """Encode a video; its ending is its container's."""
    spec = spec or VideoSpec()
    path = folder / f"{name}.{CONTAINERS[spec.codec]}"
    with av.open(str(path), "w") as container:
        quiet = {"x265-params": "log-level=none"} if spec.codec == "hevc" else {}
        stream = container.add_stream(ENCODERS[spec.codec], rate=spec.rate_hz, options=quiet)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = spec.width, spec.height
        stream.pix_fmt = "yuvj420p" if spec.codec == "mjpeg" else "yuv420p"
        base = Fraction(1, spec.rate_hz) if spec.times_s is None else CLOCK
        stream.codec_context.time_base = base
        for index, ticks in enumerate(_ticks(spec, base)):
            frame = av.VideoFrame.from_ndarray(picture(index, spec.width, spec.height), "rgb24")
            frame.pts, frame.time_base = ticks, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _ticks(spec: VideoSpec, base: Fraction) -> Sequence[int]:
    if spec.times_s is None:
        return range(spec.frames)
    return [round(time_s / base) for time_s in spec.times_s]


def turn(path: Path, degrees: int) -> None:
    """Write into an MP4's track header that players are to turn it clockwise by 90, 180 or 270."""
    one = 1 << 16
    a, b = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    matrix = struct.pack(">9i", a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    data = bytearray(path.read_bytes())
    box = data.index(b"tkhd")
    # Version 0: flags, times, id, duration, reserved, layer, group, volume come before the matrix.
    assert data[box + 4] == 0
    start = box + 44
    data[start : start + len(matrix)] = matrix
    path.write_bytes(bytes(data))
