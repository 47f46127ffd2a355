"""Robust triangulation of points seen by several cameras; core/triangulate.hpp has the rules."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accel import _core
from accel.checks import float_array
from accel.errors import InvalidInputError
from accel.rig import Rig


class Triangulation(NamedTuple):
    """Points with their uncertainty, and which views they rest on."""

    points_m: NDArray[np.float64]
    """World positions (..., 3), m; NaN where there is none."""
    covariance_m2: NDArray[np.float64]
    """Covariances (..., 3, 3), m^2, for the given sigma; NaN where there is no point."""
    residual_px: NDArray[np.float64]
    """Distance (..., C) of each pixel from the point's image, px, of outliers too; NaN where the
    pixel is missing or there is no point or image."""
    inliers: NDArray[np.bool_]
    """The views (..., C) that the point rests on: two or more, or none."""


def triangulate(
    rig: Rig, uv: ArrayLike, confidence: ArrayLike | None = None, sigma_px: float = 2.0
) -> Triangulation:
    """Points from their images, each with two or more agreeing views.

    A view is missing where its pixel is not finite or its confidence is 0, negative or not finite.
    Views further than the 99.9 % gate (3.72 sigma_px) from the point's image are outliers. There
    is no point where fewer than two views agree, where they lie behind the cameras, or where the
    rays are so nearly parallel that the information matrix has a condition number above 1e6.

    Args:
        rig: The C cameras.
        uv: Distorted pixels (..., C, 2).
        confidence: Weights (..., C), None is 1 each: a keypoint's variance is sigma_px^2 / weight.
        sigma_px: Standard deviation of a keypoint of confidence 1 along u and v, px.

    Returns:
        The points, in a `Triangulation`.

    Raises:
        InvalidInputError: Shapes that do not fit the rig, or a sigma that is not positive.
    """
    pixels = float_array("uv", uv)
    count = len(rig)
    if pixels.ndim < 2 or pixels.shape[-2:] != (count, 2):
        raise InvalidInputError(
            f"uv has shape {pixels.shape}; this rig of {count} cameras needs (..., {count}, 2)"
        )
    if not (np.isfinite(sigma_px) and sigma_px > 0):
        raise InvalidInputError(f"sigma_px is {sigma_px!r}; give a positive number of pixels")
    lead = pixels.shape[:-2]
    flat = np.ascontiguousarray(pixels.reshape(-1, count, 2))
    weights = None if confidence is None else _weights(confidence, (*lead, count))
    points, covariance, residual, inliers = _core.triangulate(
        rig._native, flat, weights, float(sigma_px)
    )
    return Triangulation(
        points_m=points.reshape(*lead, 3),
        covariance_m2=covariance.reshape(*lead, 3, 3),
        residual_px=residual.reshape(*lead, count),
        inliers=inliers.reshape(*lead, count),
    )


def _weights(confidence: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    weights = float_array("confidence", confidence)
    try:
        full = np.broadcast_to(weights, shape)
    except ValueError as error:
        raise InvalidInputError(
            f"confidence has shape {weights.shape}; uv needs {shape}"
        ) from error
    return np.ascontiguousarray(full.reshape(-1, shape[-1]))
