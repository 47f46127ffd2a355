"""The lengths of limbs: learned a person over the game, then binding its joints softly.

A length binds two joints along the limb: |a - b| = L is linear about the last estimate,
u . (a - b) = L with u the limb's direction there (the error is of second order across the limb).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accel.reference.cameras import Array
from accel.reference.game.smoother import Coupling

SHORTEST_M = 0.02
FLOOR_M = 0.004
"""No length holds better than this: keypoints are not anatomy."""
LASTING_STEPS = 15.0
"""Steps for which an error of a length or of a smoothed joint lasts: they say the same again."""
LEAST_SAMPLES = 30


@dataclass(frozen=True, slots=True)
class Limbs:
    """L limbs of B bodies."""

    ends: tuple[tuple[int, int], ...]
    """The joints of each limb."""
    length_m: Array
    """(B, L); NaN where it is not known."""
    std_m: Array
    """(B, L) how exactly a length holds at one step."""

    def incidence(self, joints: int) -> NDArray[np.float64]:
        """(L, J): +1 at a limb's one end, -1 at the other."""
        out = np.zeros((len(self.ends), joints))
        for row, (a, b) in zip(out, self.ends, strict=True):
            row[a], row[b] = 1.0, -1.0
        return out


def limb_vectors(xp: Any, limbs: Limbs, position: Array) -> Array:
    """The limbs (..., L, 3) of joints (..., J, 3)."""
    first = xp.take(position, xp.asarray(np.array([a for a, _ in limbs.ends])), axis=-2)
    second = xp.take(position, xp.asarray(np.array([b for _, b in limbs.ends])), axis=-2)
    return first - second


def limb_evidence(xp: Any, limbs: Limbs, position: Array, seen: Array) -> Coupling | None:
    """What the lengths say at each step of (K, B, J, 3) joints, where a body was seen (K, B).

    Where it was not, nobody knows which way a limb points.
    """
    if not limbs.ends:
        return None
    batch, joints = position.shape[1], position.shape[2]
    incidence = xp.asarray(limbs.incidence(joints))
    vectors = limb_vectors(xp, limbs, position)
    long = xp.sqrt(xp.sum(vectors * vectors, axis=-1))
    known = xp.isfinite(limbs.length_m)[None, ...] & (long > SHORTEST_M)
    known = known & seen[..., None]
    unit = vectors / xp.where(long > SHORTEST_M, long, 1.0)[..., None]
    weight = xp.where(known, 1.0 / (limbs.std_m * limbs.std_m)[None, ...], 0.0)
    target = xp.where(known, limbs.length_m[None, ...], 0.0) * weight

    def at(k: int) -> tuple[Array, Array]:
        rows = incidence[None, :, :, None] * unit[k, ...][:, :, None, :]
        rows = xp.reshape(rows, (batch, len(limbs.ends), 3 * joints))
        turned = xp.matrix_transpose(rows)
        information = xp.matmul(turned * weight[k, ...][:, None, :], rows)
        return information, xp.matmul(turned, target[k, ...][..., None])[..., 0]

    return at


def learned(
    ends: tuple[tuple[int, int], ...],
    position: NDArray[np.float64],
    covariance: NDArray[np.float64],
    seen: NDArray[np.bool_],
) -> Limbs:
    """The limbs of P people, from joints that were smoothed without any lengths.

    A limb across which the joints are uncertain looks longer than it is, by tr(P across) / (2 L).
    What the lengths differ by beyond their covariance is the limb's own: shoulders move against
    hips. It enters the standard deviation as often as steps repeat the same error.

    Args:
        ends: The joints of each limb.
        position: (N, P, J, 3) samples, m.
        covariance: (N, P, J, 3, 3) of them.
        seen: (N, P, J) where a sample is to be trusted.
    """
    people = position.shape[1]
    length = np.full((people, len(ends)), np.nan)
    std = np.full((people, len(ends)), np.inf)
    for limb, (a, b) in enumerate(ends):
        found = [_one(position[:, p], covariance[:, p], seen[:, p], a, b) for p in range(people)]
        known = [f for f in found if f is not None]
        if not known:
            continue
        own = max(float(np.median([f[1] - f[2] for f in known])), 0.0)
        for p, f in enumerate(found):
            if f is None:
                continue
            doubt = f[1] * LASTING_STEPS / f[3]
            length[p, limb] = f[0]
            std[p, limb] = np.sqrt(FLOOR_M**2 + LASTING_STEPS * (own + doubt))
    return Limbs(ends, length, std)


def _one(
    position: NDArray[np.float64],
    covariance: NDArray[np.float64],
    seen: NDArray[np.bool_],
    a: int,
    b: int,
) -> tuple[float, float, float, int] | None:
    """A limb's length, the variance of the samples, the expected one, and how many there are."""
    both = seen[:, a] & seen[:, b]
    vector = position[both, a] - position[both, b]
    spread = covariance[both, a] + covariance[both, b]
    long = np.linalg.norm(vector, axis=-1)
    if len(long) < LEAST_SAMPLES or not np.median(long) > SHORTEST_M:
        return None
    unit = vector / np.maximum(long, SHORTEST_M)[:, None]
    along = np.einsum("ni,nij,nj->n", unit, spread, unit)
    across = np.trace(spread, axis1=1, axis2=2) - along
    corrected = long - across / (2.0 * np.maximum(long, SHORTEST_M))
    middle = np.median(corrected)
    off = np.abs(corrected - middle)
    near = off <= 4.0 * 1.4826 * np.median(off) + 1e-9
    weight = near / (along + FLOOR_M**2)
    total = weight.sum()
    mean = float((weight * corrected).sum() / total)
    variance = float((weight * (corrected - mean) ** 2).sum() / total)
    return mean, variance, float((weight * along).sum() / total), int(near.sum())
