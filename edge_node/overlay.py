"""`overlay.mp4`: all cameras side by side, each track's skeleton drawn where it reprojects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from edge_node.colours import track_colour
from edge_node.sizes import size_factor
from tipoff.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from accel import Rig, Skeleton, Snapshot
    from edge_node.frames import CameraFrame, TrackedFrame

MAX_WIDTH_PX = 1280
MAX_HEIGHT_PX = 800
GAP_PX = 4
CODECS = ("libx264", "libopenh264", "libvpx-vp9")
"""The first of these that this build of libav has encodes the overlay."""
CLOCK = Fraction(1, 90_000)
"""Resolution of the overlay's frame times."""
JPEG_QUALITY = 85
BACKGROUND = 24
INFERRED_WIDTH_PX = 1


@dataclass(frozen=True, slots=True)
class Panel:
    """Where a camera's picture lies in the overlay."""

    x_px: int
    """Its left edge."""
    y_px: int
    """Its top edge."""
    width_px: int
    """Its width."""
    height_px: int
    """Its height."""


def layout(sizes_px: Sequence[tuple[int, int]]) -> tuple[list[Panel], tuple[int, int]]:
    """Place pictures side by side, in as many rows as make them largest.

    Args:
        sizes_px: Width and height of each camera's picture.

    Returns:
        A panel for each, and width and height of the whole, both even.
    """
    choices = [_rows(sizes_px, rows) for rows in range(1, len(sizes_px) + 1)]
    return max(choices, key=lambda choice: min(panel.height_px for panel in choice[0]))


def _rows(sizes_px: Sequence[tuple[int, int]], rows: int) -> tuple[list[Panel], tuple[int, int]]:
    columns = math.ceil(len(sizes_px) / rows)
    lines = [sizes_px[start : start + columns] for start in range(0, len(sizes_px), columns)]
    aspects = [sum(width / height for width, height in line) for line in lines]
    height = (MAX_HEIGHT_PX - GAP_PX * (len(lines) - 1)) / len(lines)
    fit = min(
        (MAX_WIDTH_PX - GAP_PX * (len(line) - 1)) / aspect
        for line, aspect in zip(lines, aspects, strict=True)
    )
    height = min(height, fit, max(size[1] for size in sizes_px))
    panels, y = [], 0
    for line in lines:
        x = 0
        for width_px, height_px in line:
            panel = Panel(x, y, max(2, int(height * width_px / height_px)), max(2, int(height)))
            panels.append(panel)
            x += panel.width_px + GAP_PX
        y += int(height) + GAP_PX
    width = max(panel.x_px + panel.width_px for panel in panels)
    return panels, (width + width % 2, y - GAP_PX + (y - GAP_PX) % 2)


class OverlaySink:
    """Draws and encodes the overlay.

    Args:
        path: The file to write.
        rig: The cameras.
        skeleton: The joints and bones.
        rate_hz: About how many tracked frames a second there are.
        poster_at: Number of the frame that is kept as a picture.
    """

    stage = "overlay"

    def __init__(
        self, path: Path, rig: Rig, skeleton: Skeleton, rate_hz: float, poster_at: int = 0
    ) -> None:
        self._rig, self._skeleton = rig, skeleton
        sizes = [(int(width), int(height)) for width, height in rig.size]
        self._panels, (width, height) = layout(sizes)
        self._canvas = np.full((height, width, 3), BACKGROUND, np.uint8)
        self._pictures: dict[int, NDArray[np.uint8]] = {}
        self._poster_at, self._written = poster_at, 0
        self._first_ns: int | None = None
        self.poster: bytes | None = None
        """One frame as JPEG, None before there is any."""
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = _open_stream(self._container, (width, height), rate_hz)

    def write(self, frame: TrackedFrame) -> None:
        """Draw and encode a frame."""
        for camera_frame in frame.frames:
            self._take(camera_frame)
        times = {view.camera: view.snapshot for view in frame.views}
        for camera, picture in self._pictures.items():
            panel = self._panels[camera]
            drawn = picture.copy()
            self._draw_tracks(drawn, camera, times.get(camera, frame.snapshot))
            _write_text(drawn, self._rig.names[camera], (8, 22), (255, 255, 255))
            rows = slice(panel.y_px, panel.y_px + panel.height_px)
            self._canvas[rows, panel.x_px : panel.x_px + panel.width_px] = drawn
        self._encode(frame.time_ns)
        if self._written == self._poster_at or self.poster is None:
            self.poster = _jpeg(self._canvas)
        self._written += 1

    def close(self) -> None:
        """Finish the file."""
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()

    def _take(self, frame: CameraFrame) -> None:
        panel, calibrated = self._panels[frame.camera], self._rig.size[frame.camera]
        size = (frame.image.width_px, frame.image.height_px)
        # What was cut off at the right or bottom stays dark, so that the rest is where it belongs.
        shown = np.array(size) * size_factor(frame.name, size, calibrated) / calibrated
        columns = max(1, round(panel.width_px * min(1.0, float(shown[0]))))
        rows = max(1, round(panel.height_px * min(1.0, float(shown[1]))))
        picture = np.full((panel.height_px, panel.width_px, 3), BACKGROUND, np.uint8)
        frame.image.rgb_into(picture[:rows, :columns])
        self._pictures[frame.camera] = picture

    def _draw_tracks(self, picture: NDArray[np.uint8], camera: int, snapshot: Snapshot) -> None:
        if not len(snapshot.ids):
            return
        panel, size = self._panels[camera], self._rig.size[camera]
        factor = np.array([panel.width_px, panel.height_px]) / size
        points = (self._rig.project(snapshot.joints_m)[:, :, camera] + 0.5) * factor
        for row, track in enumerate(snapshot.ids):
            colour = track_colour(int(track))
            self._draw_bones(picture, points[row], snapshot.views[row], colour)
            self._draw_id(picture, points[row], int(track), colour)

    def _draw_bones(
        self,
        picture: NDArray[np.uint8],
        points: NDArray[np.float64],
        views: NDArray[np.int32],
        colour: tuple[int, int, int],
    ) -> None:
        height, width = picture.shape[:2]
        near = _near(points, (width, height))
        thick = max(2, height // 240)
        for a, b in self._skeleton.edges:
            if near[a] and near[b]:
                seen = min(views[a], views[b]) > 0
                wide = thick if seen else INFERRED_WIDTH_PX
                cv2.line(picture, _pixel(points[a]), _pixel(points[b]), colour, wide, cv2.LINE_AA)
        for joint in np.flatnonzero(near & (views > 0)):
            cv2.circle(picture, _pixel(points[joint]), thick, colour, -1, cv2.LINE_AA)

    def _draw_id(
        self,
        picture: NDArray[np.uint8],
        points: NDArray[np.float64],
        track: int,
        colour: tuple[int, int, int],
    ) -> None:
        height, width = picture.shape[:2]
        inside = points[np.all((points >= 0) & (points < (width, height)), axis=1)]
        if len(inside):
            top = inside[np.argmin(inside[:, 1])]
            _write_chip(picture, str(track), (float(top[0]), float(top[1]) - height * 0.03), colour)

    def _encode(self, time_ns: int) -> None:
        self._first_ns = time_ns if self._first_ns is None else self._first_ns
        image = av.VideoFrame.from_ndarray(self._canvas, format="rgb24")
        image.time_base = CLOCK
        image.pts = (time_ns - self._first_ns) * CLOCK.denominator // 1_000_000_000
        for packet in self._stream.encode(image):
            self._container.mux(packet)


def _open_stream(
    container: av.container.OutputContainer, size_px: tuple[int, int], rate_hz: float
) -> av.VideoStream:
    codec = next((name for name in CODECS if name in av.codecs_available), None)
    if codec is None:
        raise UnavailableError(
            f"this build of PyAV has none of the encoders {', '.join(CODECS)} for overlay.mp4: "
            "install its wheel (`pip install av`), or run with --no-overlay"
        )
    rate = Fraction(rate_hz).limit_denominator(1001)
    options = {"preset": "superfast", "crf": "22"} if codec == "libx264" else {}
    stream = container.add_stream(codec, rate=rate, options=options)
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height = size_px
    stream.pix_fmt = "yuv420p"
    stream.time_base = CLOCK
    stream.codec_context.time_base = CLOCK
    return stream


def _near(points: NDArray[np.float64], size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether points lie within a picture's size of it, where lines to them can be drawn."""
    size = np.array(size_px)
    with np.errstate(invalid="ignore"):
        inside: NDArray[np.bool_] = np.all((points > -size) & (points < 2 * size), axis=1)
    return inside


def _pixel(point: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _write_text(
    picture: NDArray[np.uint8], text: str, place: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    """Write a word with a dark rim, so that it can be read on any ground."""
    for shade, width in (((0, 0, 0), 4), (colour, 1)):
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, shade, width, cv2.LINE_AA)


def _write_chip(
    picture: NDArray[np.uint8],
    text: str,
    place: tuple[float, float],
    colour: tuple[int, int, int],
) -> None:
    """Write a word on a ground of its own, centred over a place, inside the picture."""
    height, width = picture.shape[:2]
    scale = max(0.5, height / 900)
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
    pad = high // 2
    x = round(min(max(place[0] - wide / 2, pad), width - wide - pad))
    y = round(min(max(place[1], high + pad), height - pad))
    cv2.rectangle(picture, (x - pad, y - high - pad), (x + wide + pad, y + pad), colour, -1)
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 2, cv2.LINE_AA)


def _jpeg(canvas: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".jpg", canvas[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return bytes(data)
