"""suite=core: what the tracker costs and how right it is, on a simulated court with ground truth.

For a developer's loop, without Hydra:

    from bench.sim import Arena, preset
    from bench.suites.core import evaluate
    found = evaluate(accel.Tracker, Arena(preset("standard", frames=1000)))
    found.metrics.mpjpe_mm, found.metrics.switches, found.microseconds.median
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Floats, Ints, Keypoints
from bench.config import BenchConfig, SuiteConfig, at_least
from bench.metrics import Metrics, Score
from bench.peers import load_peer
from bench.report import Report
from bench.sim import Arena, ArenaOptions, FrameSet
from bench.timing import Spread, time_each

if TYPE_CHECKING:
    import accel

WARM_UP_FRAMES = 60


@dataclass
class Config(SuiteConfig):
    """Options of suite=core."""

    name: str = "core"
    frames: int = 1000
    """Frame-sets scored against ground truth, for each row of the table."""
    timed_frames: int = 300
    """Frame-sets of a timed repetition."""
    repetitions: int = 5
    """Timed repetitions, the peer's between the tracker's."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        at_least("suite.frames", self.frames, WARM_UP_FRAMES + 1)
        at_least("suite.timed_frames", self.timed_frames, 1)
        at_least("suite.repetitions", self.repetitions, 1)


class Observed(Protocol):
    """What a snapshot must hold to be scored."""

    @property
    def ids(self) -> Ints:
        """(T,) identities."""

    @property
    def joints_m(self) -> NDArray[np.float64]:
        """(T, J, 3) metres."""

    @property
    def covariance_m2(self) -> NDArray[np.float64]:
        """(T, J, 3, 3)."""

    @property
    def views(self) -> NDArray[np.int32]:
        """(T, J) how many views each joint came from."""


class Trackable(Protocol):
    """What is measured: `accel.Tracker`, or anything that does its work."""

    def observe(self, camera: int, capture_time_ns: int, keypoints: Keypoints, /) -> bool:
        """Take one camera frame."""

    def snapshot(self, time_ns: int, /) -> Observed:
        """Everybody at a time."""


TrackerFactory = Callable[["accel.Rig"], Trackable]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy and cost of one tracker on one arena."""

    metrics: Metrics
    """Against ground truth, after the warm-up."""
    microseconds: Spread
    """Of the same pass, with the simulator between the calls: for hints, not for the table."""
    digest: str
    """SHA-256 of all ids and joints, shortened: equal results have equal digests."""


@dataclass(slots=True)
class _Pass:
    """One run through an arena."""

    tracker: Trackable
    spent_us: list[float] = field(default_factory=list)

    def frame(self, frame_set: FrameSet) -> Observed:
        """Every camera's frame, then the snapshot; timed."""
        now = frame_set.time_ns
        began = time.perf_counter_ns()
        for view in frame_set.views:
            self.tracker.observe(view.camera, view.capture_time_ns, view.keypoints)
        snapshot = self.tracker.snapshot(now)
        self.spent_us.append((time.perf_counter_ns() - began) * 1e-3)
        return snapshot


def evaluate(
    tracker_factory: TrackerFactory,
    arena: Arena,
    frames: int | None = None,
    warm_up: int = WARM_UP_FRAMES,
) -> Evaluation:
    """Run a tracker over the arena's frame-sets and score each snapshot at its newest capture.

    Args:
        tracker_factory: Makes the tracker from the arena's `accel.Rig`.
        arena: What is tracked.
        frames: How many frame-sets; all of the arena's if None.
        warm_up: Frame-sets that are tracked and not scored.
    """
    run = _Pass(tracker_factory(arena.accel_rig()))
    score, digest = Score(), hashlib.sha256()
    for frame_set in arena.frame_sets(0, frames):
        found = run.frame(frame_set)
        digest.update(np.ascontiguousarray(found.ids).tobytes())
        digest.update(np.ascontiguousarray(found.joints_m).tobytes())
        if frame_set.index >= warm_up:
            truth = arena.truth(frame_set.time_ns)
            score.add(truth, found.ids, found.joints_m, found.covariance_m2, found.views)
    timed = Spread.of([np.array(run.spent_us[warm_up:] or run.spent_us)])
    return Evaluation(score.metrics(), timed, digest.hexdigest()[:16])


def race(
    tracker_factory: TrackerFactory,
    arena: Arena,
    frames: int,
    repetitions: int,
    peer_name: str = "opencv",
) -> dict[str, Spread]:
    """Microseconds of the tracker and of the peer on the same frame-sets, turn by turn."""
    frame_sets = list(arena.frame_sets(0, frames))
    peer = load_peer(peer_name, arena.rig)
    prepared = [peer.prepare(f) for f in frame_sets] if peer else []
    rig = arena.accel_rig()
    ours: list[Floats] = []
    theirs: list[Floats] = []
    for _ in range(repetitions):
        run = _Pass(tracker_factory(rig))
        for frame_set in frame_sets:
            run.frame(frame_set)
        ours.append(np.array(run.spent_us))
        if peer:
            theirs.append(time_each(peer.run, prepared))
    found = {"tipoff": Spread.of(ours)}
    return found | {peer.name: Spread.of(theirs)} if peer else found


def courts(config: BenchConfig) -> list[ArenaOptions]:
    """The rows of the tables: every number of cameras with every number of people."""
    suite = config.suite
    assert isinstance(suite, Config)
    frames = max(suite.frames, suite.timed_frames)
    base = replace(config.workload.arena(config.rig), seed=config.seed, frames=frames)
    return [
        replace(base, people=people, ring=replace(base.ring, cameras=cameras))
        for cameras in config.rig.cameras
        for people in config.workload.people
    ]


TIMES = (
    "cameras",
    "people",
    "system",
    "median_us",
    "lowest_median_us",
    "highest_median_us",
    "p99_us",
    "worst_us",
    "times_peer",
)
ACCURACY = (
    "cameras",
    "people",
    "mpjpe_mm",
    "p95_mm",
    "recall",
    "precision",
    "joints_given",
    "switches",
    "mota",
    "idf1",
    "coverage",
    "digest",
)
NOTES = (
    "Time: observe for every camera and one snapshot, through Python, one thread, undistortion and "
    "covariances included; over interleaved repetitions, with the medians of the fastest and the "
    "slowest one. The peer does only what its name says; times_peer: median of the repetitions' "
    "ratios.",
    "Accuracy: snapshots at the newest capture, from frame 60, people matched within 0.5 m; "
    "coverage: errors inside their 95 % ellipsoid; equal digests are equal results to the bit.",
)


def run(config: BenchConfig) -> Report:
    """Measure every court of the configuration."""
    import accel

    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("core", notes=list(NOTES))
    where = f"{config.workload.name}, seed {config.seed}"
    times = report.table(f"Microseconds a frame-set ({where})", TIMES)
    accuracy = report.table(f"Against ground truth ({where}, {suite.frames} frames)", ACCURACY)
    for options in courts(config):
        court = {"cameras": options.ring.cameras, "people": options.people}
        with report.working(f"{options.ring.cameras} cameras x {options.people} people"):
            arena = Arena(options)
            found = evaluate(accel.Tracker, arena, suite.frames)
            spreads = race(
                accel.Tracker, arena, suite.timed_frames, suite.repetitions, config.peer.name
            )
        for system, spread in spreads.items():
            times.add({**court, "system": system, **_time_row(spread), **_against(spreads, system)})
        accuracy.add({**court, **_accuracy_row(found)})
        timing = {system: asdict(spread) for system, spread in spreads.items()}
        report.details[f"{options.ring.cameras}x{options.people}"] = {
            "metrics": asdict(found.metrics),
            "microseconds": timing,
            "digest": found.digest,
        }
    return report


def _time_row(spread: Spread) -> dict[str, object]:
    return {
        "median_us": round(spread.median, 1),
        "lowest_median_us": min(spread.medians),
        "highest_median_us": max(spread.medians),
        "p99_us": round(spread.p99, 1),
        "worst_us": round(spread.worst, 1),
    }


def _against(spreads: dict[str, Spread], system: str) -> dict[str, object]:
    """How many times the peer's time it took, by repetitions side by side."""
    peers = [name for name in spreads if name != "tipoff"]
    if system != "tipoff" or not peers:
        return {}
    return {"times_peer": round(spreads[system].times(spreads[peers[0]]), 2)}


def _accuracy_row(found: Evaluation) -> dict[str, object]:
    metrics = found.metrics
    return {
        "mpjpe_mm": round(metrics.mpjpe_mm, 2),
        "p95_mm": round(metrics.p95_mm, 1),
        "recall": round(metrics.recall, 5),
        "precision": round(metrics.precision, 5),
        "joints_given": round(metrics.joints_given, 4),
        "switches": metrics.switches,
        "mota": round(metrics.mota, 4),
        "idf1": round(metrics.idf1, 4),
        "coverage": round(metrics.coverage, 4),
        "digest": found.digest,
    }
