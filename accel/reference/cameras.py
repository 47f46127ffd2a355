"""Cameras in plain array code: projection, its slopes, undistortion, rays."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""An array of whichever library the caller uses."""

MIN_DEPTH_M = 1e-6
NEWTON_STEPS = 25
NEWTON_TOLERANCE = 1e-13
NEWTON_ACCEPT = 1e-10

# What diverges or lies behind a camera overflows on its way to being refused.
quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")


class Cameras(Protocol):
    """C cameras, or for each point C cameras of its own: (..., C, ...)."""

    @property
    def K(self) -> NDArray[np.float64]:  # noqa: N802 - the names that the field uses
        """Intrinsics (..., C, 3, 3), px."""

    @property
    def dist(self) -> NDArray[np.float64]:
        """Distortion (..., C, 5): k1 k2 p1 p2 k3."""

    @property
    def R(self) -> NDArray[np.float64]:  # noqa: N802
        """Rotation (..., C, 3, 3), world to camera."""

    @property
    def t(self) -> NDArray[np.float64]:
        """Translation (..., C, 3), m."""


@dataclass(frozen=True, slots=True)
class Model:
    """The cameras' numbers, one array (..., C) each, in the caller's library."""

    xp: Any
    k: dict[str, Array]
    R: Array
    t: Array
    center: Array
    limit: Array


@quiet
def project(rig: Cameras, points_m: Array) -> Array:
    """Distorted pixels (..., C, 2) of world points (..., 3), m; NaN where there is no image."""
    points = floats(points_m)
    model = model_of(rig, points)
    uv, valid = image(model, points)
    return model.xp.where(valid[..., None], uv, model.xp.nan)


@quiet
def undistort(rig: Cameras, uv: Array, camera: int) -> Array:
    """Normalised coordinates (..., 2) of one camera's pixels (..., 2); NaN where no ray is."""
    pixels = floats(uv)
    model = model_of(rig, pixels)
    xp = model.xp
    one = Model(
        xp=xp,
        k={name: values[..., camera] for name, values in model.k.items()},
        R=model.R[..., camera, :, :],
        t=model.t[..., camera, :],
        center=model.center[..., camera, :],
        limit=model.limit[..., camera],
    )
    xy, valid = normalised(one, pixels)
    return xp.where(valid[..., None], xy, xp.nan)


def floats(values: Array) -> Array:
    """The values as float64 in their own library, or in NumPy where they are of none."""
    array = values if hasattr(values, "dtype") else np.asarray(values, np.float64)
    xp = namespace_of(array)
    return xp.astype(array, xp.float64)


def namespace_of(array: Array) -> Any:
    """The library of an array: what it says itself, else the one that its type comes from."""
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    # CuPy 14 has the functions of the standard, but its arrays do not say so.
    return sys.modules[type(array).__module__.partition(".")[0]]


def model_of(rig: Cameras, like: Array) -> Model:
    """The cameras' numbers in the library of an array."""
    xp = namespace_of(like)
    K, dist, R, t = (np.asarray(values, np.float64) for values in (rig.K, rig.dist, rig.R, rig.t))
    terms = {
        "fx": K[..., 0, 0],
        "fy": K[..., 1, 1],
        "skew": K[..., 0, 1],
        "cx": K[..., 0, 2],
        "cy": K[..., 1, 2],
        **{name: dist[..., i] for i, name in enumerate(("k1", "k2", "p1", "p2", "k3"))},
    }
    center = -np.sum(R * t[..., None], axis=-2)
    return Model(
        xp=xp,
        k={name: xp.asarray(values) for name, values in terms.items()},
        R=xp.asarray(R),
        t=xp.asarray(t),
        center=xp.asarray(center),
        limit=xp.asarray(_growth_limit(dist)),
    )


def _growth_limit(dist: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest r^2 > 0 where r (1 + k1 r^2 + k2 r^4 + k3 r^6) stops growing, else infinity."""
    # With x = 1 / r^2: x^3 + 3 k1 x^2 + 5 k2 x + 7 k3 = 0, and the largest x is wanted.
    companion = np.zeros((*dist.shape[:-1], 3, 3))
    companion[..., 0, :] = -dist[..., [0, 1, 4]] * np.array([3.0, 5.0, 7.0])
    companion[..., 1, 0] = companion[..., 2, 1] = 1.0
    roots = np.linalg.eigvals(companion)
    real = np.where(np.abs(roots.imag) <= 1e-12 * np.abs(roots), roots.real, 0.0)
    largest = np.max(real, axis=-1)
    return np.where(largest > 1e-12, 1.0 / np.maximum(largest, 1e-12), np.inf)


def _distort(k: dict[str, Array], x: Array, y: Array) -> tuple[Array, Array]:
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k["k1"] + r2 * (k["k2"] + r2 * k["k3"]))
    xd = x * radial + 2.0 * k["p1"] * (x * y) + k["p2"] * (r2 + 2.0 * (x * x))
    yd = y * radial + k["p1"] * (r2 + 2.0 * (y * y)) + 2.0 * k["p2"] * (x * y)
    return xd, yd


def distort_slopes(k: dict[str, Array], x: Array, y: Array) -> tuple[Array, Array, Array]:
    """D xd / d x, d xd / d y (which is d yd / d x) and d yd / d y."""
    r2 = x * x + y * y
    radial = 1.0 + k["k1"] * r2 + k["k2"] * r2 * r2 + k["k3"] * r2 * r2 * r2
    slope = k["k1"] + 2.0 * k["k2"] * r2 + 3.0 * k["k3"] * r2 * r2
    xx = radial + 2.0 * x * x * slope + 2.0 * k["p1"] * y + 6.0 * k["p2"] * x
    xy = 2.0 * x * y * slope + 2.0 * k["p1"] * x + 2.0 * k["p2"] * y
    yy = radial + 2.0 * y * y * slope + 6.0 * k["p1"] * y + 2.0 * k["p2"] * x
    return xx, xy, yy


def in_camera(model: Model, points: Array) -> tuple[Array, Array, Array, Array]:
    """x/z, y/z, z (..., C) in each camera, and whether the point has an image there."""
    xp = model.xp
    moved = model.R * points[..., None, None, :]
    local = moved[..., 0] + moved[..., 1] + moved[..., 2] + model.t
    front = local[..., 2] > MIN_DEPTH_M
    z = xp.where(front, local[..., 2], 1.0)
    x, y = local[..., 0] / z, local[..., 1] / z
    valid = front & (x * x + y * y < model.limit)
    return xp.where(valid, x, 0.0), xp.where(valid, y, 0.0), z, valid


def image(model: Model, points: Array) -> tuple[Array, Array]:
    """Pixels (..., C, 2) of world points (..., 3), and whether they have one."""
    x, y, _, valid = in_camera(model, points)
    k = model.k
    xd, yd = _distort(k, x, y)
    uv = model.xp.stack((k["fx"] * xd + k["skew"] * yd + k["cx"], k["fy"] * yd + k["cy"]), axis=-1)
    return uv, valid


def normalised(model: Model, uv: Array) -> tuple[Array, Array]:
    """x/z, y/z (..., 2) of pixels by Newton's method kept within the growing part, and success."""
    xp, k, limit = model.xp, model.k, model.limit
    finite = xp.all(xp.isfinite(uv), axis=-1)
    v_target = (xp.where(finite, uv[..., 1], 0.0) - k["cy"]) / k["fy"]
    u_target = (xp.where(finite, uv[..., 0], 0.0) - k["cx"] - k["skew"] * v_target) / k["fx"]
    x, y = _held(xp, u_target, v_target, limit, 0.81)
    open_, failed = finite, ~finite
    error = xp.full(finite.shape, xp.inf)
    for _ in range(NEWTON_STEPS):
        xd, yd = _distort(k, x, y)
        ex, ey = u_target - xd, v_target - yd
        now = xp.maximum(xp.abs(ex), xp.abs(ey))
        error = xp.where(open_, now, error)
        open_ = open_ & (now > NEWTON_TOLERANCE)
        if not bool(xp.any(open_)):
            break
        xx, xy, yy = distort_slopes(k, x, y)
        det = xx * yy - xy * xy
        failed = failed | (open_ & ~(xp.abs(det) > 1e-12))
        open_ = open_ & ~failed
        det = xp.where(open_, det, 1.0)
        nx, ny = x + (yy * ex - xy * ey) / det, y + (xx * ey - xy * ex) / det
        nx, ny = _held(xp, nx, ny, limit, 0.998)
        x, y = xp.where(open_, nx, x), xp.where(open_, ny, y)
    return xp.stack((x, y), axis=-1), finite & ~failed & (error <= NEWTON_ACCEPT)


def _held(xp: Any, x: Array, y: Array, limit: Array, share: float) -> tuple[Array, Array]:
    """Points beyond the limit drawn back to this share of it, as squared radii."""
    r2 = x * x + y * y
    outside = r2 >= limit
    bounded = xp.where(xp.isfinite(limit), limit, 1.0)
    factor = xp.where(outside, xp.sqrt(share * bounded / xp.where(outside, r2, 1.0)), 1.0)
    return x * factor, y * factor


def directions(model: Model, xy: Array) -> Array:
    """Unit directions (..., C, 3) in the world of normalised coordinates (..., C, 2)."""
    xp = model.xp
    local = xp.concat((xy, xp.ones((*xy.shape[:-1], 1), dtype=xp.float64)), axis=-1)
    world = xp.sum(model.R * local[..., None], axis=-2)
    return world / xp.sqrt(xp.sum(world * world, axis=-1, keepdims=True))
