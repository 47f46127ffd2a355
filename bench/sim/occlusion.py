"""Who hides which joint: bodies as capsules in the image, ordered by depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Floats, Ints

_SEGMENTS = np.array(
    [0, 0, 5, 6, 5, 12, 6, 11, 5, 7, 7, 9, 6, 8, 8, 10, 11, 13, 13, 15, 12, 14, 14, 16]
).reshape(-1, 2)
"""Capsules by their end joints: head, shoulders, two across the trunk, arms, legs."""
_RADII_M = np.array([0.13, 0.10, 0.16, 0.16, 0.06, 0.05, 0.06, 0.05, 0.09, 0.07, 0.09, 0.07])
_CLEARANCE_M = 0.15
"""A joint is hidden only by what is nearer to the camera by this much."""


def occluders(uv: Floats, depth: Floats, focal_px: Floats) -> Ints:
    """The person hiding each joint, -1 where nobody does.

    Args:
        uv: (T, C, P, J, 2) images of the joints, pixels.
        depth: (T, C, P, J) their depths, metres.
        focal_px: (C,) focal lengths.
    """
    hidden = np.full(depth.shape, -1, dtype=np.int64)
    low, high = np.fmin.reduce(uv, axis=3), np.fmax.reduce(uv, axis=3)
    near = np.nanmean(depth, axis=3)
    margin = 0.16 * focal_px[:, None] / np.maximum(near, 0.5)
    front_low, front_high = low - margin[..., None], high + margin[..., None]
    with np.errstate(invalid="ignore"):
        pairs = (
            (near[..., None, :] < near[..., :, None] + 0.6)
            & (front_low[..., None, :, :] < high[..., :, None, :]).all(axis=-1)
            & (front_high[..., None, :, :] > low[..., :, None, :]).all(axis=-1)
        )
    people = near.shape[2]
    pairs &= ~np.eye(people, dtype=bool)
    t, c, owner, front = np.nonzero(pairs)
    if len(t):
        covered = _covered(uv, depth, focal_px, (t, c, owner, front))
        row, joint = np.nonzero(covered)
        hidden[t[row], c[row], owner[row], joint] = front[row]
    return hidden


def _covered(
    uv: Floats, depth: Floats, focal_px: Floats, pairs: tuple[Ints, Ints, Ints, Ints]
) -> NDArray[np.bool_]:
    """(n, J): whether the joints of each pair's owner lie behind the other's capsules."""
    t, c, owner, front = pairs
    points = uv[t, c, owner].astype(np.float32)
    point_depth = depth[t, c, owner]
    body = uv[t, c, front].astype(np.float32)
    body_depth = depth[t, c, front]
    out = np.zeros(points.shape[:2], dtype=np.bool_)
    for (a, b), radius_m in zip(_SEGMENTS, _RADII_M, strict=True):
        start, along = body[:, a], body[:, b] - body[:, a]
        length2 = (along * along).sum(axis=1) + np.float32(1e-6)
        gap = points - start[:, None]
        share = (gap[..., 0] * along[:, None, 0] + gap[..., 1] * along[:, None, 1]) / length2[
            :, None
        ]
        np.clip(share, 0.0, 1.0, out=share)
        dx = gap[..., 0] - share * along[:, None, 0]
        dy = gap[..., 1] - share * along[:, None, 1]
        at = 0.5 * (body_depth[:, a] + body_depth[:, b])
        radius = radius_m * focal_px[c] / np.maximum(at, 0.5)
        with np.errstate(invalid="ignore"):
            out |= (dx * dx + dy * dy < (radius**2)[:, None]) & (
                at[:, None] + _CLEARANCE_M < point_depth
            )
    return out
