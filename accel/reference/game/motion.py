"""How joints move between two steps: integrals of noise that the joints of a body share.

The highest derivative of every joint is driven by white noise of density S (n, n) over the joints
of a body, alike along x, y and z (so the noise of a step is S (x) T(dt) (x) I3), and falls back to
zero with a time constant where one is given (Singer, Estimating Optimal Tracking Filter Performance
for Manned Maneuvering Targets, 1970). S is learned: `improved` climbs the likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accel.reference.cameras import Array

Blocks = list[list[Array]]
"""Rows and columns by derivative: position, velocity, acceleration."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A linear model of n joints that move together."""

    density: Array
    """S (..., n, n), m^2/s^(2 order - 1), in the library that smooths."""
    order: int
    """Derivatives in the state: 2 (white acceleration) or 3 (white jerk)."""
    relax_s: float
    """The highest derivative falls to 1/e within this time; infinite: never."""
    start_std: tuple[float, ...]
    """Standard deviations of position, velocity (and acceleration) before anything is seen."""

    def transition(self, xp: Any, dt: Array) -> Blocks:
        """Factors (B, 1, 1) by which a derivative (column) enters another one (row) after dt."""
        one, zero = xp.ones_like(dt), xp.zeros_like(dt)
        last = self.order - 1
        rows = [
            [dt ** (b - a) / math.factorial(b - a) if b >= a else zero for b in range(self.order)]
            for a in range(self.order)
        ]
        if math.isfinite(self.relax_s):
            tau = self.relax_s
            keep = xp.exp(-dt / tau)
            rows[last][last] = keep
            rows[last - 1][last] = tau * (one - keep)
            if self.order == 3:
                rows[0][2] = tau * (dt - rows[1][2])
        return rows

    def spread(self, xp: Any, dt: Array) -> Blocks:
        """T(dt): how much of S the noise of a step puts into each pair of derivatives."""
        n = self.order
        return [
            [
                dt ** (2 * n - 1 - a - b)
                / (math.factorial(n - 1 - a) * math.factorial(n - 1 - b) * (2 * n - 1 - a - b))
                for b in range(n)
            ]
            for a in range(n)
        ]


def improved(
    density: NDArray[np.float64], found: NDArray[np.float64], expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A density S of higher likelihood, from what the smoother found of the noise.

    With r the smoother's adjoint and N its covariance, the likelihood's slope in S is
    (found - expected) / 2, where found = sum r r^T and expected = sum N. The maximum of a minorant
    of the likelihood solves M expected M = S found S (Hunter and Lange, A Tutorial on MM
    Algorithms, 2004): a geometric mean of matrices. M is what is given back.

    Args:
        density: S (n, n).
        found: Sum of r r^T over steps and axes, weighed by T(dt).
        expected: The same of N.
    """
    scale = np.trace(expected) / len(expected)
    ridge = 1e-9 * scale * np.eye(len(expected))
    root, inverse = _root(expected + ridge)
    middle, _ = _root(root @ (density @ found @ density) @ root)
    out = inverse @ middle @ inverse
    return np.asarray(0.5 * (out + out.T), dtype=np.float64)


def _root(a: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The square root of a symmetric positive matrix, and its inverse."""
    values, vectors = np.linalg.eigh(0.5 * (a + a.T))
    root = np.sqrt(np.maximum(values, 1e-300))
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T
