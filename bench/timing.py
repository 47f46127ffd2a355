"""How long things take, and how far to trust it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.arrays import Floats


@dataclass(frozen=True, slots=True)
class Spread:
    """Microseconds a frame-set over interleaved repetitions."""

    median: float
    """Median of all frame-sets of all repetitions."""
    p99: float
    """99th percentile of the same."""
    worst: float
    """The slowest one."""
    medians: tuple[float, ...]
    """Each repetition's own median: how far to trust the first number."""

    @classmethod
    def of(cls, repetitions: Sequence[Floats]) -> Spread:
        """From each repetition's microseconds."""
        every = np.concatenate(repetitions)
        medians = tuple(round(float(np.median(r)), 1) for r in repetitions)
        median, p99 = np.percentile(every, [50, 99])
        return cls(float(median), float(p99), float(every.max()), medians)

    def times(self, other: Spread) -> float:
        """Median over the repetitions of this one's median over the other's."""
        pairs = zip(self.medians, other.medians, strict=True)
        return float(np.median([ours / theirs for ours, theirs in pairs]))


def time_each(
    call: Callable[[Any], object], inputs: Sequence[Any], budget_s: float = math.inf
) -> Floats:
    """Microseconds of each call; no further one begins once they took `budget_s` together."""
    spent: list[float] = []
    left_us = 1e6 * budget_s
    for given in inputs:
        if left_us <= 0:
            break
        began = time.perf_counter_ns()
        call(given)
        spent.append((time.perf_counter_ns() - began) * 1e-3)
        left_us -= spent[-1]
    return np.array(spent)
