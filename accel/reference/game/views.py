"""What C views say of joints: images, their slopes, and the evidence of many steps at once.

Cameras come first in every array, (C, K, B, J): a camera's numbers then multiply long runs of
memory, which is what NumPy and GPUs are fast at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accel.reference.cameras import (
    MIN_DEPTH_M,
    Array,
    Cameras,
    Model,
    distort_slopes,
    model_of,
    quiet,
)


@dataclass(frozen=True, slots=True)
class Lens:
    """The cameras' numbers, each (C, 1, 1, 1)."""

    xp: Any
    k: dict[str, Array]
    rotation: list[list[Array]]
    t: list[Array]
    limit: Array
    center: list[Array]

    @classmethod
    def of(cls, rig: Cameras, xp: Any) -> Lens:
        """From a rig."""
        model: Model = model_of(rig, xp.zeros(1, dtype=xp.float64))
        shape = (-1, 1, 1, 1)
        return cls(
            xp=xp,
            k={name: xp.reshape(values, shape) for name, values in model.k.items()},
            rotation=[[xp.reshape(model.R[:, i, j], shape) for j in range(3)] for i in range(3)],
            t=[xp.reshape(model.t[:, i], shape) for i in range(3)],
            limit=xp.reshape(model.limit, shape),
            center=[xp.reshape(model.center[:, i], shape) for i in range(3)],
        )


@dataclass(frozen=True, slots=True)
class Image:
    """Where points lie in the cameras, (C, K, B, J) each, and how the image moves with them."""

    u: Array
    v: Array
    valid: Array
    slope_u: list[Array]
    """d u / d (x, y, z) of the world, px/m."""
    slope_v: list[Array]


@quiet
def image(lens: Lens, point: list[Array]) -> Image:
    """Images of points given as x, y, z, each (C or 1, K, B, J)."""
    xp, k, R = lens.xp, lens.k, lens.rotation
    local = [
        R[i][0] * point[0] + R[i][1] * point[1] + R[i][2] * point[2] + lens.t[i] for i in range(3)
    ]
    front = local[2] > MIN_DEPTH_M
    over = 1.0 / xp.where(front, local[2], 1.0)
    x, y = local[0] * over, local[1] * over
    r2 = x * x + y * y
    valid = front & (r2 < lens.limit)
    x, y = xp.where(valid, x, 0.0), xp.where(valid, y, 0.0)
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k["k1"] + r2 * (k["k2"] + r2 * k["k3"]))
    xy = 2.0 * x * y
    xd = x * radial + k["p1"] * xy + k["p2"] * (r2 + 2.0 * x * x)
    yd = y * radial + k["p1"] * (r2 + 2.0 * y * y) + k["p2"] * xy
    sxx, sxy, syy = distort_slopes(k, x, y)
    ux, uy = (k["fx"] * sxx + k["skew"] * sxy) * over, (k["fx"] * sxy + k["skew"] * syy) * over
    vx, vy = k["fy"] * sxy * over, k["fy"] * syy * over
    uz, vz = -(ux * x + uy * y), -(vx * x + vy * y)
    return Image(
        u=k["fx"] * xd + k["skew"] * yd + k["cx"],
        v=k["fy"] * yd + k["cy"],
        valid=valid,
        slope_u=[ux * R[0][i] + uy * R[1][i] + uz * R[2][i] for i in range(3)],
        slope_v=[vx * R[0][i] + vy * R[1][i] + vz * R[2][i] for i in range(3)],
    )


def spread_of(slope: list[Array], covariance: Array) -> Array:
    """J P J^T of one image coordinate, px^2, with P (K, B, J, 3, 3)."""
    a, b, c = slope
    p = covariance
    return (
        a * (a * p[..., 0, 0] + 2.0 * (b * p[..., 0, 1] + c * p[..., 0, 2]))
        + b * (b * p[..., 1, 1] + 2.0 * c * p[..., 1, 2])
        + c * c * p[..., 2, 2]
    )


@dataclass(frozen=True, slots=True)
class Normal:
    """Weighted least squares of the views, summed over cameras."""

    information: Array
    """(K, B, J, 3, 3) sum of w J^T J, 1/m^2."""
    gradient: Array
    """(K, B, J, 3) sum of w J^T e, 1/m."""


@quiet
def normal_equations(xp: Any, found: Image, error: tuple[Array, Array], weight: Array) -> Normal:
    """From residuals (C, K, B, J) in px and weights in 1/px^2."""
    wu = [weight * s for s in found.slope_u]
    wv = [weight * s for s in found.slope_v]
    pairs = {
        (i, j): xp.sum(wu[i] * found.slope_u[j] + wv[i] * found.slope_v[j], axis=0)
        for i in range(3)
        for j in range(i, 3)
    }
    rows = [xp.stack([pairs[min(i, j), max(i, j)] for j in range(3)], axis=-1) for i in range(3)]
    gradient = [xp.sum(wu[i] * error[0] + wv[i] * error[1], axis=0) for i in range(3)]
    return Normal(xp.stack(rows, axis=-2), xp.stack(gradient, axis=-1))
