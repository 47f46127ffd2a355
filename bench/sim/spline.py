"""Uniform cubic B-splines and Hermite tables: what makes every motion a function of any time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.arrays import Floats


@dataclass(frozen=True, slots=True)
class UniformSpline:
    """A C2 curve near its control values (an approximation: it smooths over two knots)."""

    control: Floats
    """(K, ...) control values; the first belongs to the time -step_s."""
    step_s: float
    """Time between knots."""

    def __call__(self, times_s: Floats, derivative: int = 0) -> Floats:
        """Value or 1st or 2nd derivative at times_s (T,) -> (T, ...)."""
        position = np.clip(times_s / self.step_s, 0.0, len(self.control) - 4.000001)
        index = position.astype(np.int64)
        weights = _weights(position - index, derivative) / self.step_s**derivative
        tail = (1,) * (self.control.ndim - 1)
        total: Floats = weights[0].reshape(-1, *tail) * self.control[index]
        for k in range(1, 4):
            total += weights[k].reshape(-1, *tail) * self.control[index + k]
        return total


def _weights(x: Floats, derivative: int) -> Floats:
    """The four basis functions of the uniform cubic B-spline at x in [0, 1)."""
    if derivative == 0:
        y = 1.0 - x
        middle = 3 * x**3 - 6 * x**2 + 4
        return np.stack([y**3, middle, 3 * y**3 - 6 * y**2 + 4, x**3]) / 6.0
    if derivative == 1:
        y = 1.0 - x
        return np.stack([-(y**2), 3 * x**2 - 4 * x, -3 * y**2 + 4 * y, x**2]) / 2.0
    return np.stack([1.0 - x, 3 * x - 2, 1 - 3 * x, x])


@dataclass(frozen=True, slots=True)
class HermiteTable:
    """A C1 curve through values with given slopes: a parabola between knots is exact."""

    value: Floats
    """(K, P) values."""
    slope: Floats
    """(K, P) slopes per second."""
    step_s: float
    """Time between knots."""

    def __call__(self, times_s: Floats) -> Floats:
        """Value at times_s (T,) -> (T, P)."""
        position = np.clip(times_s / self.step_s, 0.0, len(self.value) - 1.000001)
        index = position.astype(np.int64)
        x = (position - index)[:, None]
        rest = (1.0 - x) ** 2 * (
            (1 + 2 * x) * self.value[index] + x * self.step_s * self.slope[index]
        )
        after = self.value[index + 1] * (3 - 2 * x) + (x - 1) * self.step_s * self.slope[index + 1]
        return np.asarray(rest + x**2 * after)
