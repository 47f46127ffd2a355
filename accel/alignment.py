"""Placing a rig on the court by named points: the best rotation, translation and perhaps scale.

Formula: Umeyama, Least-Squares Estimation of Transformation Parameters Between Two Point Patterns,
IEEE PAMI 13 (1991), equations 39 to 43.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accel.errors import AlignmentError
from accel.rig import Rig

Array = NDArray[np.float64]

MIN_SPREAD = 1e-6
"""Points count as one line where their second extent is this fraction of the first."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """A rig on the court, and how well the points fit: X_court = scale Q X_rig + b.

    Unpacks as `rig, rms_m`.
    """

    rig: Rig
    """The same cameras in the court's frame."""
    residual_m: Mapping[str, float]
    """Distance of each point from where it should be, m."""
    rms_m: float
    """Root mean square of these, m."""
    scale: float
    """What the rig's lengths were multiplied by; 1 unless scale was asked for."""
    rotation: Array
    """Q (3, 3)."""
    translation_m: Array
    """b (3,), m."""

    def __iter__(self) -> Iterator[Rig | float]:
        return iter((self.rig, self.rms_m))


def align(
    rig: Rig,
    points_rig: Mapping[str, ArrayLike],
    points_court: Mapping[str, ArrayLike],
    *,
    with_scale: bool,
) -> Alignment:
    """Move a rig so that its points come to lie on the court's; see `Rig.to_world`."""
    names = _common_names(points_rig, points_court)
    source = np.stack([_position(points_rig, name, "points_rig") for name in names])
    target = np.stack([_position(points_court, name, "points_court") for name in names])
    scale, rotation, translation = _similarity(source, target, with_scale=with_scale)
    moved = scale * source @ rotation.T + translation
    residual = np.linalg.norm(moved - target, axis=1)
    return Alignment(
        rig=_moved(rig, scale, rotation, translation),
        residual_m=dict(zip(names, residual.tolist(), strict=True)),
        rms_m=float(np.sqrt(np.mean(residual**2))),
        scale=scale,
        rotation=rotation,
        translation_m=translation,
    )


def _common_names(
    points_rig: Mapping[str, ArrayLike], points_court: Mapping[str, ArrayLike]
) -> list[str]:
    unknown = sorted(set(points_rig) - set(points_court))
    if unknown:
        raise AlignmentError(
            f"the court has no point {', '.join(unknown)}; it has "
            f"{', '.join(sorted(points_court))}",
            points=unknown,
        )
    if len(points_rig) < 3:
        raise AlignmentError(
            f"{len(points_rig)} points do not place a rig; give three or more that lie on no line"
        )
    return list(points_rig)


def _position(points: Mapping[str, ArrayLike], name: str, field: str) -> Array:
    try:
        position = np.asarray(points[name], dtype=np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise AlignmentError(f"{field}[{name!r}] is no position: {error}", point=name) from error
    if position.shape != (3,) or not np.isfinite(position).all():
        raise AlignmentError(
            f"{field}[{name!r}] is {position.tolist()}; give three finite numbers, m", point=name
        )
    return position


def _similarity(source: Array, target: Array, *, with_scale: bool) -> tuple[float, Array, Array]:
    """The scale, rotation and translation of least squares from source (N, 3) to target (N, 3)."""
    _refuse_line(source, "rig")
    _refuse_line(target, "court")
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - from_mean
    left, spread, right = np.linalg.svd((target - to_mean).T @ centred)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = (left * signs) @ right
    scale = float((spread * signs).sum() / (centred**2).sum()) if with_scale else 1.0
    return scale, rotation, to_mean - scale * rotation @ from_mean


def _refuse_line(points: Array, where: str) -> None:
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if not spread[1] > MIN_SPREAD * max(spread[0], MIN_SPREAD):
        raise AlignmentError(
            f"the {where}'s points lie on one line (or in one place), around which the rig could "
            "turn; add a point beside it"
        )


def _moved(rig: Rig, scale: float, rotation: Array, translation: Array) -> Rig:
    # x_cam = R X + t, both scaled, with X = Q^T (X_court - b) / scale.
    R = rig.R @ rotation.T
    t = scale * rig.t - R @ translation
    return Rig(rig.names, rig.K, rig.dist, R, t, rig.size, rig.readout_ms)
