"""Projection, undistortion and triangulation in plain array code: the oracle of the C++ core.

Everything runs on the Python array API: the namespace is taken from the points or pixels given, so
that NumPy (2.1 and later), CuPy and others do. The rules are those of core/triangulate.hpp, written
anew for whole batches; nothing of the core is called. `rig` is a `Rig`, or anything with K, dist, R
and t as NumPy arrays, whose leading axes may hold one rig for each point.

Formulas: Brown, Close-Range Camera Calibration (1971), in OpenCV's order; Gauss-Newton on distorted
pixels, damped as by Marquardt (1963).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cameras", "Solution", "project", "triangulate", "undistort"]

Array: TypeAlias = Any
"""An array of whichever library the caller uses."""

MIN_DEPTH_M = 1e-6
GATE_CHI2 = -2.0 * math.log(0.001)
MAX_CONDITION = 1e6
MAX_PROPOSERS = 16
MAX_STEPS = 50
FREE_ROUNDS = 5
NEWTON_STEPS = 25
NEWTON_TOLERANCE = 1e-13
NEWTON_ACCEPT = 1e-10
PARALLEL_SIN2 = 1e-12
STEP_PX = 1e-7
COST_SLACK = 1e-12
FIRST_DAMPING = 1e-3
MOST_DAMPING = 1e8


# What diverges or lies behind a camera overflows on its way to being refused.
_quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")


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
class Solution:
    """What `triangulate` finds, in arrays of the caller's library; see `accel.Triangulation`."""

    points_m: Array
    """World positions (..., 3), m; NaN where there is none."""
    covariance_m2: Array
    """Covariances (..., 3, 3), m^2."""
    residual_px: Array
    """Distance (..., C) of each pixel from the point's image, px."""
    inliers: Array
    """The views (..., C) that the point rests on."""
    condition: Array
    """Condition number (...) of the information matrix, by Frobenius norms; NaN where nothing was
    solved, above 1e6 where a solution was refused for it."""


@dataclass(frozen=True, slots=True)
class _Model:
    """The cameras' numbers, one array (..., C) each, in the caller's library."""

    xp: Any
    k: dict[str, Array]
    R: Array
    t: Array
    center: Array
    limit: Array


@_quiet
def project(rig: Cameras, points_m: Array) -> Array:
    """Distorted pixels (..., C, 2) of world points (..., 3), m; NaN where there is no image."""
    points = _floats(points_m)
    model = _model(rig, points)
    uv, valid = _image(model, points)
    return model.xp.where(valid[..., None], uv, model.xp.nan)


@_quiet
def undistort(rig: Cameras, uv: Array, camera: int) -> Array:
    """Normalised coordinates (..., 2) of one camera's pixels (..., 2); NaN where no ray is."""
    pixels = _floats(uv)
    model = _model(rig, pixels)
    xp = model.xp
    one = _Model(
        xp=xp,
        k={name: values[..., camera] for name, values in model.k.items()},
        R=model.R[..., camera, :, :],
        t=model.t[..., camera, :],
        center=model.center[..., camera, :],
        limit=model.limit[..., camera],
    )
    xy, valid = _normalised(one, pixels)
    return xp.where(valid[..., None], xy, xp.nan)


@_quiet
def triangulate(
    rig: Cameras, uv: Array, confidence: Array | None = None, sigma_px: float = 2.0
) -> Solution:
    """Points from pixels (..., C, 2), with weights (..., C); see `accel.triangulate`."""
    seen = _floats(uv)
    model = _model(rig, seen)
    xp = model.xp
    weights = xp.ones(seen.shape[:-1], dtype=xp.float64)
    if confidence is not None:
        weights = xp.broadcast_to(_floats(confidence), weights.shape)
    present = xp.all(xp.isfinite(seen), axis=-1) & xp.isfinite(weights) & (weights > 0)
    pixels = xp.where(present[..., None], seen, 0.0)
    xy, has_ray = _normalised(model, pixels)
    views = _Views(
        model=model,
        uv=pixels,
        weights=xp.where(present & has_ray, weights, 0.0),
        takes_part=present & has_ray,
        direction=_directions(model, xy),
        gate2=GATE_CHI2 * sigma_px * sigma_px,
    )
    point, inliers, solved = _solve_robustly(views)
    information = _linearise(views, point, inliers).information
    inverse, regular = _inverse(xp, information)
    condition = xp.where(solved & regular, _frobenius(xp, information, inverse), xp.nan)
    good = solved & regular & (condition <= MAX_CONDITION)
    image, valid = _image(model, point)
    residual = xp.sqrt(xp.sum((pixels - image) ** 2, axis=-1))
    return Solution(
        points_m=xp.where(good[..., None], point, xp.nan),
        covariance_m2=xp.where(good[..., None, None], sigma_px * sigma_px * inverse, xp.nan),
        residual_px=xp.where(good[..., None] & present & valid, residual, xp.nan),
        inliers=inliers & good[..., None],
        condition=condition,
    )


# Cameras ------------------------------------------------------------------------------------------


def _floats(values: Array) -> Array:
    """The values as float64 in their own library, or in NumPy where they are of none."""
    array = values if hasattr(values, "__array_namespace__") else np.asarray(values, np.float64)
    xp = array.__array_namespace__()
    return xp.astype(array, xp.float64)


def _model(rig: Cameras, like: Array) -> _Model:
    xp = like.__array_namespace__()
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
    return _Model(
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


def _distort_slopes(k: dict[str, Array], x: Array, y: Array) -> tuple[Array, Array, Array]:
    """D xd / d x, d xd / d y (which is d yd / d x) and d yd / d y."""
    r2 = x * x + y * y
    radial = 1.0 + k["k1"] * r2 + k["k2"] * r2 * r2 + k["k3"] * r2 * r2 * r2
    slope = k["k1"] + 2.0 * k["k2"] * r2 + 3.0 * k["k3"] * r2 * r2
    xx = radial + 2.0 * x * x * slope + 2.0 * k["p1"] * y + 6.0 * k["p2"] * x
    xy = 2.0 * x * y * slope + 2.0 * k["p1"] * x + 2.0 * k["p2"] * y
    yy = radial + 2.0 * y * y * slope + 6.0 * k["p1"] * y + 2.0 * k["p2"] * x
    return xx, xy, yy


def _in_camera(model: _Model, points: Array) -> tuple[Array, Array, Array, Array]:
    """x/z, y/z, z (..., C) in each camera, and whether the point has an image there."""
    xp = model.xp
    moved = model.R * points[..., None, None, :]
    local = moved[..., 0] + moved[..., 1] + moved[..., 2] + model.t
    front = local[..., 2] > MIN_DEPTH_M
    z = xp.where(front, local[..., 2], 1.0)
    x, y = local[..., 0] / z, local[..., 1] / z
    valid = front & (x * x + y * y < model.limit)
    return xp.where(valid, x, 0.0), xp.where(valid, y, 0.0), z, valid


def _image(model: _Model, points: Array) -> tuple[Array, Array]:
    x, y, _, valid = _in_camera(model, points)
    k = model.k
    xd, yd = _distort(k, x, y)
    uv = model.xp.stack((k["fx"] * xd + k["skew"] * yd + k["cx"], k["fy"] * yd + k["cy"]), axis=-1)
    return uv, valid


def _normalised(model: _Model, uv: Array) -> tuple[Array, Array]:
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
        xx, xy, yy = _distort_slopes(k, x, y)
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


def _directions(model: _Model, xy: Array) -> Array:
    """Unit directions (..., C, 3) in the world of normalised coordinates (..., C, 2)."""
    xp = model.xp
    local = xp.concat((xy, xp.ones((*xy.shape[:-1], 1), dtype=xp.float64)), axis=-1)
    world = xp.sum(model.R * local[..., None], axis=-2)
    return world / xp.sqrt(xp.sum(world * world, axis=-1, keepdims=True))


# Triangulation ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Views:
    """What was seen of the points, missing views with weight 0."""

    model: _Model
    uv: Array
    weights: Array
    takes_part: Array
    direction: Array
    gate2: float


@dataclass(frozen=True, slots=True)
class _Linear:
    """The quadratic model of the cost at a point."""

    cost: Array
    weight: Array
    information: Array
    gradient: Array
    valid: Array


def _solve_robustly(views: _Views) -> tuple[Array, Array, Array]:
    """The points (..., 3), their inliers (..., C), and whether there is a solution."""
    xp = views.model.xp
    enough = xp.sum(xp.astype(views.takes_part, xp.int64), axis=-1) >= 2
    start, crossing = _intersect(views)
    point, found = _least_squares(views, start, views.takes_part, enough & crossing)
    agreed = found & xp.all(_within(views, point) | ~views.takes_part, axis=-1)
    if bool(xp.all(agreed | ~enough)):
        return point, views.takes_part & agreed[..., None], agreed
    proposal, proposed = _propose(views)
    other, inliers, settled = _settle(views, proposal, enough & proposed & ~agreed)
    return (
        xp.where(agreed[..., None], point, other),
        xp.where(agreed[..., None], views.takes_part, inliers),
        agreed | settled,
    )


def _intersect(views: _Views) -> tuple[Array, Array]:
    """The points nearest to all rays, and whether there is one."""
    xp = views.model.xp
    first = views.model.center[..., :1, :]
    center = views.model.center - first
    d, w = views.direction, views.weights[..., None]
    eye = xp.eye(3, dtype=xp.float64)
    across = eye - d[..., :, None] * d[..., None, :]
    a = xp.sum(w[..., None] * across, axis=-3)
    b = xp.sum(w * xp.sum(across * center[..., None, :], axis=-1), axis=-2)
    inverse, regular = _inverse(xp, a)
    return _times(xp, inverse, b) + first[..., 0, :], regular


def _least_squares(
    views: _Views, start: Array, inliers: Array, wanted: Array
) -> tuple[Array, Array]:
    """Damped Gauss-Newton from `start` over the inliers, and where it has converged."""
    xp = views.model.xp
    now, point = _linearise(views, start, inliers), start
    open_ = wanted & now.valid
    done = xp.zeros(wanted.shape, dtype=xp.bool)
    damping = xp.zeros(wanted.shape, dtype=xp.float64)
    for _ in range(MAX_STEPS):
        if not bool(xp.any(open_)):
            break
        eye = xp.eye(3, dtype=xp.float64)
        damped = now.information * (1.0 + damping[..., None, None] * eye)
        inverse, regular = _inverse(xp, damped)
        step = _times(xp, inverse, now.gradient)
        then = _linearise(views, point + step, inliers)
        better = then.valid & (then.cost <= now.cost + COST_SLACK * now.cost)
        moves = open_ & regular & better
        moved = xp.sum(step * _times(xp, now.information, step), axis=-1)
        done = done | (moves & (moved <= STEP_PX * STEP_PX * now.weight))
        point = xp.where(moves[..., None], point + step, point)
        now = _chosen(xp, moves, then, now)
        less = xp.where(damping <= FIRST_DAMPING, 0.0, 0.1 * damping)
        more = xp.where(damping == 0.0, FIRST_DAMPING, 10.0 * damping)
        damping = xp.where(moves, less, more)
        open_ = open_ & ~done & (damping <= MOST_DAMPING)
    return point, done


def _linearise(views: _Views, points: Array, inliers: Array) -> _Linear:
    xp, model = views.model.xp, views.model
    k = model.k
    x, y, z, valid = _in_camera(model, points)
    uv, _ = _image(model, points)
    xx, xy, yy = _distort_slopes(k, x, y)
    ux, uy = k["fx"] * xx + k["skew"] * xy, k["fx"] * xy + k["skew"] * yy
    vx, vy = k["fy"] * xy, k["fy"] * yy
    local = xp.stack(
        (
            xp.stack((ux / z, uy / z, -(ux * x + uy * y) / z), axis=-1),
            xp.stack((vx / z, vy / z, -(vx * x + vy * y) / z), axis=-1),
        ),
        axis=-2,
    )
    jacobian = xp.matmul(local, model.R)
    w = xp.where(inliers & valid, views.weights, 0.0)
    r = views.uv - uv
    weighted = w[..., None, None] * jacobian
    return _Linear(
        cost=xp.sum(w * xp.sum(r * r, axis=-1), axis=-1),
        weight=xp.sum(w, axis=-1),
        information=xp.sum(xp.matmul(xp.matrix_transpose(jacobian), weighted), axis=-3),
        gradient=xp.sum(xp.sum(weighted * r[..., None], axis=-2), axis=-2),
        valid=xp.all(valid | ~inliers, axis=-1),
    )


def _chosen(xp: Any, take: Array, a: _Linear, b: _Linear) -> _Linear:
    return _Linear(
        cost=xp.where(take, a.cost, b.cost),
        weight=xp.where(take, a.weight, b.weight),
        information=xp.where(take[..., None, None], a.information, b.information),
        gradient=xp.where(take[..., None], a.gradient, b.gradient),
        valid=xp.where(take, a.valid, b.valid),
    )


def _squared_residuals(views: _Views, points: Array) -> Array:
    uv, valid = _image(views.model, points)
    squares = views.model.xp.sum((views.uv - uv) ** 2, axis=-1)
    return views.model.xp.where(valid, squares, views.model.xp.inf)


def _within(views: _Views, points: Array) -> Array:
    return _squared_residuals(views, points) <= views.gate2


def _propose(views: _Views) -> tuple[Array, Array]:
    """The midpoint of two rays that costs all views least, and whether there is one."""
    xp = views.model.xp
    proposes = _proposers(views)
    least = xp.full(views.uv.shape[:-2], xp.inf)
    best = xp.zeros((*views.uv.shape[:-2], 3), dtype=xp.float64)
    count = views.uv.shape[-2]
    for i in range(count):
        for j in range(i + 1, count):
            point, ahead = _midpoint(views, i, j)
            usable = ahead & proposes[..., i] & proposes[..., j]
            squares = xp.minimum(_squared_residuals(views, point), xp.asarray(views.gate2))
            cost = xp.where(usable, xp.sum(views.weights * squares, axis=-1), xp.inf)
            better = cost < least
            least = xp.where(better, cost, least)
            best = xp.where(better[..., None], point, best)
    return best, xp.isfinite(least)


def _proposers(views: _Views) -> Array:
    """The views that propose: the most confident ones, the earlier where they are equal."""
    xp = views.model.xp
    w = views.weights
    index = xp.arange(w.shape[-1])
    earlier = index[None, :] < index[:, None]
    above = w[..., None, :] > w[..., :, None]
    ahead = above | ((w[..., None, :] == w[..., :, None]) & earlier)
    rank = xp.sum(xp.astype(ahead & views.takes_part[..., None, :], xp.int64), axis=-1)
    return views.takes_part & (rank < MAX_PROPOSERS)


def _midpoint(views: _Views, i: int, j: int) -> tuple[Array, Array]:
    """Halfway between the nearest points of two rays, and whether it lies ahead of both."""
    xp = views.model.xp
    a, b = views.model.center[..., i, :], views.model.center[..., j, :]
    da, db = views.direction[..., i, :], views.direction[..., j, :]
    cosine = xp.sum(da * db, axis=-1)
    # |da x db|^2 by Lagrange's identity would lose the digits that parallel rays need.
    normal = xp.linalg.cross(da, db)
    sin2 = xp.sum(normal * normal, axis=-1)
    crossing = sin2 > PARALLEL_SIN2
    safe = xp.where(crossing, sin2, 1.0)
    along_a, along_b = xp.sum((b - a) * da, axis=-1), xp.sum((b - a) * db, axis=-1)
    s, t = (along_a - cosine * along_b) / safe, (cosine * along_a - along_b) / safe
    point = 0.5 * (a + s[..., None] * da + b + t[..., None] * db)
    return point, crossing & (s > 0) & (t > 0)


def _settle(views: _Views, start: Array, wanted: Array) -> tuple[Array, Array, Array]:
    """Solve and gate in turn until the inliers stay; the points, inliers, and where they stayed."""
    xp = views.model.xp
    inliers = views.takes_part & _within(views, start) & wanted[..., None]
    point, open_ = start, wanted & _two(xp, inliers)
    settled = xp.zeros(wanted.shape, dtype=xp.bool)
    for round_ in range(FREE_ROUNDS + views.uv.shape[-2] + 1):
        if not bool(xp.any(open_)):
            break
        found, converged = _least_squares(views, point, inliers, open_)
        open_ = open_ & converged
        point = xp.where(open_[..., None], found, point)
        allowed = views.takes_part if round_ < FREE_ROUNDS else inliers
        gated = xp.where(open_[..., None], allowed & _within(views, point), inliers)
        open_ = open_ & _two(xp, gated)
        stays = xp.all(gated == inliers, axis=-1)
        settled = settled | (open_ & stays)
        open_ = open_ & ~stays
        inliers = gated
    return point, inliers & settled[..., None], settled


def _two(xp: Any, inliers: Array) -> Array:
    return xp.sum(xp.astype(inliers, xp.int64), axis=-1) >= 2


# Symmetric 3x3 matrices ---------------------------------------------------------------------------


def _times(xp: Any, matrix: Array, vector: Array) -> Array:
    return xp.sum(matrix * vector[..., None, :], axis=-1)


def _inverse(xp: Any, a: Array) -> tuple[Array, Array]:
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


def _frobenius(xp: Any, a: Array, b: Array) -> Array:
    norms = [xp.sqrt(xp.sum(xp.sum(matrix * matrix, axis=-1), axis=-1)) for matrix in (a, b)]
    return norms[0] * norms[1]
