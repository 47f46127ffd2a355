"""suite=cmc: people in a room by boxes alone, four cameras, 4 frames a second.

The shared boxes go to the tracker as three points each, and the shared scorer reads the tracks'
centroids on the ground plane. For a developer's loop, without Hydra:

    from bench.cmc_data import load, shared_folder
    from bench.suites.cmc import evaluate
    evaluate(box_tracker, load(shared_folder(), "CMC2")).mota
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

import numpy as np

import accel
from bench.arrays import Floats
from bench.cmc_data import (
    AREA_M,
    FPS,
    NS,
    SEQUENCES,
    Sequence,
    box_skeleton,
    boxes_to_points,
    load,
    shared_folder,
)
from bench.config import BenchConfig, SuiteConfig, at_least
from bench.report import Report
from bench.suites.core import Trackable, TrackerFactory
from bench.timing import Spread
from tipoff.errors import InvalidInputError

PUBLISHED = {"CMC1": (1.000, 1.000), "CMC2": (0.985, 0.993)}
"""MOTA and IDF1 of the authors' own tracks, by the same scorer."""


@dataclass
class Config(SuiteConfig):
    """Options of suite=cmc."""

    name: str = "cmc"
    data: str = ""
    """The shared folder; empty: TIPOFF_DATA, else the folder `shared` beside the checkout."""
    sequences: list[str] = field(default_factory=lambda: list(SEQUENCES))
    """Which of the sequences are tracked."""
    frames: int = 261
    """How many of each sequence's frames are tracked and scored."""
    everywhere: bool = False
    """Count people outside the authors' area as well; nobody is annotated there."""

    def __post_init__(self) -> None:
        """Refuse to score nothing."""
        at_least("suite.frames", self.frames, 1)
        for name in self.sequences:
            if name not in SEQUENCES:
                raise InvalidInputError(
                    f"there is no sequence {name!r}; there are {', '.join(SEQUENCES)}",
                    field="suite.sequences",
                )


@dataclass(frozen=True, slots=True)
class Result:
    """What a tracker made of a sequence, by the shared scorer."""

    mota: float
    """1 - (misses + false tracks + switches) / people."""
    idf1: float
    """F1 of identities."""
    recall: float
    """Share of the people in truth that have a track within 1 m."""
    precision: float
    """Share of the tracks that have a person."""
    switches: int
    """Identity switches."""
    misses: int
    """People without a track."""
    false: int
    """Tracks without a person."""
    distance_mm: float
    """Mean distance of matched centroids on the ground plane."""
    ids: int
    """How many identities stood where people count."""
    microseconds: Spread
    """Four cameras and one snapshot."""


def box_tracker(rig: accel.Rig) -> Trackable:
    """A tracker of boxes, its other options untouched."""
    return accel.Tracker(rig, accel.TrackerOptions(skeleton=box_skeleton()))


def evaluate(
    factory: TrackerFactory, sequence: Sequence, frames: int | None = None, everywhere: bool = False
) -> Result:
    """Track the sequence and score every frame's snapshot at its own time."""
    tracker = factory(sequence.rig())
    numbers = sorted(sequence.boxes)[:frames]
    predicted: dict[int, list[list[float]]] = {}
    spent_us: list[float] = []
    for number in numbers:
        now = round(number * NS / FPS)
        views = [
            boxes_to_points(boxes, p)
            for boxes, p in zip(sequence.boxes[number], sequence.P, strict=True)
        ]
        began = time.perf_counter_ns()
        for camera, points in enumerate(views):
            tracker.observe(camera, now, points)
        found = tracker.snapshot(now)
        spent_us.append((time.perf_counter_ns() - began) * 1e-3)
        places = [centroid(joints) for joints in found.joints_m]
        predicted[number] = [
            [int(i), *map(float, place)]
            for i, place in zip(found.ids, places, strict=True)
            if everywhere or counts(place)
        ]
    scored = sequence.score(predicted)
    return Result(
        mota=scored["mota"],
        idf1=scored["idf1"],
        recall=scored["recall"],
        precision=scored["precision"],
        switches=int(scored["num_switches"]),
        misses=int(scored["num_misses"]),
        false=int(scored["num_false_positives"]),
        distance_mm=1000 * scored["motp"],
        ids=len({row[0] for rows in predicted.values() for row in rows}),
        microseconds=Spread.of([np.array(spent_us)]),
    )


def centroid(joints_m: Floats) -> Floats:
    """Where a person of `box_skeleton` points (3, 3) stands: the mean of those that are known."""
    known = np.isfinite(joints_m).all(axis=1)
    return np.asarray(joints_m[known].mean(axis=0) if known.any() else np.full(3, np.nan))


def counts(place_m: Floats) -> bool:
    """Whether a place lies where the sequence's people are annotated."""
    return all(low <= place_m[i] <= high for i, (low, high) in enumerate(AREA_M))


COLUMNS = (
    "sequence",
    "tracker",
    "mota",
    "idf1",
    "recall",
    "precision",
    "switches",
    "misses",
    "false",
    "distance_mm",
    "ids",
    "median_us",
    "p99_us",
)
NOTE = (
    "By the shared scorer: centroids within 1 m on the ground plane. A box is three points on the "
    "vertical through its centre; TrackerOptions() but for that skeleton; people count in the area "
    "of the authors' own tracker, x 2.03-6.3 m, y 0-3.41 m."
)


def run(config: BenchConfig) -> Report:
    """Track each sequence once, beside its authors' published tracks."""
    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("cmc", notes=[NOTE])
    table = report.table("CMC, boxes only", COLUMNS)
    folder = shared_folder(suite.data)
    for name in suite.sequences:
        with report.working(f"{name}, {suite.frames} frames"):
            found = evaluate(box_tracker, load(folder, name), suite.frames, suite.everywhere)
        mota, idf1 = PUBLISHED[name]
        table.add({"sequence": name, "tracker": "tipoff", **_row(found)})
        table.add({"sequence": name, "tracker": "published", "mota": mota, "idf1": idf1})
        report.details[name] = asdict(found)
        report.target(f"MOTA on {name}", round(found.mota, 3), mota)
        report.target(f"IDF1 on {name}", round(found.idf1, 3), idf1)
    return report


def _row(found: Result) -> dict[str, object]:
    return {
        "mota": round(found.mota, 3),
        "idf1": round(found.idf1, 3),
        "recall": round(found.recall, 4),
        "precision": round(found.precision, 4),
        "switches": found.switches,
        "misses": found.misses,
        "false": found.false,
        "distance_mm": round(found.distance_mm, 1),
        "ids": found.ids,
        "median_us": round(found.microseconds.median, 1),
        "p99_us": round(found.microseconds.p99, 1),
    }
