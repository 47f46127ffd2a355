"""suite=plan: inference where it counts, beside searching every frame and beside a fixed turn.

People come and go on a simulated court; what models would say about its frames is simulated with
the costs and errors of MoveNet (`bench.sim.models`). Three ways to spend inference run on the same
game: every camera of every frame-set is searched; a fixed rule searches and poses in turn; and
`tracker.plan` says what to ask. The last two get a part of what the first one costs.

For a developer's loop, without Hydra:

    from bench.suites.plan import play
    play(inference, Planned(budget_ms=100.0), frames=600).presence.error_mm
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from bench.config import BenchConfig, SuiteConfig, at_least, within
from bench.policies import Planned, Policy, Searching, Turns
from bench.presence import Presence, PresenceScore
from bench.report import Report, Table
from bench.sim.models import CROP_MODELS, DETECTORS, Inference, Scenes
from bench.sim.traffic import TrafficArena
from tipoff.errors import InvalidInputError

WARM_UP_FRAMES = 60


@dataclass
class Config(SuiteConfig):
    """Options of suite=plan."""

    name: str = "plan"
    frames: int = 1200
    """Frame-sets of each row, the first second of them not scored."""
    stay_s: float = 8.0
    """Mean time that people are in the game, beside the way from and to a gate; 0: always."""
    away_s: float = 4.0
    """Mean time that they are away."""
    input_px: int = 640
    """Longer side of the detector's input, for all policies."""
    searched_px: list[int] = field(default_factory=lambda: [512, 960])
    """Other inputs with which every frame is searched, to compare."""
    crop: str = "lightning"
    """The model that poses people: lightning or thunder."""
    speedups: list[float] = field(default_factory=lambda: [2.0, 3.0, 4.0, 6.0, 8.0])
    """Budgets, as how many times cheaper than searching every frame they are."""
    detect_every: int = 30
    """The fixed rule searches each camera once in so many frame-sets."""
    entries_per_s: float = 0.5
    """What the planner is told of how often people come."""
    target_speedup: float = 2.0
    """The planned loop at this budget or a smaller one..."""
    target_error: float = 1.1
    """...must have at most this many times the errors of searching every frame."""

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        at_least("suite.frames", self.frames, WARM_UP_FRAMES + 1)
        at_least("suite.stay_s", self.stay_s, 0.0)
        at_least("suite.away_s", self.away_s, 0.0)
        at_least("suite.detect_every", self.detect_every, 1)
        at_least("suite.entries_per_s", self.entries_per_s, 0.0)
        for px in (self.input_px, *self.searched_px):
            if px not in DETECTORS:
                known = ", ".join(str(known) for known in DETECTORS)
                raise InvalidInputError(
                    f"the cost of a detector with an input of {px} px is not known; {known} are",
                    field="suite.input_px",
                )
        if self.crop not in CROP_MODELS:
            raise InvalidInputError(
                f"there is no crop model {self.crop!r}; there are {', '.join(CROP_MODELS)}",
                field="suite.crop",
            )
        for speedup in self.speedups:
            within("suite.speedups", speedup, 1.0, 1000.0)


@dataclass(frozen=True, slots=True)
class Played:
    """What a policy came to in a game."""

    presence: Presence
    """Against ground truth, after the warm-up."""
    cost_ms: float
    """Mean inference of a frame-set after the warm-up."""
    worst_ms: float
    """The dearest frame-set."""
    tracker_us: float
    """Median of a frame-set's snapshot and what planning took, for hints."""


def play(inference: Inference, policy: Policy, frames: int | None = None) -> Played:
    """Let a policy ask about the frame-sets of a game, one after the other."""
    import accel

    scenes = inference.scenes
    tracker = accel.Tracker(scenes.arena.accel_rig())
    score = PresenceScore(scenes.present.shape[1])
    costs, spent = [], []
    for frame in range(min(frames or scenes.frames, scenes.frames)):
        costs.append(policy.step(tracker, inference, frame))
        now = int(scenes.times_ns[frame])
        began = time.perf_counter_ns()
        snapshot = tracker.snapshot(now)
        spent.append((time.perf_counter_ns() - began) * 1e-3)
        count = frame >= WARM_UP_FRAMES
        truth = scenes.arena.truth(now)
        score.add(truth, scenes.present[frame], snapshot.ids, snapshot.joints_m, count=count)
    after = np.array(costs[WARM_UP_FRAMES:] or costs)
    return Played(score.result(), float(after.mean()), float(after.max()), float(np.median(spent)))


COLUMNS = (
    "cameras",
    "policy",
    "inference_ms",
    "worst_ms",
    "times_as_fast",
    "mpjpe_mm",
    "error_mm",
    "recall",
    "precision",
    "switches",
    "entry_frames",
    "searches",
    "poses",
    "plan_us",
)
NOTES = (
    "inference_ms: mean of a frame-set, one thread, by the costs of MoveNet; times_as_fast: "
    "against searching every frame with the same detector. Budgets are means: a frame-set may "
    "overdraw, the next ones pay.",
    "mpjpe_mm: people who are found; error_mm: everybody who is there, 500 without a track; "
    "entry_frames: from somebody's coming through the gate to their track; searches and poses: "
    "mean of a frame-set; plan_us: median of tracker.plan, through Python.",
    "turns: cameras searched in turn, each once in so many frame-sets; bursts: all of them "
    "together, as often; people are posed camera by camera in turn as far as the budget goes. "
    "planned: tracker.plan.",
)


def run(config: BenchConfig) -> Report:
    """Play every policy on every number of cameras."""
    suite = config.suite
    assert isinstance(suite, Config)
    people = config.workload.people[0]
    report = Report("plan", notes=list(NOTES))
    title = f"{people} people who come and go, {suite.frames} frame-sets, seed {config.seed}"
    table = report.table(title, COLUMNS)
    base = replace(config.workload.arena(config.rig), seed=config.seed, frames=suite.frames)
    for cameras in config.rig.cameras:
        options = replace(base, ring=replace(base.ring, cameras=cameras))
        with report.working(f"{cameras} cameras: the game"):
            arena = TrafficArena(options, suite.stay_s, suite.away_s)
            scenes = Scenes(arena, suite.frames)
        _court(report, table, scenes, suite)
    return report


def _court(report: Report, table: Table, scenes: Scenes, suite: Config) -> None:
    cameras = len(scenes.arena.rig.names)
    crop = CROP_MODELS[suite.crop]
    inference = Inference(scenes, DETECTORS[suite.input_px], crop)
    every = _row(report, table, inference, f"search {suite.input_px} px", Searching(), None)
    for px in suite.searched_px:
        other = Inference(scenes, DETECTORS[px], crop)
        _row(report, table, other, f"search {px} px", Searching(), every)
    for speedup in suite.speedups:
        budget_ms = every.cost_ms / speedup
        for name, together in (("turns", False), ("bursts", True)):
            fixed = Turns(budget_ms, suite.detect_every, together)
            _row(report, table, inference, f"{name} 1/{speedup:g}", fixed, every)
        planned = Planned(budget_ms, suite.entries_per_s)
        found = _row(report, table, inference, f"planned 1/{speedup:g}", planned, every)
        if speedup == suite.target_speedup:
            _judge(report, suite, cameras, every, found)


def _judge(report: Report, suite: Config, cameras: int, every: Played, planned: Played) -> None:
    """The targets: as fast as asked for, and not more wrong than allowed."""
    where = f"{cameras} cameras"
    # Budgets are means, and a game may end with a frame-set's overdraft not paid back yet.
    report.target(
        f"{where}: times as fast", every.cost_ms / planned.cost_ms, 0.99 * suite.target_speedup
    )
    for name in ("mpjpe_mm", "error_mm"):
        ratio = getattr(every.presence, name) / getattr(planned.presence, name)
        report.target(f"{where}: {name}, searching over planned", ratio, 1 / suite.target_error)
    recall = planned.presence.recall / every.presence.recall
    report.target(f"{where}: recall, planned over searching", recall, 2 - suite.target_error)


def _row(
    report: Report,
    table: Table,
    inference: Inference,
    policy_name: str,
    policy: Policy,
    every: Played | None,
) -> Played:
    cameras = len(inference.scenes.arena.rig.names)
    with report.working(f"{cameras} cameras: {policy_name}"):
        found = play(inference, policy)
    presence = found.presence
    row: dict[str, object] = {
        "cameras": cameras,
        "policy": policy_name,
        "inference_ms": round(found.cost_ms, 1),
        "worst_ms": round(found.worst_ms),
        "times_as_fast": round((every or found).cost_ms / found.cost_ms, 2),
        "mpjpe_mm": round(presence.mpjpe_mm, 1),
        "error_mm": round(presence.error_mm, 1),
        "recall": round(presence.recall, 4),
        "precision": round(presence.precision, 4),
        "switches": presence.switches,
        "entry_frames": round(presence.entry_frames, 1),
    }
    details: dict[str, object] = asdict(found)
    if isinstance(policy, Planned):
        frames = len(policy.plan_us)
        row["searches"] = round(policy.searches / frames, 2)
        row["poses"] = round(policy.poses / frames, 1)
        row["plan_us"] = round(float(np.median(policy.plan_us)))
        details["plan_us_p99"] = float(np.percentile(policy.plan_us, 99))
        details["reasons"] = policy.reasons
    table.add(row)
    report.details[f"{cameras} cameras, {policy_name}"] = details
    return found
