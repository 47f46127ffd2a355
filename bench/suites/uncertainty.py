"""suite=uncertainty: whether the 95 % ellipsoids hold 95 % of the joints, wherever one looks.

Every workload is played on every rig; each frame-set is asked at its newest capture, inside the
frames' times where cameras are out of step, and smoothed. For a developer's loop, without Hydra:

    from bench.sim import Arena, preset
    from bench.suites.uncertainty import ask_and_score
    found = ask_and_score(accel.Tracker, Arena(preset("hard", cameras=4, frames=600)))
    found["live"].trust.cells()["limbs"].coverage
"""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol, cast

from bench.config import BenchConfig, SuiteConfig, at_least, within
from bench.metrics import Score
from bench.report import Report, Table
from bench.sim import PRESETS, Arena, FrameSet
from bench.suites.core import WARM_UP_FRAMES, Observed, Trackable, TrackerFactory
from bench.trust import Cell
from tipoff.errors import InvalidInputError

MS = 1_000_000
LIVE, INSIDE, SMOOTHED = "live", "live, inside", "smoothed"
DEFAULT_LAG_MS = 100.0
HELD = ("all", "trunk", "limbs", "2 views", "3-4 views", "5+ views")
"""The cells that are held to the mark; joints with fewer than two views are shown beside them."""


@dataclass
class Config(SuiteConfig):
    """Options of suite=uncertainty."""

    name: str = "uncertainty"
    workloads: list[str] = field(default_factory=lambda: ["standard", "hard", "async"])
    """Presets of bench.sim that are played on each rig."""
    people: int = 13
    """How many people play."""
    frames: int = 1000
    """Frame-sets of each game; scoring begins after the first second."""
    inside_ms: float = 20.0
    """How long before the newest capture a rig out of step is asked as well."""
    least_percent: float = 93.0
    """Least coverage that passes."""
    most_percent: float = 97.0
    """Largest coverage that passes."""
    least_joints: int = 5000
    """A cell with fewer joints is neither shown nor marked: neighbouring frames err alike."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        at_least("suite.frames", self.frames, WARM_UP_FRAMES + 1)
        within("suite.people", self.people, 1, 64)
        within("suite.inside_ms", self.inside_ms, 0.0, 100.0)
        within("suite.least_percent", self.least_percent, 0.0, self.most_percent)
        at_least("suite.least_joints", self.least_joints, 1)
        for name in self.workloads:
            if name not in PRESETS:
                raise InvalidInputError(
                    f"there is no workload {name!r}; there are {', '.join(PRESETS)}",
                    field="suite.workloads",
                )


class Smoother(Protocol):
    """A tracker that can be asked for smoothed snapshots."""

    def snapshot(self, time_ns: int, /, *, smoothed: bool = False) -> Observed:
        """Everybody at a time, smoothed by what came up to `lag_ms` after it."""


@dataclass(slots=True)
class _Asker:
    """One game, asked in several ways; each way has its score."""

    arena: Arena
    tracker: Trackable
    inside_ns: int
    lag_ns: int
    scores: dict[str, Score] = field(default_factory=dict)

    def frame(self, frame_set: FrameSet) -> None:
        """Every camera's frame; then, after the first second, the questions."""
        for view in frame_set.views:
            self.tracker.observe(view.camera, view.capture_time_ns, view.keypoints)
        newest = frame_set.time_ns
        scored = frame_set.index >= WARM_UP_FRAMES
        self._ask(LIVE, newest, scored)
        if self.arena.options.ring.offset_ms > 0:
            self._ask(INSIDE, newest - self.inside_ns, scored)
        if self.lag_ns >= 0:
            self._ask(SMOOTHED, newest - self.lag_ns, scored)

    def _ask(self, way: str, time_ns: int, scored: bool) -> None:
        if not scored:
            return
        found = (
            cast(Smoother, self.tracker).snapshot(time_ns, smoothed=True)
            if way == SMOOTHED
            else self.tracker.snapshot(time_ns)
        )
        truth = self.arena.truth(time_ns)
        score = self.scores.setdefault(way, Score())
        score.add(truth, found.ids, found.joints_m, found.covariance_m2, found.views)


def smooths(tracker: object) -> bool:
    """Whether this tracker gives smoothed snapshots."""
    ask = getattr(tracker, "snapshot", None)
    return ask is not None and "smoothed" in inspect.signature(ask).parameters


def ask_and_score(
    factory: TrackerFactory, arena: Arena, inside_ms: float = 20.0
) -> dict[str, Score]:
    """Play the arena and score every way of asking, from its first second on.

    A tracker without smoothed snapshots is asked for the others.
    """
    tracker = factory(arena.accel_rig())
    lag_ms = getattr(getattr(tracker, "options", None), "lag_ms", DEFAULT_LAG_MS)
    lag_ns = round(lag_ms * MS) if smooths(tracker) else -1
    asker = _Asker(arena, tracker, round(inside_ms * MS), lag_ns)
    for frame_set in arena.frame_sets():
        asker.frame(frame_set)
    return asker.scores


COLUMNS = (
    "workload",
    "cameras",
    "asked",
    "mpjpe_mm",
    *(name.replace(" ", "_") for name in HELD),
    "0-1_views",
    "definite",
    "log_likelihood",
    "gain",
)
SCALE_COLUMNS = (
    "workload",
    "cameras",
    "asked",
    "cell",
    "joints",
    "mpjpe_mm",
    "coverage",
    "nees",
    "core",
)
NOTES = (
    "Coverage in percent of the joints of matched people after the first second, inside their 95 % "
    "ellipsoid; views as the snapshot tells them. Asked: live at the newest capture, inside some "
    "milliseconds before it where cameras are out of step, smoothed lag_ms before it.",
    "definite: share of covariances that are positive definite; log likelihood: mean log-density "
    "(metres) of an error under its covariance; gain: that less what the constant covariance gets "
    "that suits these errors best, in nats a joint. nees: mean of e^T C^-1 e over 3, core: its "
    "median over what it should be; both 1 where C is true, below where C is too large.",
)
UNSMOOTHED = "This build gives no smoothed snapshots (snapshot(t, smoothed=True)): left out."


def run(config: BenchConfig) -> Report:
    """Play every workload on every rig."""
    import accel

    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("uncertainty", notes=list(NOTES))
    mark = f"{suite.least_percent:g}-{suite.most_percent:g} % passes"
    table = report.table(f"Coverage, percent ({mark}; seed {config.seed})", COLUMNS)
    wrong = report.table("Where it does not pass: the scale that would", SCALE_COLUMNS)
    for workload in suite.workloads:
        for cameras in config.rig.cameras:
            base = config.workload.arena(config.rig)
            options = replace(
                PRESETS[workload], people=suite.people, frames=suite.frames, seed=config.seed
            )
            ring = replace(
                base.ring,
                cameras=cameras,
                offset_ms=options.ring.offset_ms,
                readout_ms=options.ring.readout_ms,
            )
            with report.working(f"{workload}, {cameras} cameras"):
                arena = Arena(replace(options, ring=ring))
                found = ask_and_score(accel.Tracker, arena, suite.inside_ms)
            for way, score in found.items():
                where = {"workload": workload, "cameras": cameras, "asked": way}
                _tell(report, suite, table, wrong, where, score)
    if not smooths(accel.Tracker):
        report.notes.append(UNSMOOTHED)
        report.missed.append("smoothed coverage was not measured")
    return report


def _tell(
    report: Report,
    suite: Config,
    table: Table,
    wrong: Table,
    where: dict[str, object],
    score: Score,
) -> None:
    """One row of the table, its details, and what it misses."""
    cells, metrics = score.trust.cells(), score.metrics()
    label = f"{where['workload']}, {where['cameras']} cameras, {where['asked']}"
    row = {**where, "mpjpe_mm": round(metrics.mpjpe_mm, 2), "definite": round(metrics.definite, 6)}
    row |= {"log_likelihood": round(metrics.log_likelihood, 3)}
    row |= {"gain": round(metrics.log_likelihood_gain, 3)}
    missed = []
    for name in HELD:
        cell = cells.get(name)
        if cell is None or cell.joints < suite.least_joints:
            continue
        passed = suite.least_percent <= 100 * cell.coverage <= suite.most_percent
        row[name.replace(" ", "_")] = f"{100 * cell.coverage:.1f} {'✓' if passed else '✗'}"
        if not passed:
            wrong.add({**where, "cell": name, **_scale(cell)})
            missed.append(f"{name} {100 * cell.coverage:.1f} %")
    if "0-1 views" in cells and cells["0-1 views"].joints >= suite.least_joints:
        row["0-1_views"] = f"{100 * cells['0-1 views'].coverage:.1f}"
    table.add(row)
    if missed:
        report.missed.append(f"coverage of {label}: {', '.join(missed)}")
    report.target(f"{label}: share positive definite", metrics.definite, 1.0)
    report.target(f"{label}: gain over a constant covariance", metrics.log_likelihood_gain, 0.0)
    report.details[label] = {
        "metrics": asdict(metrics),
        "cells": {name: asdict(cell) for name, cell in cells.items()},
    }


def _scale(cell: Cell) -> dict[str, object]:
    return {
        "joints": cell.joints,
        "mpjpe_mm": round(cell.mpjpe_mm, 2),
        "coverage": round(100 * cell.coverage, 2),
        "nees": round(cell.nees, 3),
        "core": round(cell.core, 3),
    }
