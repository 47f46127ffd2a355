"""Small matrices in plain array code."""

from __future__ import annotations

from typing import Any

from accel.reference.cameras import Array


def inverse(xp: Any, a: Array) -> Array:
    """The inverse of (..., n, n): by cofactors for n = 3, where a batched solver is slow."""
    if a.shape[-1] != 3:
        return xp.linalg.inv(a)
    (a00, a01, a02), (a10, a11, a12), (a20, a21, a22) = (
        tuple(a[..., i, j] for j in range(3)) for i in range(3)
    )
    c00, c01, c02 = a11 * a22 - a12 * a21, a12 * a20 - a10 * a22, a10 * a21 - a11 * a20
    scale = 1.0 / (a00 * c00 + a01 * c01 + a02 * c02)
    rows = (
        (c00, a02 * a21 - a01 * a22, a01 * a12 - a02 * a11),
        (c01, a00 * a22 - a02 * a20, a02 * a10 - a00 * a12),
        (c02, a01 * a20 - a00 * a21, a00 * a11 - a01 * a10),
    )
    stacked = xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)
    return stacked * scale[..., None, None]


def largest_eigenvalue(xp: Any, a: Array) -> Array:
    """Of symmetric (..., 3, 3), by the cubic's trigonometric solution (Smith 1961)."""
    mean = (a[..., 0, 0] + a[..., 1, 1] + a[..., 2, 2]) / 3.0
    x, y, z = (a[..., i, i] - mean for i in range(3))
    xy, xz, yz = a[..., 0, 1], a[..., 0, 2], a[..., 1, 2]
    spread = (x * x + y * y + z * z + 2.0 * (xy * xy + xz * xz + yz * yz)) / 6.0
    p = xp.sqrt(spread)
    det = x * (y * z - yz * yz) - xy * (xy * z - yz * xz) + xz * (xy * yz - y * xz)
    safe = xp.where(p > 0, p, 1.0)
    cosine = xp.clip(det / (2.0 * safe * safe * safe), -1.0, 1.0)
    return mean + 2.0 * p * xp.cos(xp.acos(cosine) / 3.0)
