"""A picture of two drawn people whom MoveNet takes for people, so that no photograph is needed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SKIN, SHIRT, TROUSERS, DARK = (205, 160, 130), (180, 40, 40), (40, 50, 110), (30, 25, 20)
SKY, FLOOR = (150, 180, 205), (110, 120, 100)

PEOPLE = ((200, 70, 220), (430, 90, 200))
"""Of each person: u of the middle, v of the top of the head, height; in pixels of 640 x 384."""

ANKLES = {0: ((180.0, 276.0), (221.0, 276.0)), 1: ((411.0, 277.0), (449.0, 277.0))}
"""Where the ankles of each person were drawn: left and right of the picture."""


def court_picture(scale: int = 1) -> NDArray[np.uint8]:
    """Draw the picture, RGB (384, 640, 3) times ``scale``."""
    picture: NDArray[np.uint8] = np.zeros((384 * scale, 640 * scale, 3), np.uint8)
    picture[: 230 * scale], picture[230 * scale :] = SKY, FLOOR
    for u, v, height in PEOPLE:
        _draw(picture, (u * scale, v * scale), height * scale / 8.0)
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.8), np.uint8)


def _draw(picture: NDArray[np.uint8], top: tuple[int, int], unit: float) -> None:
    """Draw one person; lengths are in eighths of the height, from the top of the head."""

    def at(x: float, y: float) -> tuple[int, int]:
        return int(top[0] + x * unit), int(top[1] + y * unit)

    def limb(a: tuple[float, float], b: tuple[float, float], width: float, color: object) -> None:
        thickness = max(1, int(width * unit))
        cv2.line(picture, at(*a), at(*b), color, thickness, cv2.LINE_AA)  # type: ignore[call-overload]

    for side in (-1, 1):
        limb((0.5 * side, 4), (0.7 * side, 6), 0.75, TROUSERS)
        limb((0.7 * side, 6), (0.75 * side, 7.6), 0.55, TROUSERS)
        limb((0.75 * side, 7.8), (1.1 * side, 7.85), 0.3, DARK)
        limb((0.95 * side, 1.7), (1.4 * side, 3), 0.42, SHIRT)
        limb((1.4 * side, 3), (1.5 * side, 4.3), 0.32, SKIN)
    trunk = [at(-0.95, 1.5), at(0.95, 1.5), at(0.7, 4.1), at(-0.7, 4.1)]
    cv2.fillPoly(picture, [np.array(trunk, np.int32)], SHIRT, cv2.LINE_AA)
    limb((0, 1.2), (0, 1.6), 0.4, SKIN)
    axes = (int(0.42 * unit), int(0.58 * unit))
    cv2.ellipse(picture, at(0, 0.6), axes, 0, 0, 360, SKIN, -1, cv2.LINE_AA)
    cv2.ellipse(picture, at(0, 0.35), axes, 0, 180, 360, DARK, -1, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.circle(picture, at(0.16 * side, 0.55), max(1, int(0.06 * unit)), DARK, -1, cv2.LINE_AA)
    limb((-0.12, 0.9), (0.12, 0.9), 0.06, (150, 60, 60))
    limb((0, 0.6), (0, 0.75), 0.05, (170, 120, 100))


def encode_jpeg(picture: NDArray[np.uint8], orientation: int = 1, quality: int = 95) -> bytes:
    """Encode RGB as a JPEG that asks to be shown turned by an EXIF orientation (1 to 8)."""
    good, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert good
    data = encoded.tobytes()
    return data if orientation == 1 else data[:2] + _exif(orientation) + data[2:]


def _exif(orientation: int) -> bytes:
    entry = bytes.fromhex("0112 0003 00000001") + orientation.to_bytes(2, "big") + b"\0\0"
    directory = bytes.fromhex("4d4d 002a 00000008 0001") + entry + bytes(4)
    body = b"Exif\0\0" + directory
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def turned_for(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return the picture as it must be stored, so that ``orientation`` shows it upright."""
    stored = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.transpose(1, 0, 2),
        6: np.rot90(picture, 1),
        7: picture[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(picture, -1),
    }[orientation]
    return np.ascontiguousarray(stored)
