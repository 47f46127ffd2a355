"""Triangulation in plain array code, by the rules of core/triangulate.hpp, batches at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from accel.reference.cameras import (
    Array,
    Cameras,
    Model,
    directions,
    distort_slopes,
    floats,
    image,
    in_camera,
    model_of,
    normalised,
    quiet,
)
from accel.reference.symmetric import frobenius, inverse_of, times

GATE_CHI2 = -2.0 * math.log(0.001)
MAX_CONDITION = 1e6
MAX_PROPOSERS = 16
MAX_STEPS = 50
FREE_ROUNDS = 5
PARALLEL_SIN2 = 1e-12
STEP_PX = 1e-7
COST_SLACK = 1e-12
FIRST_DAMPING = 1e-3
MOST_DAMPING = 1e8


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


@quiet
def triangulate(
    rig: Cameras, uv: Array, confidence: Array | None = None, sigma_px: float = 2.0
) -> Solution:
    """Points from pixels (..., C, 2), with weights (..., C); see `accel.triangulate`."""
    seen = floats(uv)
    model = model_of(rig, seen)
    xp = model.xp
    weights = xp.ones(seen.shape[:-1], dtype=xp.float64)
    if confidence is not None:
        weights = xp.broadcast_to(floats(confidence), weights.shape)
    present = xp.all(xp.isfinite(seen), axis=-1) & xp.isfinite(weights) & (weights > 0)
    pixels = xp.where(present[..., None], seen, 0.0)
    xy, has_ray = normalised(model, pixels)
    views = _Views(
        model=model,
        uv=pixels,
        weights=xp.where(present & has_ray, weights, 0.0),
        takes_part=present & has_ray,
        direction=directions(model, xy),
        gate2=GATE_CHI2 * sigma_px * sigma_px,
    )
    point, inliers, solved = _solve_robustly(views)
    information = _linearise(views, point, inliers).information
    inverse, regular = inverse_of(xp, information)
    condition = xp.where(solved & regular, frobenius(xp, information, inverse), xp.nan)
    good = solved & regular & (condition <= MAX_CONDITION)
    pixel, valid = image(model, point)
    residual = xp.sqrt(xp.sum((pixels - pixel) ** 2, axis=-1))
    return Solution(
        points_m=xp.where(good[..., None], point, xp.nan),
        covariance_m2=xp.where(good[..., None, None], sigma_px * sigma_px * inverse, xp.nan),
        residual_px=xp.where(good[..., None] & present & valid, residual, xp.nan),
        inliers=inliers & good[..., None],
        condition=condition,
    )


@dataclass(frozen=True, slots=True)
class _Views:
    """What was seen of the points, missing views with weight 0."""

    model: Model
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
    inverse, regular = inverse_of(xp, a)
    return times(xp, inverse, b) + first[..., 0, :], regular


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
        inverse, regular = inverse_of(xp, damped)
        step = times(xp, inverse, now.gradient)
        then = _linearise(views, point + step, inliers)
        better = then.valid & (then.cost <= now.cost + COST_SLACK * now.cost)
        moves = open_ & regular & better
        moved = xp.sum(step * times(xp, now.information, step), axis=-1)
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
    x, y, z, valid = in_camera(model, points)
    uv, _ = image(model, points)
    xx, xy, yy = distort_slopes(k, x, y)
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
    uv, valid = image(views.model, points)
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
