"""What a camera may be: every field of a Rig is looked at here before it becomes one."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accel.errors import CalibrationError, InvalidInputError

Array = NDArray[np.float64]

ROTATION_TOLERANCE: Final = 1e-3
"""How far R R^T may be from the identity: calibrations are written with three digits and more."""
ROTATION_EXACT: Final = 1e-9
"""A rotation nearer than this is kept bit by bit; one further away is moved onto the rotations."""


def checked_scale(scale: object) -> float:
    """A positive number of metres per unit."""
    if isinstance(scale, numbers.Real) and 0 < float(scale) < math.inf:
        return float(scale)
    raise InvalidInputError(
        f"scale is {scale!r}; give a positive number of metres per unit of the file"
    )


def float_array(field: str, values: ArrayLike) -> Array:
    """The values as float64, NaN and infinity among them."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{field} is no array of numbers: {error}") from error


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """One name or more, each printable and its own."""
    if isinstance(names, str):
        raise CalibrationError(f"names is the text {names!r}; give a list of names", field="names")
    known = tuple(names)
    for name in known:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise CalibrationError(
                f"{name!r} is no camera name; use printable text that is not empty", field="names"
            )
    if not known or len(set(known)) != len(known):
        twice = sorted({name for name in known if known.count(name) > 1})
        what = f"the names {', '.join(twice)} occur twice" if twice else "there is no camera"
        raise CalibrationError(f"{what}; a rig has cameras with names of their own", field="names")
    return known


def finite_array(
    field: str, values: ArrayLike, names: tuple[str, ...], shape: tuple[int, ...] | None = None
) -> Array:
    """A finite copy of the values, of this shape."""
    try:
        out = np.array(values, dtype=np.float64, order="C")
    except (OverflowError, TypeError, ValueError) as error:
        raise CalibrationError(f"{field} is no array of numbers: {error}", field=field) from error
    if shape is not None and out.shape != shape:
        raise CalibrationError(
            f"{field} has shape {out.shape}; {len(names)} cameras need {shape}", field=field
        )
    if not np.isfinite(out).all():
        which = names[int(np.argwhere(~np.isfinite(out))[0][0])] if out.ndim and shape else ""
        raise _wrong(field, which, "holds NaN or infinity", "calibrate this camera anew")
    return out


def _wrong(field: str, camera: str, what: str, remedy: str) -> CalibrationError:
    where = f"camera {camera!r}: " if camera else ""
    return CalibrationError(f"{where}{field} {what}; {remedy}", field=field, camera=camera)


def checked_intrinsics(K: Array, names: tuple[str, ...]) -> Array:
    """Upper triangular K with positive focal lengths."""
    for matrix, name in zip(K, names, strict=True):
        if matrix[1, 0] or matrix[2, 0] or matrix[2, 1] or matrix[2, 2] != 1.0:
            raise _wrong(
                "K",
                name,
                "is not [[fx, skew, cx], [0, fy, cy], [0, 0, 1]]",
                "transpose or scale it",
            )
        if not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
            raise _wrong("K", name, "has a focal length that is not positive", "check its sign")
    return K


def checked_rotations(R: Array, names: tuple[str, ...]) -> Array:
    """Rotations, those that a file rounded moved to the nearest one."""
    for i, name in enumerate(names):
        bounded = np.clip(R[i], -2.0, 2.0)  # What is larger is none, and squared may overflow.
        error = float(np.abs(bounded @ bounded.T - np.eye(3)).max())
        if not error <= ROTATION_TOLERANCE:
            raise _wrong(
                "R",
                name,
                f"is no rotation: R R^T differs from the identity by {error:.2g}",
                "give world-to-camera rotations with four digits or more",
            )
        if np.linalg.det(R[i]) < 0:
            raise _wrong(
                "R", name, "is a reflection (determinant -1)", "flip one axis of its frame"
            )
        if error > ROTATION_EXACT:
            left, _, right = np.linalg.svd(R[i])
            R[i] = left @ right
    return R


def checked_sizes(size: Array, names: tuple[str, ...]) -> Array:
    """Whole numbers of pixels."""
    for pair, name in zip(size, names, strict=True):
        if not (pair >= 1).all() or not (pair == np.rint(pair)).all():
            raise _wrong(
                "size",
                name,
                f"is {pair[0]:g} x {pair[1]:g}",
                "give width and height in whole pixels",
            )
    return size


def checked_readout(readout: Array, names: tuple[str, ...]) -> Array:
    """One time for each camera."""
    count = len(names)
    if readout.shape not in {(), (count,)}:
        raise CalibrationError(
            f"readout_ms has shape {readout.shape}; give one number or {count}", field="readout_ms"
        )
    out = np.array(np.broadcast_to(readout, (count,)))
    if not ((out >= 0) & (out <= 1000)).all():
        bad = names[int(np.argmax(~((out >= 0) & (out <= 1000))))]
        raise _wrong("readout_ms", bad, "lies outside 0..1000", "give milliseconds a frame")
    return out
