"""COLMAP's text model: cameras.txt and images.txt, one image a camera; world to camera.

The names are those of the images without folder and suffix, in the order of images.txt. COLMAP
knows lengths only up to a factor, so `scale` has to be given. Its pixels count from the corner of
the first one, OpenCV's from that pixel's centre; the numbers are kept as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from accel.calibration.record import (
    DISTORTION_NAMES,
    CameraRecord,
    Place,
    five_terms,
    image_size,
    number,
)
from accel.calibration.rotation import matrix_of_quaternion

FORMAT = "COLMAP text"

_PARAMETERS = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
}
_CAMERA = re.compile(r"\A\d+\s+[A-Z][A-Z0-9_]*\s+\d+\s+\d+(\s+\S+)+\Z")
_NUMBER = r"[-+]?[0-9.naifNAIF]+(?:[eE][-+]?\d+)?"
_POINT_WORD = re.compile(rf"\A{_NUMBER}\Z")
_IMAGE = re.compile(rf"\A\d+(?:\s+{_NUMBER}){{7}}\s+\d+\s+\S.*\Z")


@dataclass(frozen=True, slots=True)
class _Intrinsics:
    """One line of cameras.txt."""

    K: NDArray[np.float64]
    dist: NDArray[np.float64]
    size: tuple[float, float]


def is_cameras(text: str) -> bool:
    """Whether the text is a cameras.txt."""
    title, first = _head(text)
    return "Camera list" in title or _CAMERA.match(first) is not None


def is_images(text: str) -> bool:
    """Whether the text is an images.txt; points3D.txt and frames.txt lie beside it."""
    title, first = _head(text)
    return "Image list" in title or (" list" not in title and _is_image(first))


def _head(text: str) -> tuple[str, str]:
    """The comments before the first line of data, and that line."""
    title = ""
    for line in text.splitlines():
        if line.startswith("#"):
            title += line
        elif line.strip():
            return title, line.strip()
    return title, ""


def _is_image(line: str) -> bool:
    if _IMAGE.match(line) is None:
        return False
    words = line.split(maxsplit=9)
    # A point of points3D.txt ends in pairs of whole numbers where an image has its name.
    rest = words[9].split()
    if len(rest) >= 3 and all(word.isdecimal() for word in rest):
        return False
    try:
        return 0.9 < sum(float(word) ** 2 for word in words[1:5]) < 1.1
    except (OverflowError, ValueError):
        return False


def _is_points(line: str) -> bool:
    return all(_POINT_WORD.match(word) for word in line.split())


def read(
    cameras: tuple[Path, str], images: tuple[Path, str], scale: float | None
) -> list[CameraRecord]:
    """The images' cameras, in the order of images.txt.

    Args:
        cameras: The path and text of cameras.txt.
        images: The path and text of images.txt.
        scale: Metres per unit of the model; None is refused.
    """
    place = Place(images[0])
    if scale is None:
        raise place.error(
            "is a COLMAP model, whose lengths have no unit", "give `scale`, metres per unit"
        )
    models = _cameras(cameras[1], Place(cameras[0]))
    return [_image(line, models, place, scale) for line in _image_lines(images[1])]


def _image_lines(text: str) -> Iterator[str]:
    """The lines of images: each is followed by one of points, which may be empty or left out."""
    points_may_follow = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("#"):
            continue
        if points_may_follow and _is_points(line) and not _is_image(line):
            points_may_follow = False
        elif line:
            points_may_follow = True
            yield line


def _cameras(text: str, place: Place) -> dict[str, _Intrinsics]:
    models: dict[str, _Intrinsics] = {}
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if _CAMERA.match(line.strip()) is None:
            raise place.error(
                f"{line[:40]!r} is no camera", "write CAMERA_ID MODEL WIDTH HEIGHT PARAMS"
            )
        models[words[0]] = _intrinsics(words, place.of(words[0]))
    return models


def _intrinsics(words: list[str], place: Place) -> _Intrinsics:
    model = words[1]
    if model not in _PARAMETERS:
        raise place.unsupported(
            f"has the model {model}, which a Rig cannot hold",
            f"run COLMAP with one of {', '.join(_PARAMETERS)}",
            "MODEL",
        )
    names = _PARAMETERS[model].split()
    if len(words) - 4 != len(names):
        raise place.error(
            f"has {len(words) - 4} parameters; {model} has {len(names)}", "export the model again"
        )
    values = dict(zip(names, (number(word, place, "PARAMS") for word in words[4:]), strict=True))
    fx, fy = values.get("fx", values.get("f", 0.0)), values.get("fy", values.get("f", 0.0))
    K = np.array([[fx, 0.0, values["cx"]], [0.0, fy, values["cy"]], [0.0, 0.0, 1.0]])
    terms = [values.get(name, 0.0) for name in DISTORTION_NAMES[:8]]
    width, height = number(words[2], place, "WIDTH"), number(words[3], place, "HEIGHT")
    return _Intrinsics(
        K=K,
        dist=five_terms(terms, place, "PARAMS"),
        size=image_size(width, height, place, "WIDTH"),
    )


def _image(line: str, models: dict[str, _Intrinsics], place: Place, scale: float) -> CameraRecord:
    if _IMAGE.match(line.strip()) is None:
        raise place.error(
            f"{line[:40]!r} is no image", "write IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
        )
    words = line.split(maxsplit=9)
    name = PurePosixPath(words[9].strip().replace("\\", "/")).stem
    place = place.of(name)
    model = models.get(words[8])
    if model is None:
        raise place.error(
            f"is camera {words[8]}, which cameras.txt lacks", "give both files of one model"
        )
    quaternion = [number(word, place, "QW QX QY QZ") for word in words[1:5]]
    if not 0.5 < math.hypot(*quaternion) < 2.0:
        raise place.error("is no unit quaternion", "export the model again", "QW QX QY QZ")
    translation = np.array([number(word, place, "TX TY TZ") for word in words[5:8]])
    return CameraRecord(
        name=name,
        K=model.K,
        dist=model.dist,
        R=matrix_of_quaternion(*quaternion),
        t=scale * translation,
        size=model.size,
    )
