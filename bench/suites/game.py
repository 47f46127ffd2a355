"""suite=game: a recorded stretch of play solved again by the bulk engine, with true associations.

For a developer's loop, without Hydra:

    from bench.sim import Arena, preset
    from bench.suites.game import record, evaluate
    arena = Arena(preset("hard", frames=600))
    evaluate(arena, record(arena), ResolveOptions()).metrics.mpjpe_mm
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from accel.reference import Learned, Progress, Recording, ResolveOptions, learn, resolve
from bench.config import BenchConfig, SuiteConfig, at_least
from bench.metrics import Metrics, Score
from bench.report import Report
from bench.sim import Arena, ArenaOptions

if TYPE_CHECKING:
    import accel

GAME_JOINTS = 13 * 17 * 60 * 2880
"""Thirteen people, 17 joints, 60 frames a second, 48 minutes of play."""
EDGE_FRAMES = 30
"""At either end of a recording half of the evidence is missing; a game has two ends, not two
every ten seconds, so that they are not scored."""


@dataclass
class Config(SuiteConfig):
    """Options of suite=game."""

    name: str = "game"
    frames: int = 600
    """Frame-sets of the recording."""
    body: bool = True
    """Whether the joints of a body are smoothed together, as by default."""
    order: int = ResolveOptions().order
    """Derivatives of the motion."""
    chunk_s: float = ResolveOptions().chunk_s
    """Play that a chunk answers for."""
    overlap_s: float = ResolveOptions().overlap_s
    """Play around it that is solved with it."""
    learn_s: float = ResolveOptions().learn_s
    """Play that is learned from."""
    memory_mib: int = ResolveOptions().memory_mib
    """Working memory."""
    memory: bool = True
    """Whether to measure the memory that is held, which solves the first chunk again."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        at_least("suite.frames", self.frames, 3 * EDGE_FRAMES)

    def options(self) -> ResolveOptions:
        """What the engine is told; it refuses what cannot be."""
        return ResolveOptions(
            body=self.body,
            order=self.order,
            chunk_s=self.chunk_s,
            overlap_s=self.overlap_s,
            learn_s=self.learn_s,
            memory_mib=self.memory_mib,
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy and cost of the engine on one recording."""

    metrics: Metrics
    """Against ground truth at the steps' times."""
    learned_s: float
    """Processor time of learning."""
    solved_s: float
    """Processor time of solving."""
    wall_s: float
    """Time that passed over both."""
    joints: int
    """Joints solved."""
    peak_mib: float
    """Most memory that solving the first chunk held at once; NaN where it was not measured."""

    @property
    def joints_per_s(self) -> float:
        """Joints solved a second of one processor, learning aside."""
        return self.joints / self.solved_s


def record(arena: Arena, frames: int | None = None) -> Recording:
    """What the arena's cameras report, every detection with its true person; inventions left out.

    The steps' times lie amid the cameras' captures.
    """
    options = arena.options
    count = options.frames if frames is None else frames
    cameras, people = len(arena.rig.names), options.people
    keypoints = np.zeros((count, cameras, people, 17, 3), dtype=np.float32)
    capture = arena.capture_times_ns(np.arange(count))
    for frame_set in arena.frame_sets(0, count):
        for view in frame_set.views:
            real = view.person >= 0
            keypoints[frame_set.index, view.camera, view.person[real]] = view.keypoints[real]
    middle = capture.min(axis=1) + (capture.max(axis=1) - capture.min(axis=1)) // 2
    middle += int(0.5e6 * options.ring.readout_ms)
    return Recording(middle, capture, keypoints)


def evaluate(
    arena: Arena,
    recording: Recording,
    options: ResolveOptions,
    learned: Learned | None = None,
    *,
    memory: bool = False,
) -> Evaluation:
    """Solve a recording and score it against the truth.

    Args:
        arena: Where it was recorded.
        recording: What was seen.
        options: What the engine is told.
        learned: What was learned before, or None to learn first.
        memory: Whether to measure memory, which solves the first chunk again, more slowly.
    """
    rig, wall = arena.accel_rig(), time.perf_counter()
    began = time.process_time()
    known = learned if learned is not None else learn(rig, recording, options, progress=_show)
    learned_s = time.process_time() - began
    score, joints, spent = Score(), 0, 0.0
    chunks = resolve(rig, recording, options, learned=known, progress=_show)
    while True:
        began = time.process_time()
        chunk = next(chunks, None)
        spent += time.process_time() - began
        if chunk is None:
            break
        joints += chunk.views.size
        truth = arena.truths(chunk.time_ns)
        ids = np.arange(truth.shape[1])
        for k in range(len(truth)):
            step = chunk.first + k
            if EDGE_FRAMES <= step < len(recording.time_ns) - EDGE_FRAMES:
                score.add(truth[k], ids, chunk.joints_m[k], chunk.covariance_m2[k], chunk.views[k])
    wall_s = time.perf_counter() - wall
    peak = peak_mib(rig, recording, options, known) if memory else float("nan")
    return Evaluation(score.metrics(), learned_s, spent, wall_s, joints, peak)


def peak_mib(
    rig: accel.Rig, recording: Recording, options: ResolveOptions, learned: Learned
) -> float:
    """Most memory that solving the first chunk holds at once, the recording aside."""
    tracemalloc.start()
    try:
        next(resolve(rig, recording, options, learned=learned), None)
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def _show(progress: Progress) -> None:
    """One line on a terminal that says how far it is."""
    if not sys.stderr.isatty():
        return
    share = progress.done / max(progress.total, 1)
    end = "\n" if progress.done >= progress.total else ""
    sys.stderr.write(
        f"\rgame: {progress.stage} {progress.done:,} / {progress.total:,} ({share:.0%}){end}"
    )
    sys.stderr.flush()


def courts(config: BenchConfig) -> list[ArenaOptions]:
    """Every number of cameras with every number of people."""
    base = replace(config.workload.arena(config.rig), seed=config.seed, frames=config.suite.frames)
    return [
        replace(base, people=people, ring=replace(base.ring, cameras=cameras))
        for cameras in config.rig.cameras
        for people in config.workload.people
    ]


ACCURACY = (
    "cameras",
    "people",
    "mpjpe_mm",
    "p95_mm",
    "joints_given",
    "coverage",
    "trunk",
    "limbs",
    "2 views",
    "3-4 views",
    "5+ views",
    "definite",
)
COST = (
    "cameras",
    "people",
    "joints",
    "joints_per_s",
    "learning_s",
    "game_min",
    "wall_s",
    "peak_mib",
)
NOTES = (
    "True associations; inventions left out, wrong and mirrored joints not. Scored at the steps' "
    "times, half a second from either end of the recording.",
    "joints_per_s: joints solved a second of processor time on one thread. game_min: 48 minutes of "
    "13 people at 60 frames a second (38 million joints) at that rate, learning included: "
    "extrapolated, not run.",
)


def run(config: BenchConfig) -> Report:
    """Measure every court of the configuration."""
    suite = config.suite
    assert isinstance(suite, Config)
    options = suite.options()
    report = Report("game", notes=list(NOTES))
    where = f"{config.workload.name}, seed {config.seed}, {suite.frames} frames"
    accuracy = report.table(f"Against ground truth ({where})", ACCURACY)
    cost = report.table(f"What it takes ({where})", COST)
    for arena_options in courts(config):
        court = {"cameras": arena_options.ring.cameras, "people": arena_options.people}
        with report.working(f"{court['cameras']} cameras x {court['people']} people"):
            arena = Arena(arena_options)
            found = evaluate(arena, record(arena), options, memory=suite.memory)
        accuracy.add({**court, **_accuracy_row(found.metrics)})
        cost.add({**court, **_cost_row(found)})
        report.details[f"{court['cameras']}x{court['people']}"] = asdict(found)
    return report


def _accuracy_row(metrics: Metrics) -> dict[str, object]:
    by = {k: round(v, 3) for k, v in metrics.coverage_by.items() if k in ACCURACY}
    return {
        "mpjpe_mm": round(metrics.mpjpe_mm, 2),
        "p95_mm": round(metrics.p95_mm, 1),
        "joints_given": round(metrics.joints_given, 5),
        "coverage": round(metrics.coverage, 4),
        "definite": metrics.definite,
        **by,
    }


def _cost_row(found: Evaluation) -> dict[str, object]:
    game_s = GAME_JOINTS / found.joints_per_s + found.learned_s
    return {
        "joints": found.joints,
        "joints_per_s": round(found.joints_per_s),
        "learning_s": round(found.learned_s, 1),
        "game_min": round(game_s / 60, 1),
        "wall_s": round(found.wall_s, 1),
        "peak_mib": round(found.peak_mib),
    }
