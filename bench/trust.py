"""Whether covariances are true: errors against the ellipsoids that were told with them.

An error e with covariance C lies inside its 95 % ellipsoid where e^T C^-1 e is at most the 95 %
quantile of chi-square with three degrees of freedom; true covariances hold 95 % of the errors,
whoever they belong to and however many views there were (Bar-Shalom, Li and Kirubarajan 2001, 5.4:
the normalised estimation error squared, whose mean is 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Bools, Floats

CHI2_95 = 7.814727903251179
"""The 95 % quantile of chi-square with three degrees of freedom."""
CHI2_50 = 2.365973884375338
"""Its median."""
LIMB_JOINTS = np.array([7, 8, 9, 10, 13, 14, 15, 16])
"""Elbows, wrists, knees and ankles of COCO-17; the rest counts as trunk."""
_LOG_2PI_3 = 3 * np.log(2 * np.pi)


@dataclass(frozen=True, slots=True)
class Cell:
    """The errors of one kind. NaN where there are none."""

    joints: int
    """How many errors."""
    coverage: float
    """Share of them inside their 95 % ellipsoid."""
    mpjpe_mm: float
    """Their mean length."""
    nees: float
    """Mean of e^T C^-1 e over 3: above 1 where covariances are too small; outliers weigh in."""
    core: float
    """Median of the same over what it should be: the scale that most errors ask for."""


@dataclass(slots=True)
class Trust:
    """Collects errors with their covariances; memory grows by some ten bytes a joint."""

    tried: int = 0
    """Covariances looked at."""
    positive: int = 0
    """How many of them are positive definite."""
    density: float = 0.0
    """Sum of the errors' log-densities."""
    scatter: Floats = field(default_factory=lambda: np.zeros((3, 3)))
    """Sum of e e^T."""
    _squared: list[Floats] = field(default_factory=list)
    _length: list[Floats] = field(default_factory=list)
    _views: list[NDArray[np.integer[Any]]] = field(default_factory=list)
    _limb: list[Bools] = field(default_factory=list)

    def add(
        self, error: Floats, covariance: Floats, views: NDArray[np.integer[Any]], known: Bools
    ) -> None:
        """Errors (M, J, 3) with covariances (M, J, 3, 3), where known (M, J)."""
        limb = np.zeros(known.shape, dtype=bool)
        limb[:, LIMB_JOINTS[known.shape[1] > LIMB_JOINTS]] = True
        e, c = error[known], covariance[known]
        self.tried += len(e)
        positive = np.asarray(np.isfinite(c).all(axis=(1, 2)))
        positive[positive] = np.linalg.eigvalsh(c[positive])[:, 0] > 0
        self.positive += int(positive.sum())
        e, c = e[positive], c[positive]
        if not len(e):
            return
        squared = (e * np.linalg.solve(c, e[..., None])[..., 0]).sum(axis=1)
        self.density += float(-0.5 * (squared + np.linalg.slogdet(c)[1] + _LOG_2PI_3).sum())
        self.scatter += e.T @ e
        self._squared.append(squared)
        self._length.append(np.linalg.norm(e, axis=1).astype(np.float32))
        self._views.append(views[known][positive].astype(np.int8))
        self._limb.append(limb[known][positive])

    def cells(self) -> dict[str, Cell]:
        """By name: all, trunk, limbs, by views (0-1, 2, 3-4, 5+), and trunk and limbs by views."""
        if not self._squared:
            return {}
        views, limb = np.concatenate(self._views), np.concatenate(self._limb)
        squared, length = np.concatenate(self._squared), np.concatenate(self._length)
        by_part = {"trunk": ~limb, "limbs": limb}
        by_views = {"0-1 views": (views >= 0) & (views < 2), "2 views": views == 2}
        by_views |= {"3-4 views": (views == 3) | (views == 4), "5+ views": views >= 5}
        groups = {"all": np.ones(len(views), bool), **by_part, **by_views}
        for part, of_part in by_part.items():
            groups |= {f"{part}, {name}": of_part & seen for name, seen in by_views.items()}
        return {k: _cell(squared[m], length[m]) for k, m in groups.items() if m.any()}

    def coverage(self) -> float:
        """Share of all errors inside their ellipsoid."""
        cells = self.cells()
        return cells["all"].coverage if cells else float("nan")

    def coverage_by(self) -> dict[str, float]:
        """The same for trunk and limbs, and by views, where there are any."""
        cells = self.cells().items()
        return {k: cell.coverage for k, cell in cells if k != "all" and "," not in k}

    def definite(self) -> float:
        """Share of the covariances that are positive definite."""
        return self.positive / self.tried if self.tried else float("nan")

    def log_likelihood(self) -> float:
        """Mean log-density of an error under its own covariance."""
        return self.density / self.positive if self.positive else float("nan")

    def gain(self) -> float:
        """Over the constant covariance that suits these very errors best."""
        if self.positive < 10:
            return float("nan")
        determinant = float(np.linalg.slogdet(self.scatter / self.positive)[1])
        return float(self.log_likelihood() + 0.5 * (3 + determinant + _LOG_2PI_3))


def _cell(squared: Floats, length: Floats) -> Cell:
    return Cell(
        joints=len(squared),
        coverage=float((squared <= CHI2_95).mean()),
        mpjpe_mm=1000 * float(length.mean(dtype=np.float64)),
        nees=float(squared.mean()) / 3,
        core=float(np.median(squared)) / CHI2_50,
    )
