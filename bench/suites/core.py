"""suite=core: what the tracker costs and how right it is, on a simulated court with ground truth.

Beside it, on the same frame-sets: OpenCV's undistortion as the yardstick of cost, aniposelib and
Pose2Sim as far as they do the task. Then how the cost grows, the slowest frame of many, and memory.
For a developer's loop, without Hydra, see `bench.evaluation`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

from bench.config import BenchConfig, SuiteConfig, at_least, within
from bench.evaluation import (
    TIPOFF,
    WARM_UP_FRAMES,
    Evaluation,
    Observed,
    Trackable,
    TrackerFactory,
    evaluate,
    race,
    score_peer,
)
from bench.metrics import Metrics
from bench.peers import load_peers
from bench.report import Report, Table
from bench.sim import Arena, ArenaOptions
from bench.timing import Spread
from bench.worst import Growth, Memory, Worst, growth, memory_apart, worst_frame

__all__ = [
    "WARM_UP_FRAMES",
    "Config",
    "Evaluation",
    "Observed",
    "Trackable",
    "TrackerFactory",
    "courts",
    "evaluate",
    "race",
    "run",
]

JUDGED_FRAMES = 1000
"""Runs of fewer frame-sets are for looking; they are held to no target."""
MPJPE_MM = {
    ("standard", 4): 27.0,
    ("standard", 8): 18.0,
    ("standard", 14): 14.0,
    ("hard", 8): 36.0,
    ("async", 8): 22.0,
}
"""Largest MPJPE with 13 people, by workload and cameras."""
JUDGED_PEOPLE = 13
YARDSTICK_CAMERAS = 8
WORST_OVER_MEDIAN = 5.0


@dataclass
class Config(SuiteConfig):
    """Options of suite=core."""

    name: str = "core"
    frames: int = 1000
    """Frame-sets scored against ground truth, for each row of the table."""
    timed_frames: int = 300
    """Frame-sets of a timed repetition."""
    repetitions: int = 5
    """Timed repetitions, the peers' between the tracker's."""
    peer_frames: int = 40
    """Frame-sets on which a peer is scored, from frame 60 on."""
    peer_budget_s: float = 2.0
    """A slow peer is timed on as many frame-sets of a repetition as it does in this time."""
    worst_frames: int = 10_000
    """Frame-sets among which the slowest is sought; 0 leaves this out."""
    worst_cameras: list[int] = field(default_factory=lambda: [8, 14])
    """The rigs for which it is sought, with 13 people."""
    memory_frames: int = 60
    """Frame-sets after which memory is looked at, and again after three times as many; 0: not."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        at_least("suite.frames", self.frames, WARM_UP_FRAMES + 1)
        at_least("suite.timed_frames", self.timed_frames, 1)
        at_least("suite.repetitions", self.repetitions, 1)
        at_least("suite.peer_frames", self.peer_frames, 1)
        within("suite.peer_budget_s", self.peer_budget_s, 0.001, 3600.0)
        if self.worst_frames:
            at_least("suite.worst_frames (or 0)", self.worst_frames, WARM_UP_FRAMES + 11)
        at_least("suite.memory_frames", self.memory_frames, 0)


def courts(config: BenchConfig) -> list[ArenaOptions]:
    """The rows of the tables: every number of cameras with every number of people."""
    suite = config.suite
    assert isinstance(suite, Config)
    most = max(suite.frames, suite.timed_frames, suite.worst_frames, 3 * suite.memory_frames)
    frames = max(most, WARM_UP_FRAMES + suite.peer_frames)
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
    "times_opencv",
    "times_tipoff",
)
ACCURACY = (
    "cameras",
    "people",
    "system",
    "frames",
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
GROWTH = ("from_to", "factor", "times", "exponent")
WORST = (
    "cameras",
    "people",
    "frames",
    "median_us",
    "worst_us",
    "ratio",
    "at",
    "entry_us",
    "raw_us",
)
MEMORY = (
    "cameras",
    "people",
    "empty_kib",
    "full_kib",
    "later_kib",
    "each_kib",
    "checkpoint_kib",
)
NOTES = (
    "Time: observe for every camera and one snapshot, through Python, one thread, undistortion and "
    "covariances included; over interleaved repetitions, with the medians of the fastest and the "
    "slowest one. Peers do the part that is said below; times: median of the repetitions' ratios.",
    "Accuracy: snapshots at the newest capture, from frame 60, people matched within 0.5 m; "
    "coverage: errors inside their 95 % ellipsoid; equal digests are equal results to the bit. "
    "Peers are scored on the first of these frames alone.",
    "Growth: exponent 1 is in proportion. Worst: the first 60 frames are empty, then everybody is "
    "there at once; processor time, of each frame the least of three passes; raw: by the clock. "
    "Memory: resident memory over 32 trackers; each: of a person in a camera.",
)


def run(config: BenchConfig) -> Report:
    """Measure every court of the configuration."""
    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("core", notes=list(NOTES))
    where = f"{config.workload.name}, seed {config.seed}"
    times = report.table(f"Microseconds a frame-set ({where})", TIMES)
    accuracy = report.table(f"Against ground truth ({where})", ACCURACY)
    medians: dict[tuple[int, int], float] = {}
    for options in courts(config):
        spreads = _court(config, options, report, times, accuracy)
        medians[options.ring.cameras, options.people] = spreads[TIPOFF].median
    grown = growth(medians)
    if grown:
        _tell_growth(report.table("How the tracker's cost grows", GROWTH), grown)
    _bounds(config, report)
    return report


def _court(
    config: BenchConfig, options: ArenaOptions, report: Report, times: Table, accuracy: Table
) -> dict[str, Spread]:
    """Measure one number of cameras and people."""
    import accel

    suite = config.suite
    court = {"cameras": options.ring.cameras, "people": options.people}
    name = f"{options.ring.cameras}x{options.people}"
    with report.working(f"{options.ring.cameras} cameras x {options.people} people"):
        arena = Arena(options)
        peers, missing = load_peers(config.peer.modules, arena.rig)
        found = evaluate(accel.Tracker, arena, suite.frames)
        spreads = race(
            accel.Tracker,
            arena,
            suite.timed_frames,
            suite.repetitions,
            peers,
            suite.peer_budget_s,
        )
        scored = {p.name: score_peer(p, arena, WARM_UP_FRAMES, suite.peer_frames) for p in peers}
    said = [*(f"{peer.name}: {peer.does}." for peer in peers), *missing]
    report.notes.extend(note for note in said if note not in report.notes)
    for system, spread in spreads.items():
        times.add({**court, "system": system, **_time_row(spread), **_against(spreads, system)})
    trust = {"coverage": round(found.metrics.coverage, 4), "digest": found.digest}
    accuracy.add({**court, "system": TIPOFF, **_accuracy_row(found.metrics), **trust})
    for system, metrics in scored.items():
        if metrics is not None:
            accuracy.add({**court, "system": system, **_accuracy_row(metrics)})
    report.details[name] = {
        "metrics": asdict(found.metrics),
        "peers": {k: asdict(m) for k, m in scored.items() if m is not None},
        "microseconds": {system: asdict(spread) for system, spread in spreads.items()},
        "digest": found.digest,
    }
    _judge(config, options, report, found.metrics, spreads)
    return spreads


def _judge(
    config: BenchConfig,
    options: ArenaOptions,
    report: Report,
    metrics: Metrics,
    spreads: dict[str, Spread],
) -> None:
    """Hold the courts that have targets to them."""
    key = (config.workload.name, options.ring.cameras)
    judged = options.people == JUDGED_PEOPLE and config.suite.frames >= JUDGED_FRAMES
    if key not in MPJPE_MM or not judged:
        return
    where = f"{key[0]}, {key[1]} cameras x {options.people} people"
    report.target(f"MPJPE ({where}), mm", metrics.mpjpe_mm, most=MPJPE_MM[key])
    report.target(f"identity switches ({where})", metrics.switches, most=0)
    hard = key[0] == "hard"
    report.target(f"joints given ({where})", metrics.joints_given, 0.97 if hard else 0.99)
    if not hard:
        report.target(f"recall ({where})", metrics.recall, 0.999)
        report.target(f"precision ({where})", metrics.precision, 0.999)
    yardstick = _opencv(spreads)
    if key == ("standard", YARDSTICK_CAMERAS) and yardstick is not None:
        ratio = spreads[TIPOFF].times(yardstick)
        report.target(f"time over OpenCV's undistortion ({where})", ratio, most=1.0)


def _bounds(config: BenchConfig, report: Report) -> None:
    """The slowest frame and the memory, of the courts for which they are asked."""
    import accel

    suite = config.suite
    if suite.worst_frames:
        table = report.table("The slowest of many frame-sets", WORST)
        for options in courts(config):
            if options.ring.cameras not in suite.worst_cameras:
                continue
            if options.people != JUDGED_PEOPLE and JUDGED_PEOPLE in config.workload.people:
                continue
            with report.working(f"the slowest frame, {options.ring.cameras} cameras"):
                worst = worst_frame(accel.Tracker, Arena(options), suite.worst_frames)
            table.add(_worst_row(options, worst))
            name = f"worst frame over the median, {options.ring.cameras} cameras"
            if suite.worst_frames >= 10 * JUDGED_FRAMES:
                report.target(name, worst.ratio, most=WORST_OVER_MEDIAN)
    if suite.memory_frames:
        table = report.table("Memory of one tracker", MEMORY)
        for options in courts(config):
            with report.working(f"memory, {options.ring.cameras} x {options.people}"):
                kept = memory_apart(options, suite.memory_frames)
            table.add(_memory_row(options, kept))


def _time_row(spread: Spread) -> dict[str, object]:
    return {
        "median_us": round(spread.median, 1),
        "lowest_median_us": min(spread.medians),
        "highest_median_us": max(spread.medians),
        "p99_us": round(spread.p99, 1),
        "worst_us": round(spread.worst, 1),
    }


def _opencv(spreads: dict[str, Spread]) -> Spread | None:
    return next((s for name, s in spreads.items() if name.startswith("OpenCV")), None)


def _against(spreads: dict[str, Spread], system: str) -> dict[str, object]:
    """How many times OpenCV's and the tracker's time it took, by repetitions side by side."""
    row: dict[str, object] = {"times_tipoff": round(spreads[system].times(spreads[TIPOFF]), 2)}
    yardstick = _opencv(spreads)
    if yardstick is not None:
        row["times_opencv"] = round(spreads[system].times(yardstick), 2)
    return row


def _accuracy_row(metrics: Metrics) -> dict[str, object]:
    return {
        "frames": metrics.frames,
        "mpjpe_mm": round(metrics.mpjpe_mm, 2),
        "p95_mm": round(metrics.p95_mm, 1),
        "recall": round(metrics.recall, 5),
        "precision": round(metrics.precision, 5),
        "joints_given": round(metrics.joints_given, 4),
        "switches": metrics.switches,
        "mota": round(metrics.mota, 4),
        "idf1": round(metrics.idf1, 4),
    }


def _tell_growth(table: Table, grown: list[Growth]) -> None:
    for step in grown:
        table.add(
            {
                "from_to": step.along,
                "factor": round(step.factor, 2),
                "times": round(step.times, 2),
                "exponent": round(step.exponent, 2),
            }
        )


def _worst_row(options: ArenaOptions, worst: Worst) -> dict[str, object]:
    return {
        "cameras": options.ring.cameras,
        "people": options.people,
        "frames": worst.frames,
        "median_us": round(worst.median_us, 1),
        "worst_us": round(worst.worst_us, 1),
        "ratio": round(worst.ratio, 2),
        "at": worst.worst_at,
        "entry_us": round(worst.entry_us, 1),
        "raw_us": round(worst.raw_us, 1),
    }


def _memory_row(options: ArenaOptions, kept: Memory) -> dict[str, object]:
    sizes = {name: round(value, 1) for name, value in asdict(kept).items()}
    return {"cameras": options.ring.cameras, "people": options.people, **sizes}
