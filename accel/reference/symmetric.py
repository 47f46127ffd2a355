"""Symmetric 3x3 matrices (..., 3, 3) in plain array code."""

from __future__ import annotations

from typing import Any

from accel.reference.cameras import Array


def times(xp: Any, matrix: Array, vector: Array) -> Array:
    """The products (..., 3) with vectors (..., 3)."""
    return xp.sum(matrix * vector[..., None, :], axis=-1)


def inverse_of(xp: Any, a: Array) -> tuple[Array, Array]:
    """The inverse by cofactors, and whether the matrix is positive definite; else zeros."""
    xx, xy, xz = a[..., 0, 0], a[..., 0, 1], a[..., 0, 2]
    yy, yz, zz = a[..., 1, 1], a[..., 1, 2], a[..., 2, 2]
    top = (yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy)
    rest = (xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy)
    det = xx * top[0] + xy * top[1] + xz * top[2]
    good = (det > 0) & xp.isfinite(det) & (xx > 0) & (rest[2] > 0)
    scale = xp.where(good, 1.0 / xp.where(good, det, 1.0), 0.0)
    good = good & xp.isfinite(scale)
    rows = (
        xp.stack(top, axis=-1),
        xp.stack((top[1], rest[0], rest[1]), axis=-1),
        xp.stack((top[2], rest[1], rest[2]), axis=-1),
    )
    inverse = xp.stack(rows, axis=-2) * scale[..., None, None]
    return xp.where(good[..., None, None], inverse, 0.0), good


def frobenius(xp: Any, a: Array, b: Array) -> Array:
    """The product of two Frobenius norms: the condition number of a matrix and its inverse."""
    norms = [xp.sqrt(xp.sum(xp.sum(matrix * matrix, axis=-1), axis=-1)) for matrix in (a, b)]
    return norms[0] * norms[1]
