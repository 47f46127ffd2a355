"""One camera as a file describes it, and the careful reading that every format shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accel.calibration.rotation import matrix_of_rodrigues
from accel.errors import CalibrationFileError, UnsupportedCameraError

MAX_FILE_BYTES = 16 * 1024 * 1024
"""A calibration of a hundred cameras has 100 kB; what is larger is something else."""
MAX_ANGLE_RAD = 1e3
"""A longer rotation vector has lost its angle to rounding, or is none."""
MAX_IMAGE_PX = 65_536
"""No camera has longer sides."""

DISTORTION_LENGTHS = (0, 4, 5, 8, 12, 14)
"""OpenCV's: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 taux tauy."""
DISTORTION_NAMES = (
    *("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    *("s1", "s2", "s3", "s4", "taux", "tauy"),
)


@dataclass(frozen=True, slots=True)
class CameraRecord:
    """One camera, in metres and pixels, world to camera."""

    name: str
    """The camera's name, as the file has it."""
    K: NDArray[np.float64]
    """Intrinsics (3, 3), px."""
    dist: NDArray[np.float64]
    """Distortion (5,): k1 k2 p1 p2 k3."""
    R: NDArray[np.float64]
    """Rotation (3, 3): x_cam = R X + t."""
    t: NDArray[np.float64]
    """Translation (3,), m."""
    size: tuple[float, float]
    """Width and height, px."""
    readout_ms: float = 0.0
    """Time from the first row to the last, ms."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file a value stands, so that an error can say so."""

    path: Path
    """The file."""
    camera: str | None = None
    """The camera, once its name is known."""

    def of(self, camera: str) -> Place:
        """The same file at a camera."""
        return Place(self.path, camera)

    def error(self, what: str, remedy: str, field: str | None = None) -> CalibrationFileError:
        """An error that names file, camera and field."""
        return CalibrationFileError(self._message(what, remedy, field), **self._ids(field))

    def unsupported(self, what: str, remedy: str, field: str | None = None) -> CalibrationFileError:
        """An error that names the model which a Rig cannot hold."""
        return UnsupportedCameraError(self._message(what, remedy, field), **self._ids(field))

    def _message(self, what: str, remedy: str, field: str | None) -> str:
        camera = f", camera {self.camera!r}" if self.camera is not None else ""
        where = f", field {field!r}" if field is not None else ""
        return f"{self.path}{camera}{where}: {what}; {remedy}"

    def _ids(self, field: str | None) -> dict[str, object]:
        ids: dict[str, object] = {"path": str(self.path)}
        if self.camera is not None:
            ids["camera"] = self.camera
        if field is not None:
            ids["field"] = field
        return ids


def read_bytes(path: Path) -> bytes:
    """Read a whole file of bounded size."""
    try:
        wrong = _unreadable(path)
        if wrong is None:
            return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path.
        raise Place(path).error(
            f"cannot be read: {error}", "check the path and its rights"
        ) from error
    raise Place(path).error(wrong, "give the path of a calibration")


def _unreadable(path: Path) -> str | None:
    """Why this is nothing to read, if so."""
    if not path.exists():
        return "does not exist"
    if not path.is_file():
        return "is no regular file"
    if path.stat().st_size > MAX_FILE_BYTES:
        return f"has more than {MAX_FILE_BYTES // 2**20} MiB"
    return None


def decode(data: bytes, path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Place(path).error(
            f"is not UTF-8 text (byte {error.start})", "save it as UTF-8, or give another file"
        ) from error
    if "\x00" in text:
        raise Place(path).error("is a binary file", "give a calibration in text form")
    return text


def number(value: object, place: Place, field: str) -> float:
    """A finite number from a parsed value or its text."""
    wanted = "a finite number"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise place.error(f"is {_shown(value)}, not {wanted}", "write a number there", field)
    try:
        out = float(value)
    except (ValueError, OverflowError) as error:
        raise place.error(
            f"is {_shown(value)}, not {wanted}", "write a number there", field
        ) from error
    if not math.isfinite(out):
        raise place.error(f"is {_shown(value)}, not {wanted}", "calibrate this camera anew", field)
    return out


def numbers(value: object, count: int, place: Place, field: str) -> NDArray[np.float64]:
    """A vector of `count` numbers; nested single rows or columns are taken as one."""
    items = [number(item, place, field) for item in _flat(value, place, field)]
    if len(items) != count:
        raise place.error(f"has {len(items)} numbers, not {count}", f"write {count} there", field)
    return np.array(items, dtype=np.float64)


def rotation_vector(value: object, place: Place, field: str) -> NDArray[np.float64]:
    """The rotation matrix (3, 3) of a Rodrigues vector in rad."""
    vector = numbers(value, 3, place, field)
    if not float(np.abs(vector).max()) <= MAX_ANGLE_RAD:
        raise place.error("is no rotation vector in radians", "export it again", field)
    return matrix_of_rodrigues(vector)


def matrix(value: object, place: Place, field: str) -> NDArray[np.float64]:
    """A 3x3 matrix by rows."""
    return numbers(value, 9, place, field).reshape(3, 3)


def distortion(value: object, place: Place, field: str) -> NDArray[np.float64]:
    """OpenCV's distortion as five terms; longer models only where the rest is zero."""
    terms = [number(item, place, field) for item in _flat(value, place, field)]
    if len(terms) not in DISTORTION_LENGTHS:
        raise place.error(
            f"has {len(terms)} terms; OpenCV's models have {_listed(DISTORTION_LENGTHS)}",
            "write k1 k2 p1 p2 k3, zero where unknown",
            field,
        )
    return five_terms(terms, place, field)


def five_terms(terms: Sequence[float], place: Place, field: str) -> NDArray[np.float64]:
    """The first five terms of a distortion whose others are zero."""
    beyond = [name for name, term in zip(DISTORTION_NAMES[5:], terms[5:], strict=False) if term]
    if beyond:
        raise place.unsupported(
            f"has distortion beyond k1 k2 p1 p2 k3 ({', '.join(beyond)}), which a Rig cannot hold",
            "calibrate with OpenCV's five-term model",
            field,
        )
    return np.array([*terms[:5], *[0.0] * (5 - min(5, len(terms)))], dtype=np.float64)


def image_size(width: float, height: float, place: Place, field: str) -> tuple[float, float]:
    """Width and height as whole numbers of pixels."""
    if not all(1 <= side <= MAX_IMAGE_PX for side in (width, height)):
        raise place.error(
            f"is {width:g} x {height:g} px", "write the width and height of the images", field
        )
    return float(round(width)), float(round(height))


def _flat(value: object, place: Place, field: str) -> list[object]:
    if not isinstance(value, list):
        raise place.error(f"is {_shown(value)}, not a list of numbers", "write a list", field)
    rows: list[object] = []
    for item in value:
        rows.extend(item if isinstance(item, list) else [item])
    return rows


def _listed(values: Sequence[int]) -> str:
    return f"{', '.join(map(str, values[:-1]))} or {values[-1]}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
