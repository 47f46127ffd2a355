"""Where joints are before anything is smoothed: each frame's rays, robustly, gaps filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accel.reference.cameras import Array, Model, normalised, quiet
from accel.reference.game.small import inverse
from accel.reference.game.views import Lens

ROUNDS = 6
SCALE_PX = (1000.0, 60.0, 30.0, 15.0, 10.0, 10.0)
"""Residual at which a ray counts half, round by round."""
LEAST_SINE2 = 1e-4
"""Two rays closer to parallel than 0.6 degrees place nothing."""


@dataclass(frozen=True, slots=True)
class Rays:
    """Unit directions in the world of what was seen, (C, K, B, J) each, and where there are any."""

    direction: list[Array]
    usable: Array


@quiet
def rays(lens: Lens, u: Array, v: Array, present: Array) -> Rays:
    """The rays of pixels (C, K, B, J)."""
    xp, R = lens.xp, lens.rotation
    one = Model(xp=xp, k=lens.k, R=None, t=None, center=None, limit=lens.limit)
    xy, good = normalised(one, xp.stack((u, v), axis=-1))
    x, y = xy[..., 0], xy[..., 1]
    over = 1.0 / xp.sqrt(x * x + y * y + 1.0)
    direction = [(R[0][i] * x + R[1][i] * y + R[2][i]) * over for i in range(3)]
    return Rays(direction, present & good)


@quiet
def start(lens: Lens, seen: Rays, focal: Array) -> tuple[Array, Array]:
    """Points (K, B, J, 3) nearest to the rays, and where at least two rays place them."""
    xp = lens.xp
    d, c = seen.direction, lens.center
    weight = xp.astype(seen.usable, xp.float64)
    enough = xp.sum(weight, axis=0) >= 2.0
    point = [xp.zeros(enough.shape, dtype=xp.float64)] * 3
    crossing = enough
    for scale in SCALE_PX:
        point, crossing = _nearest(xp, d, c, weight)
        off = [point[i][None, ...] - c[i] for i in range(3)]
        along = sum(off[i] * d[i] for i in range(3))
        across = sum(o * o for o in off) - along * along
        depth = xp.where(along > 0.1, along, 0.1)
        squared = xp.clip(across, 0.0, 1e12) * (focal / depth) ** 2
        usable = seen.usable & (along > 0.1)
        weight = xp.where(usable, (focal / depth) ** 2 / (1.0 + squared / scale**2), 0.0)
        weight = weight / xp.clip(xp.max(weight, axis=0, keepdims=True), 1e-30, 1e30)
    found = xp.stack(point, axis=-1)
    good = enough & crossing & xp.all(xp.isfinite(found), axis=-1)
    return xp.where(good[..., None], found, 0.0), good


def _nearest(xp: Any, d: list[Array], c: list[Array], w: Array) -> tuple[list[Array], Array]:
    """The points nearest to all rays by weight, and whether the rays cross."""
    rows = []
    right = []
    total = xp.sum(w, axis=0)
    for i in range(3):
        across = [w * ((1.0 if i == j else 0.0) - d[i] * d[j]) for j in range(3)]
        rows.append(xp.stack([xp.sum(a, axis=0) for a in across], axis=-1))
        right.append(xp.sum(sum(across[j] * c[j] for j in range(3)), axis=0))
    a = xp.stack(rows, axis=-2)
    scaled = a / xp.where(total > 0, total, 1.0)[..., None, None]
    det = (
        scaled[..., 0, 0] * (scaled[..., 1, 1] * scaled[..., 2, 2] - scaled[..., 1, 2] ** 2)
        - scaled[..., 0, 1]
        * (scaled[..., 0, 1] * scaled[..., 2, 2] - scaled[..., 1, 2] * scaled[..., 0, 2])
        + scaled[..., 0, 2]
        * (scaled[..., 0, 1] * scaled[..., 1, 2] - scaled[..., 1, 1] * scaled[..., 0, 2])
    )
    crossing = det > LEAST_SINE2
    safe = xp.where(crossing[..., None, None], a, xp.eye(3, dtype=xp.float64))
    point = xp.sum(inverse(xp, safe) * xp.stack(right, axis=-1)[..., None, :], axis=-1)
    return [point[..., i] for i in range(3)], crossing


def filled(xp: Any, points: Array, good: Array) -> Array:
    """The points (K, B, J, 3) with gaps filled by the last good one before, else the next."""
    steps = points.shape[0]
    forward, known = [], []
    last, has = points[0, ...], good[0, ...]
    for k in range(steps):
        last = xp.where(good[k, ...][..., None], points[k, ...], last)
        has = has | good[k, ...]
        forward.append(last)
        known.append(has)
    out = [forward[-1]] * steps
    next_ = xp.where(has[..., None], forward[-1], _middle(xp, forward[-1], has))
    for k in range(steps - 1, -1, -1):
        next_ = xp.where(good[k, ...][..., None], points[k, ...], next_)
        out[k] = xp.where(known[k][..., None], forward[k], next_)
    return xp.stack(out, axis=0)


def _middle(xp: Any, points: Array, known: Array) -> Array:
    """The mean (B, 1, 3) of a body's known joints, for those never seen."""
    weight = xp.astype(known, xp.float64)[..., None]
    count = xp.sum(weight, axis=-2, keepdims=True)
    return xp.sum(weight * points, axis=-2, keepdims=True) / xp.where(count > 0, count, 1.0)
