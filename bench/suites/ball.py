"""suite=ball: where the ball is, in which phase, and when it bounced, on a simulated court.

For a developer's loop, without Hydra:

    from bench.sim import Arena, preset
    from bench.sim.ball import BallArena
    from bench.suites.ball import evaluate
    found = evaluate(accel.BallTracker, BallArena(Arena(preset("standard", frames=1200))))
    found.score.phase("flight").median_mm
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bench.arrays import Ints, Keypoints
from bench.ball_score import VIEWS, BallScore, Timing, timing
from bench.config import BenchConfig, SuiteConfig, at_least, within
from bench.report import Report
from bench.sim import Arena, ArenaOptions
from bench.sim.ball import PHASES, BallArena, BallFrameSet, BallPlay
from bench.timing import Spread

if TYPE_CHECKING:
    import accel

WARM_UP_FRAMES = 30
NS = 1_000_000_000
RELEASE_KNOWN_S = (0.15, 0.35)
"""A release is judged by what is said of it this long after it."""
EDGE_S = 0.15
"""Bounces this near the end are not asked for: nothing has been seen after them."""


@dataclass
class Config(SuiteConfig):
    """Options of suite=ball."""

    name: str = "ball"
    frames: int = 1800
    """Frame-sets of each game."""
    games: int = 3
    """Games with seeds seed, seed + 1, ...; their snapshots are scored together."""
    people: str = "tracker"
    """Whose wrists the snapshots are given: tracker (tracked with them), truth or none."""
    detected: float = 0.88
    """Probability that a visible ball is detected."""
    hidden: float = 0.15
    """The same behind a body."""
    sigma_px: float = 1.5
    """Noise of a candidate."""
    false_rate: float = 0.08
    """Mean number of false candidates in a camera frame."""
    decoys: int = 0
    """People whose heads look like balls in half of the views."""
    target_flight_mm: float = 15.0
    """Most median error in flight, asked of courts with eight cameras and more."""
    target_held_mm: float = 60.0
    """The same while held."""
    target_bounce_ms: float = 10.0
    """Most 95th percentile of the error of a bounce's time."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        at_least("suite.frames", self.frames, WARM_UP_FRAMES + 1)
        at_least("suite.games", self.games, 1)
        for name in ("detected", "hidden"):
            within(f"suite.{name}", getattr(self, name), 0.0, 1.0)
        within("suite.sigma_px", self.sigma_px, 0.0, 100.0)
        within("suite.false_rate", self.false_rate, 0.0, 1000.0)
        if self.people not in {"tracker", "truth", "none"}:
            from tipoff.errors import InvalidInputError

            raise InvalidInputError(
                f"suite.people is {self.people!r}; give tracker, truth or none",
                field="suite.people",
            )


class Following(Protocol):
    """What is measured: `accel.BallTracker`, or anything that does its work."""

    def observe(self, camera: int, capture_time_ns: int, candidates: Keypoints, /) -> bool:
        """Take one camera frame."""

    def snapshot(self, time_ns: int, people: accel.Snapshot | None = None, /) -> accel.BallSnapshot:
        """The ball at a time."""


BallFactory = Callable[["accel.Rig"], Following]
PeopleAt = Callable[[BallFrameSet], "accel.Snapshot | None"]


@dataclass(slots=True)
class Evaluation:
    """One or more games."""

    score: BallScore = field(default_factory=BallScore)
    """Errors by phase and views."""
    bounces: list[int] = field(default_factory=list)
    """True bounces, ns; games are apart by their own times."""
    releases: list[int] = field(default_factory=list)
    """True releases."""
    spent_us: list[float] = field(default_factory=list)
    """Processor time of observe for all cameras and one snapshot."""
    digest: str = ""
    """SHA-256 of all positions, shortened."""

    def bounce_timing(self) -> Timing:
        """Told bounces against true ones."""
        return timing(list(self.score.bounces), np.array(self.bounces, dtype=np.int64))

    def release_timing(self) -> Timing:
        """The median told release of each true one."""
        told = [int(np.median(t)) for t in self.score.releases.values()]
        return timing(told, np.array(self.releases, dtype=np.int64))


def true_people(arena: Arena) -> PeopleAt:
    """Everybody where they are, with the uncertainty of a good tracker."""
    import accel

    def people(frame_set: BallFrameSet) -> accel.Snapshot:
        joints = arena.truth(frame_set.time_ns)
        shape = joints.shape[:2]
        return accel.Snapshot(
            frame_set.time_ns,
            np.arange(1, len(joints) + 1, dtype=np.int64),
            joints.astype(np.float64),
            np.broadcast_to(1.5e-4 * np.eye(3), (*shape, 3, 3)).copy(),
            np.ones(shape, dtype=np.float32),
            np.full(shape, 8, dtype=np.int32),
        )

    return people


def tracked_people(arena: Arena) -> PeopleAt:
    """Everybody as `accel.Tracker` gives them, frame-set by frame-set."""
    import accel

    tracker = accel.Tracker(arena.accel_rig())
    frame_sets = arena.frame_sets()

    def people(frame_set: BallFrameSet) -> accel.Snapshot:
        seen = next(frame_sets)
        assert seen.index == frame_set.index
        for view in seen.views:
            tracker.observe(view.camera, view.capture_time_ns, view.keypoints)
        return tracker.snapshot(frame_set.time_ns)

    return people


def nobody(_: BallFrameSet) -> None:
    """No people at all."""
    return


def evaluate(
    factory: BallFactory,
    ball: BallArena,
    people: PeopleAt | None = None,
    into: Evaluation | None = None,
) -> Evaluation:
    """Run a ball tracker over an arena and score each snapshot at its newest capture.

    Args:
        factory: Makes the tracker from the arena's `accel.Rig`.
        ball: What is followed.
        people: Gives the people of a frame-set; the true ones if None.
        into: An evaluation that this game is added to.
    """
    out = into if into is not None else Evaluation()
    whose = people if people is not None else true_people(ball.arena)
    tracker = factory(ball.arena.accel_rig())
    releases = ball.releases_ns()
    digest = hashlib.sha256(out.digest.encode())
    for frame_set in ball.frame_sets():
        who, now = whose(frame_set), frame_set.time_ns
        began = time.thread_time_ns()
        for view in frame_set.views:
            tracker.observe(view.camera, view.capture_time_ns, view.candidates)
        found = tracker.snapshot(now, who)
        out.spent_us.append((time.thread_time_ns() - began) * 1e-3)
        digest.update(found.position_m.tobytes())
        if frame_set.index < WARM_UP_FRAMES:
            continue
        out.score.add(found, ball.truth(now))
        _hear_release(out.score, found, now, releases)
    first, last = ball.arena.options.start_ns, now - round(EDGE_S * NS)
    first += round(WARM_UP_FRAMES / ball.arena.options.fps * NS)
    out.bounces += [int(t) for t in ball.bounces_ns() if first < t < last]
    out.releases += [int(t) for t in releases if first < t < last - RELEASE_KNOWN_S[1] * NS]
    out.digest = digest.hexdigest()[:16]
    return out


def _hear_release(score: BallScore, found: accel.BallSnapshot, now: int, releases: Ints) -> None:
    if found.arc is None or found.arc.from_floor:
        return
    for true in releases:
        if RELEASE_KNOWN_S[0] * NS <= now - true <= RELEASE_KNOWN_S[1] * NS:
            score.hear_release(found.arc.release_ns, int(true))


PHASE_COLUMNS = (
    "cameras",
    "phase",
    "snapshots",
    "known",
    "median_mm",
    "p95_mm",
    "coverage",
    "phase_told",
)
VIEW_COLUMNS = ("cameras", "views", "snapshots", "median_mm", "coverage")
EVENT_COLUMNS = (
    "cameras",
    "event",
    "true",
    "found",
    "invented",
    "median_ms",
    "p95_ms",
    "within_10ms",
)
TIME_COLUMNS = ("cameras", "median_us", "p99_us", "worst_us", "digest")
NOTES = (
    "Snapshots at the newest capture, from frame 30. coverage: errors inside their 95 % ellipsoid. "
    "loose: on the floor or being picked up, told as unknown.",
    "Time: processor time of observe for every camera and one snapshot, through Python. "
    "Bounces as last told; releases as told 150 to 350 ms after.",
)


def games(config: BenchConfig, cameras: int) -> Iterator[ArenaOptions]:
    """The games of one row of the tables, each at a day of its own."""
    suite = config.suite
    assert isinstance(suite, Config)
    base = config.workload.arena(config.rig)
    for game in range(suite.games):
        yield replace(
            base,
            seed=config.seed + game,
            frames=suite.frames,
            people=config.workload.people[0],
            ring=replace(base.ring, cameras=cameras),
            start_ns=base.start_ns + game * 86_400 * NS,
        )


def run(config: BenchConfig) -> Report:
    """Measure every court of the configuration."""
    import accel

    suite = config.suite
    assert isinstance(suite, Config)
    play = BallPlay(
        sigma_px=suite.sigma_px,
        detected=suite.detected,
        hidden=suite.hidden,
        false_rate=suite.false_rate,
        decoys=suite.decoys,
    )
    report = Report("ball", notes=list(NOTES))
    where = f"{config.workload.name}, seed {config.seed}, {suite.games} x {suite.frames} frames"
    phases = report.table(f"By phase ({where})", PHASE_COLUMNS)
    views = report.table("By the views that support it", VIEW_COLUMNS)
    events = report.table("When it happened", EVENT_COLUMNS)
    times = report.table("Microseconds a frame-set", TIME_COLUMNS)
    for cameras in config.rig.cameras:
        found = Evaluation()
        with report.working(f"{cameras} cameras"):
            for options in games(config, cameras):
                ball = BallArena(Arena(options), play)
                evaluate(accel.BallTracker, ball, _people(suite.people, ball.arena), found)
        for row in _phase_rows(found):
            phases.add({"cameras": cameras, **row})
        for row in _view_rows(found):
            views.add({"cameras": cameras, **row})
        told = {"bounce": found.bounce_timing(), "release": found.release_timing()}
        for event, measured in told.items():
            events.add({"cameras": cameras, "event": event, **_event_row(measured)})
        spread = Spread.of([np.array(found.spent_us)])
        times.add({"cameras": cameras, **_time_row(spread), "digest": found.digest})
        report.details[f"{cameras} cameras"] = {
            "phases": {name: asdict(found.score.phase(name)) for name in PHASES},
            "events": {event: asdict(measured) for event, measured in told.items()},
            "positive_definite": found.score.definite(),
        }
        _judge(report, suite, cameras, found)
    return report


def _people(whose: str, arena: Arena) -> PeopleAt:
    if whose == "none":
        return nobody
    return tracked_people(arena) if whose == "tracker" else true_people(arena)


def _judge(report: Report, suite: Config, cameras: int, found: Evaluation) -> None:
    """Note the targets that a court of eight cameras or more misses."""
    if cameras < 8:
        return
    asked = (
        ("median_mm in flight", found.score.phase("flight").median_mm, suite.target_flight_mm),
        ("median_mm held", found.score.phase("held").median_mm, suite.target_held_mm),
        ("p95_ms of bounces", found.bounce_timing().p95_ms, suite.target_bounce_ms),
    )
    for name, value, most in asked:
        if value > most:
            report.missed.append(
                f"{name} with {cameras} cameras is {value:.2f}, the target is at most {most:g}"
            )
    if found.score.definite() < 1.0:
        report.missed.append(f"a covariance with {cameras} cameras is not positive definite")


def _phase_rows(found: Evaluation) -> Iterator[dict[str, object]]:
    parts = [(name, found.score.phase(name)) for name in PHASES]
    for name, part in [*parts, ("all", found.score.everything())]:
        if part.count:
            yield {
                "phase": name,
                "snapshots": part.count,
                "known": round(part.known, 4),
                "median_mm": round(part.median_mm, 1),
                "p95_mm": round(part.p95_mm, 1),
                "coverage": round(part.coverage, 3),
                "phase_told": round(part.said, 3),
            }


def _view_rows(found: Evaluation) -> Iterator[dict[str, object]]:
    for low, high in VIEWS:
        part = found.score.views(low, high)
        if part.count:
            yield {
                "views": str(low) if low == high else f"{low}-{high}" if high < 64 else f"{low}+",
                "snapshots": part.count,
                "median_mm": round(part.median_mm, 1),
                "coverage": round(part.coverage, 3),
            }


def _event_row(measured: Timing) -> dict[str, object]:
    return {
        "true": measured.true,
        "found": measured.found,
        "invented": measured.invented,
        "median_ms": round(measured.median_ms, 2),
        "p95_ms": round(measured.p95_ms, 2),
        "within_10ms": round(measured.within_10ms, 3),
    }


def _time_row(spread: Spread) -> dict[str, object]:
    return {
        "median_us": round(spread.median, 1),
        "p99_us": round(spread.p99, 1),
        "worst_us": round(spread.worst, 1),
    }
