"""The TOML of anipose and Pose2Sim: one table a camera, x_cam = R X + t, R as a Rodrigues vector.

Both write `name`, `size`, `matrix`, `distortions`, `rotation`, `translation` and perhaps `fisheye`.
A table's key only orders the cameras; where `name` is missing it is the name. Two keys are ours,
and others ignore them: `readout_ms`, and `rotation_matrix`, which keeps R to the last bit.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accel.calibration.record import (
    CameraRecord,
    Place,
    decode,
    distortion,
    image_size,
    matrix,
    number,
    numbers,
    rotation_vector,
)
from accel.calibration.rotation import rodrigues_of_matrix

FORMAT = "anipose TOML"
AGREEMENT = 1e-6
"""How far `rotation` and `rotation_matrix` may differ before one of them must be stale."""

_REQUIRED = ("size", "matrix", "distortions", "rotation", "translation")


def parse(data: bytes, path: Path) -> dict[str, object]:
    """The tables of a TOML file."""
    try:
        return tomllib.loads(decode(data, path))
    except tomllib.TOMLDecodeError as error:
        raise Place(path).error(f"is not valid TOML: {error}", "repair that line") from error
    except (RecursionError, ValueError) as error:
        raise Place(path).error("is not a TOML file that can be read", "write it anew") from error


def recognises(tables: dict[str, object]) -> bool:
    """Whether some table looks like a camera."""
    return any(isinstance(table, dict) and "matrix" in table for table in tables.values())


def read(tables: dict[str, object], path: Path, scale: float | None) -> list[CameraRecord]:
    """The cameras in the order of the file.

    Args:
        tables: The parsed file.
        path: Where it lies, for errors.
        scale: Metres per unit of the file; None is 1.
    """
    return [
        _camera(key, table, Place(path), 1.0 if scale is None else scale)
        for key, table in tables.items()
        if key != "metadata"
    ]


def _camera(key: str, table: object, place: Place, scale: float) -> CameraRecord:
    if not isinstance(table, dict):
        raise place.of(key).error("is no table", "keep one table a camera, and [metadata]")
    name = table.get("name", key)
    if not isinstance(name, str):
        raise place.of(key).error("is no string", "write the camera's name in quotes", "name")
    place = place.of(name)
    for field in _REQUIRED:
        if field not in table:
            raise place.error("is missing", "write it, or export the calibration again", field)
    if table.get("fisheye", False) is not False:
        raise place.unsupported(
            "is a fisheye, which a Rig cannot hold",
            "calibrate with OpenCV's five-term model",
            "fisheye",
        )
    width, height = numbers(table["size"], 2, place, "size")
    return CameraRecord(
        name=name,
        K=matrix(table["matrix"], place, "matrix"),
        dist=distortion(table["distortions"], place, "distortions"),
        R=_rotation(table, place),
        t=scale * numbers(table["translation"], 3, place, "translation"),
        size=image_size(width, height, place, "size"),
        readout_ms=number(table.get("readout_ms", 0.0), place, "readout_ms"),
    )


def _rotation(table: dict[str, object], place: Place) -> NDArray[np.float64]:
    from_vector = rotation_vector(table["rotation"], place, "rotation")
    if "rotation_matrix" not in table:
        return from_vector
    exact = matrix(table["rotation_matrix"], place, "rotation_matrix")
    if float(np.max(np.abs(exact - from_vector))) > AGREEMENT:
        raise place.error(
            "differs from `rotation`",
            "remove `rotation_matrix` if you changed `rotation`",
            "rotation_matrix",
        )
    return exact


def write(cameras: Sequence[CameraRecord]) -> str:
    """The text of a TOML file that holds the cameras to the last bit."""
    digits = len(str(len(cameras) - 1))
    tables = [_table(f"cam_{i:0{digits}}", camera) for i, camera in enumerate(cameras)]
    return "\n".join([*tables, "[metadata]\nadjusted = false\nerror = 0.0\n"])


def _table(key: str, camera: CameraRecord) -> str:
    lines = [
        f"[{key}]",
        f"name = {_quoted(camera.name)}",
        f"size = [{camera.size[0]:.0f}, {camera.size[1]:.0f}]",
        f"matrix = {_rows(camera.K)}",
        f"distortions = {_row(camera.dist)}",
        f"rotation = {_row(rodrigues_of_matrix(camera.R))}",
        f"rotation_matrix = {_rows(camera.R)}",
        f"translation = {_row(camera.t)}",
        "fisheye = false",
        f"readout_ms = {float(camera.readout_ms)!r}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    # A TOML basic string is a JSON string, save that it refuses a bare DEL.
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007F")


def _row(values: NDArray[np.float64]) -> str:
    return "[" + ", ".join(repr(float(value)) for value in values) + "]"


def _rows(values: NDArray[np.float64]) -> str:
    return "[" + ", ".join(_row(row) for row in values) + "]"
