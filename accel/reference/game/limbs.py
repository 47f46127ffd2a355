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


@dataclass(frozen=True, slots=True)
class Limbs:
    """L limbs of B bodies."""

    ends: tuple[tuple[int, int], ...]
    """The joints of each limb."""
    length_m: Array
    """(B, L); NaN where it is not known."""
    std_m: Array
    """(L,) how exactly a length holds at one step."""

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


def limb_evidence(xp: Any, limbs: Limbs, position: Array) -> Coupling | None:
    """What the lengths say at each step of (K, B, J, 3) joints."""
    if not limbs.ends:
        return None
    batch, joints = position.shape[1], position.shape[2]
    incidence = xp.asarray(limbs.incidence(joints))
    vectors = limb_vectors(xp, limbs, position)
    long = xp.sqrt(xp.sum(vectors * vectors, axis=-1))
    known = xp.isfinite(limbs.length_m)[None, ...] & (long > SHORTEST_M)
    unit = vectors / xp.where(long > SHORTEST_M, long, 1.0)[..., None]
    weight = xp.where(known, 1.0 / (limbs.std_m * limbs.std_m), 0.0)
    target = xp.where(known, limbs.length_m[None, ...], 0.0) * weight

    def at(k: int) -> tuple[Array, Array]:
        rows = incidence[None, :, :, None] * unit[k, ...][:, :, None, :]
        rows = xp.reshape(rows, (batch, len(limbs.ends), 3 * joints))
        turned = xp.matrix_transpose(rows)
        information = xp.matmul(turned * weight[k, ...][:, None, :], rows)
        return information, xp.matmul(turned, target[k, ...][..., None])[..., 0]

    return at
