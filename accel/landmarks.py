"""The points file that places and checks a rig: named points and where the rig sees them.

TOML, one table a point::

    [points.corner_far_right]
    court_m = [14.325, -7.62, 0.0]
    pixels = { cam01 = [812.5, 403.0], cam02 = [220.0, 655.5] }

`court_m` is where the point lies on the court, m. The rig's side is either `pixels`, distorted
pixels in two or more cameras, or `rig_m`, a position in the rig's present world.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accel.calibration import anipose
from accel.calibration.record import Place, numbers, read_bytes
from accel.errors import AlignmentError
from accel.rig import Rig
from accel.triangulation import triangulate

Array = NDArray[np.float64]

MARKING_SIGMA_PX = 5.0
"""How well people mark a point in a picture; a view five times further off is an outlier."""

_FIELDS = ("court_m", "rig_m", "pixels")


@dataclass(frozen=True, slots=True)
class Landmark:
    """A named point."""

    court_m: Array
    """Position on the court (3,), m."""
    rig_m: Array | None = None
    """Position in the rig's world (3,), m, where the file gives it."""
    pixels: Mapping[str, Array] = field(default_factory=dict)
    """Camera to distorted pixel (2,)."""


def load_landmarks(path: str | os.PathLike[str]) -> dict[str, Landmark]:
    """Read a points file.

    Raises:
        CalibrationFileError: With file, point and field.
    """
    place = Place(Path(path))
    points = anipose.parse(read_bytes(place.path), place.path).get("points")
    if not isinstance(points, dict) or not points:
        raise place.error("has no points", "write a table [points.NAME] for each")
    return {name: _landmark(table, place.of(name)) for name, table in points.items()}


def _landmark(table: object, place: Place) -> Landmark:
    if not isinstance(table, dict) or "court_m" not in table:
        raise place.error("is missing", "write court_m = [x, y, z] in metres", "court_m")
    unknown = sorted(set(table) - set(_FIELDS))
    if unknown:
        raise place.error("is not known", f"use {', '.join(_FIELDS)}", unknown[0])
    pixels = table.get("pixels", {})
    if not isinstance(pixels, dict) or not ("rig_m" in table) ^ bool(pixels):
        raise place.error(
            "need one of `pixels` (a table by camera) and `rig_m`",
            "say where the rig sees the point",
            "pixels",
        )
    return Landmark(
        court_m=numbers(table["court_m"], 3, place, "court_m"),
        rig_m=numbers(table["rig_m"], 3, place, "rig_m") if "rig_m" in table else None,
        pixels={camera: numbers(uv, 2, place, f"pixels.{camera}") for camera, uv in pixels.items()},
    )


def positions_in_rig(rig: Rig, landmarks: Mapping[str, Landmark]) -> dict[str, Array]:
    """Where the rig sees each point, in its own world (3,), m.

    Raises:
        AlignmentError: A point whose pixels do not meet.
        InvalidInputError: A camera that the rig lacks.
    """
    return {name: _position(rig, name, point) for name, point in landmarks.items()}


def _position(rig: Rig, name: str, landmark: Landmark) -> Array:
    if landmark.rig_m is not None:
        return landmark.rig_m
    uv = np.full((len(rig), 2), np.nan)
    for camera, pixel in landmark.pixels.items():
        uv[rig.index(camera)] = pixel
    found = triangulate(rig, uv, sigma_px=MARKING_SIGMA_PX).points_m
    if not np.isfinite(found).all():
        raise AlignmentError(
            f"the pixels of point {name!r} ({', '.join(landmark.pixels)}) meet in no point of two "
            "or more cameras; mark it again",
            point=name,
        )
    return found
