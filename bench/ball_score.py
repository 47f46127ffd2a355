"""How right a ball tracker is: errors and coverage by phase and by views, bounces, releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.arrays import Bools, Floats, Ints
from bench.sim.ball import PHASES, BallTruth

if TYPE_CHECKING:
    import accel

CHI2_95 = 7.814727903251179
"""95 % of three Gaussian dimensions."""
MATCHED_MS = 60.0
"""A told bounce or release this near a true one is the same."""
VIEWS = ((0, 0), (1, 1), (2, 2), (3, 4), (5, 64))
SAID = {"unknown": "loose", "held": "held", "dribbled": "dribbled", "flight": "flight"}
"""What the tracker's phases are called in the truth."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the snapshots."""

    count: int
    """How many."""
    known: float
    """Share of them with a position."""
    median_mm: float
    """Median distance of the known ones from the truth."""
    p95_mm: float
    """95th percentile."""
    coverage: float
    """Share of the known ones inside their 95 % ellipsoid."""
    said: float
    """Share of all that were told the right phase."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Told times of events against the true ones."""

    true: int
    """How many there were."""
    found: int
    """How many of them were told."""
    invented: int
    """Told ones that never were."""
    median_ms: float
    """Median absolute error of the found."""
    p95_ms: float
    """95th percentile."""
    within_10ms: float
    """Share of all true ones that were told within 10 ms."""


@dataclass(slots=True)
class BallScore:
    """Gathers snapshots and their truths."""

    rows: list[tuple[int, float, float, int, bool, bool]] = field(default_factory=list)
    """Phase, error (m), squared Mahalanobis distance, views, right phase, positive definite."""
    bounces: dict[int, int] = field(default_factory=dict)
    """The newest word on each bounce, by its rounded time."""
    releases: dict[int, list[int]] = field(default_factory=dict)
    """Told release times by the newest true release before."""

    def add(self, found: accel.BallSnapshot, truth: BallTruth) -> None:
        """One snapshot."""
        error = found.position_m - truth.position_m
        distance2, definite = float("nan"), False
        if found.known:
            covariance = found.covariance_m2
            definite = bool(np.linalg.eigvalsh(covariance)[0] > 0)
            distance2 = float(error @ np.linalg.solve(covariance, error))
        right = SAID[found.phase] == truth.phase
        phase = PHASES.index(truth.phase)
        length = float(np.linalg.norm(error))
        self.rows.append((phase, length, distance2, found.views, right, definite))
        for bounce in found.bounces:
            self._hear_bounce(bounce.time_ns)

    def hear_release(self, told_ns: int, newest_true_ns: int) -> None:
        """One told release, filed under the true one that it can mean."""
        self.releases.setdefault(newest_true_ns, []).append(told_ns)

    def _hear_bounce(self, time_ns: int) -> None:
        """Keep the last word: a bounce is refined after it is first told."""
        for known in list(self.bounces):
            if abs(known - time_ns) < 0.5 * MATCHED_MS * 1e6:
                del self.bounces[known]
        self.bounces[time_ns] = time_ns

    def phase(self, name: str) -> Part:
        """The snapshots of one true phase."""
        return self._part(self._column(0) == PHASES.index(name))

    def views(self, low: int, high: int) -> Part:
        """Those that so many views supported."""
        views = self._column(3)
        return self._part((views >= low) & (views <= high))

    def everything(self) -> Part:
        """All of them."""
        return self._part(np.ones(len(self.rows), dtype=np.bool_))

    def definite(self) -> float:
        """Share of the known ones whose covariance is positive definite."""
        known = np.isfinite(self._column(2))
        return float(self._column(5)[known].mean()) if known.any() else float("nan")

    def _column(self, index: int) -> Floats:
        return np.array([row[index] for row in self.rows], dtype=np.float64)

    def _part(self, chosen: Bools) -> Part:
        error, distance2 = self._column(1)[chosen], self._column(2)[chosen]
        known = np.isfinite(distance2)
        if not known.any():
            nan = float("nan")
            return Part(int(chosen.sum()), 0.0 if chosen.any() else nan, nan, nan, nan, nan)
        median, p95 = np.percentile(1e3 * error[known], [50, 95])
        coverage = float((distance2[known] <= CHI2_95).mean())
        said = float(self._column(4)[chosen].mean())
        share = float(known.mean())
        return Part(int(chosen.sum()), share, float(median), float(p95), coverage, said)


def timing(told_ns: Sequence[int], true_ns: Ints) -> Timing:
    """Match told times to true ones, each to the nearest."""
    told = np.sort(np.array(told_ns, dtype=np.int64))
    nan = float("nan")
    if len(true_ns) == 0 or len(told) == 0:
        return Timing(len(true_ns), 0, len(told), nan, nan, nan if len(true_ns) == 0 else 0.0)
    gap = np.abs(true_ns[:, None] - told[None]) * 1e-6
    error = gap.min(axis=1)
    found = error <= MATCHED_MS
    invented = int((gap.min(axis=0) > MATCHED_MS).sum())
    median, p95 = np.percentile(error[found], [50, 95]) if found.any() else (nan, nan)
    within = float((error <= 10.0).mean())
    return Timing(len(true_ns), int(found.sum()), invented, float(median), float(p95), within)
