"""How good tracks are: MPJPE, MOTA, IDF1, and whether the covariances are true.

A person and a track may match when the mean distance of the track's given joints is at most the
gate (0.5 m). Two matchings are made, as the metrics define them:
- for MPJPE, recall, precision and coverage, each frame's best one (Hungarian);
- for identity switches and MOTA, CLEAR MOT's (Bernardin and Stiefelhagen 2008, as py-motmetrics
  reads it): a person keeps the track they last had while it is within the gate, the rest is
  matched anew, and a switch is a person whose track is another than the last one they had.
IDF1 (Ristani et al. 2016) pairs whole identities, once for the run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bench.arrays import Bools, Floats, Ints
from bench.trust import Trust

GATE_M = 0.5


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a run amounts to. NaN where there was nothing to measure."""

    frames: int
    """Snapshots scored."""
    mpjpe_mm: float
    """Mean distance of the given joints of matched people."""
    p95_mm: float
    """95th percentile of those distances."""
    recall: float
    """Share of the people in truth that have a track."""
    precision: float
    """Share of the reported tracks that have a person."""
    joints_given: float
    """Share of the joints of reported people that are not NaN."""
    switches: int
    """Identity switches, as CLEAR MOT counts them."""
    mota: float
    """1 - (misses + false tracks + switches) / people."""
    idf1: float
    """F1 of identities matched once for the whole run."""
    ids: int
    """How many track identities were ever reported."""
    coverage: float
    """Share of errors inside their 95 % ellipsoid."""
    coverage_by: dict[str, float]
    """The same by number of views (0-1, 2, 3-4, 5+), and for trunk and limbs apart."""
    log_likelihood: float
    """Mean of the errors' log-density under their own covariances, per joint."""
    log_likelihood_gain: float
    """That minus what the best constant covariance gets on the same errors."""
    definite: float
    """Share of covariances that are positive definite."""


@dataclass(slots=True)
class Score:
    """Adds snapshots up; memory grows only by some ten bytes a joint."""

    gate_m: float = GATE_M
    """Largest mean joint distance of a match."""
    _frames: int = 0
    _people: int = 0
    _reported: int = 0
    _matched: int = 0
    _given: int = 0
    _asked: int = 0
    _misses: int = 0
    _false: int = 0
    _switches: int = 0
    _errors: list[Floats] = field(default_factory=list)
    _last: dict[int, int] = field(default_factory=dict)
    _overlap: Counter[tuple[int, int]] = field(default_factory=Counter)
    _person_frames: Counter[int] = field(default_factory=Counter)
    _track_frames: Counter[int] = field(default_factory=Counter)
    trust: Trust = field(default_factory=Trust)
    """What the covariances of matched people are worth."""

    def add(
        self,
        truth_m: Floats,
        ids: Ints,
        joints_m: Floats,
        covariance_m2: Floats | None = None,
        views: NDArray[np.integer[Any]] | None = None,
    ) -> None:
        """Score one snapshot.

        Args:
            truth_m: (P, J, 3) everybody's true joints.
            ids: (T,) track identities.
            joints_m: (T, J, 3), NaN where a joint is not given.
            covariance_m2: (T, J, 3, 3), or None to leave the uncertainty out.
            views: (T, J) how many views each joint came from.
        """
        error = joints_m[None] - truth_m[:, None]
        distance = np.linalg.norm(error, axis=-1)
        given = np.asarray(np.isfinite(joints_m).all(axis=-1))
        mean = np.where(given, distance, 0.0).sum(axis=2) / np.maximum(given.sum(axis=1), 1)
        mean[:, ~given.any(axis=1)] = np.inf
        self._count(mean, given)
        self._follow(mean, ids)
        person, track = best_pairs(mean, self.gate_m)
        self._matched += len(person)
        known = given[track]
        self._errors.append(distance[person, track][known].astype(np.float32))
        if covariance_m2 is not None:
            count = np.full(known.shape, -1) if views is None else views[track]
            self.trust.add(error[person, track], covariance_m2[track], count, known)

    def _count(self, mean: Floats, given: Bools) -> None:
        people, tracks = mean.shape
        self._frames += 1
        self._people += people
        self._reported += tracks
        self._given += int(given.sum())
        self._asked += given.size

    def _follow(self, mean: Floats, ids: Ints) -> None:
        """CLEAR MOT's correspondences, and who overlapped whom for IDF1."""
        for person, track in np.argwhere(mean <= self.gate_m):
            self._overlap[int(person), int(ids[track])] += 1
        self._person_frames.update(range(len(mean)))
        self._track_frames.update(int(i) for i in ids)
        column = {int(i): k for k, i in enumerate(ids)}
        kept: dict[int, int] = {}
        for person, track in sorted(self._last.items()):
            taken = track in kept.values() or track not in column
            if not taken and mean[person, column[track]] <= self.gate_m:
                kept[person] = track
        rest = mean.copy()
        rest[list(kept)] = np.inf
        rest[:, [column[track] for track in kept.values()]] = np.inf
        for person, track in zip(*best_pairs(rest, self.gate_m), strict=True):
            kept[int(person)] = int(ids[track])
        for person, track in kept.items():
            self._switches += self._last.get(person, track) != track
        self._last.update(kept)
        self._misses += len(mean) - len(kept)
        self._false += len(ids) - len(kept)

    def metrics(self) -> Metrics:
        """What has been added up so far."""
        errors = np.concatenate(self._errors) if self._errors else np.zeros(0, dtype=np.float32)
        faults = self._misses + self._false + self._switches
        return Metrics(
            frames=self._frames,
            mpjpe_mm=1000 * _mean(errors),
            p95_mm=1000 * float(np.percentile(errors, 95)) if len(errors) else float("nan"),
            recall=_ratio(self._matched, self._people),
            precision=_ratio(self._matched, self._reported),
            joints_given=_ratio(self._given, self._asked),
            switches=self._switches,
            mota=1 - _ratio(faults, self._people),
            idf1=self._idf1(),
            ids=len(self._track_frames),
            coverage=self.trust.coverage(),
            coverage_by=self.trust.coverage_by(),
            log_likelihood=self.trust.log_likelihood(),
            log_likelihood_gain=self.trust.gain(),
            definite=self.trust.definite(),
        )

    def _idf1(self) -> float:
        people, tracks = sorted(self._person_frames), sorted(self._track_frames)
        table = np.zeros((len(people), len(tracks)))
        for (person, track), frames in self._overlap.items():
            table[people.index(person), tracks.index(track)] = frames
        found = table[linear_sum_assignment(-table)].sum()
        total = sum(self._person_frames.values()) + sum(self._track_frames.values())
        return _ratio(2 * float(found), total)


def best_pairs(cost: Floats, gate: float) -> tuple[Ints, Ints]:
    """The pairs (rows, columns) within the gate of the assignment that pairs most, then best."""
    bounded = np.where(cost <= gate, cost, 1e3 * (1 + gate))
    rows, columns = linear_sum_assignment(bounded)
    kept = cost[rows, columns] <= gate
    return np.asarray(rows[kept], dtype=np.int64), np.asarray(columns[kept], dtype=np.int64)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _mean(values: Floats) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else float("nan")
