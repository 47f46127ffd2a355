"""Scoring where people come and go: whoever is away is nobody to find.

A person and a track may match within the gate of `bench.metrics`, each frame's best matching.
Beside the errors of those who are found there is one figure for both: the mean error of everybody
who is there, where a person without a track counts as the gate, as in OSPA (Schuhmacher et al.
2008).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bench.arrays import Bools, Floats, Ints
from bench.metrics import GATE_M, best_pairs


@dataclass(frozen=True, slots=True)
class Presence:
    """What a run amounts to. NaN where there was nothing to measure."""

    mpjpe_mm: float
    """Mean distance of the given joints of matched people."""
    error_mm: float
    """Mean over everybody there of their joints' mean distance; 500 without a track."""
    recall: float
    """Share of the people there who have a track."""
    precision: float
    """Share of the tracks that have a person."""
    joints_given: float
    """Share of the joints of matched people that are given."""
    switches: int
    """Times a person's track was another than before, within one stay."""
    entries: int
    """People who came and were found."""
    entry_frames: float
    """Mean number of frames between somebody's coming and their track."""


@dataclass(slots=True)
class PresenceScore:
    """Adds snapshots up, frame by frame."""

    people: int
    """How many there are, away or not."""
    _errors: list[Floats] = field(default_factory=list)
    _cost: float = 0.0
    _there: int = 0
    _matched: int = 0
    _reported: int = 0
    _joints: int = 0
    _switches: int = 0
    _waits: list[int] = field(default_factory=list)
    _last: dict[int, int] = field(default_factory=dict)
    _waiting: dict[int, int] = field(default_factory=dict)

    def add(
        self, truth_m: Floats, present: Bools, ids: Ints, joints_m: Floats, *, count: bool
    ) -> None:
        """Score one snapshot.

        Args:
            truth_m: (P, J, 3) everybody's joints.
            present: (P,) who is there.
            ids: (T,) track identities.
            joints_m: (T, J, 3), NaN where a joint is not given.
            count: False while warming up: only who is there and known is remembered.
        """
        here = np.flatnonzero(present)
        distance = np.linalg.norm(joints_m[None] - truth_m[here][:, None], axis=-1)
        given = np.isfinite(distance)
        mean = np.where(given, distance, 0.0).sum(axis=2) / np.maximum(given.sum(axis=2), 1)
        mean[~given.any(axis=2)] = np.inf
        person, track = best_pairs(mean, GATE_M)
        found = {int(here[p]): int(ids[t]) for p, t in zip(person, track, strict=True)}
        self._follow({int(p) for p in here}, found, count=count)
        if not count:
            return
        known = given[person, track]
        self._errors.append(distance[person, track][known].astype(np.float32))
        self._cost += float(mean[person, track].sum()) + GATE_M * (len(here) - len(person))
        self._there += len(here)
        self._matched += len(person)
        self._reported += len(ids)
        self._joints += known.size

    def _follow(self, here: set[int], found: dict[int, int], *, count: bool) -> None:
        for person in range(self.people):
            if person not in here:
                self._last.pop(person, None)
                self._waiting[person] = 0
            elif person not in found:
                if person in self._waiting:
                    self._waiting[person] += 1
            else:
                waited = self._waiting.pop(person, None)
                if waited is not None and count:
                    self._waits.append(waited)
                if count:
                    self._switches += self._last.get(person, found[person]) != found[person]
                self._last[person] = found[person]

    def result(self) -> Presence:
        """What has been added up so far."""
        errors = np.concatenate(self._errors) if self._errors else np.zeros(0, np.float32)
        nan = float("nan")
        return Presence(
            mpjpe_mm=1e3 * float(errors.mean(dtype=np.float64)) if len(errors) else nan,
            error_mm=1e3 * self._cost / self._there if self._there else nan,
            recall=self._matched / self._there if self._there else nan,
            precision=self._matched / self._reported if self._reported else nan,
            joints_given=len(errors) / self._joints if self._joints else nan,
            switches=self._switches,
            entries=len(self._waits),
            entry_frames=float(np.mean(self._waits)) if self._waits else nan,
        )
