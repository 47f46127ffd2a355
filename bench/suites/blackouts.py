"""suite=blackouts: who is who after a time in which no camera gave a frame.

A node that restarts in the middle of play sees nobody for a second or more. A game is played with
such gaps; three quarters of a second after each, everybody either has the identity of before, or a
new one, or somebody else's. For a developer's loop, without Hydra:

    from bench.sim import Arena, preset
    from bench.suites.blackouts import play
    play(accel.Tracker, Arena(preset("standard", frames=1800)), gap_s=1.0)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

import numpy as np

from bench.config import BenchConfig, SuiteConfig, at_least, within
from bench.report import Report
from bench.sim import PRESETS, Arena
from bench.suites.core import Observed, TrackerFactory
from tipoff.errors import InvalidInputError

JUDGED_AFTER_S = 0.75
"""Whoever cannot be told apart is given half a second."""
NEAR_M = 0.4
"""Whose hips are this near to a person's is that person."""
HIPS = (11, 12)


@dataclass
class Config(SuiteConfig):
    """Options of suite=blackouts."""

    name: str = "blackouts"
    workloads: list[str] = field(default_factory=lambda: ["standard", "hard"])
    """Presets of bench.sim."""
    gaps_s: list[float] = field(default_factory=lambda: [0.3, 1.0, 2.0, 3.0, 5.0])
    """How long nobody can be seen; each is a row."""
    games: int = 3
    """Games a row, each of its own seed."""
    frames: int = 1800
    """Frame-sets of a game."""
    play_s: float = 5.0
    """How long play goes on between two gaps."""
    most_exchanged_percent: float = 3.0
    """Most people with another's identity that pass."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        at_least("suite.games", self.games, 1)
        within("suite.play_s", self.play_s, 1.0, 3600.0)
        for gap_s in self.gaps_s:
            within("suite.gaps_s", gap_s, 0.0, 60.0)
        for name in self.workloads:
            if name not in PRESETS:
                raise InvalidInputError(
                    f"there is no workload {name!r}; there are {', '.join(PRESETS)}",
                    field="suite.workloads",
                )


@dataclass(slots=True)
class Found:
    """What became of identities, counted by person and gap."""

    kept: int = 0
    """Have the identity of before."""
    renewed: int = 0
    """Have a new one."""
    exchanged: int = 0
    """Have somebody else's."""
    unseen: int = 0
    """Are not told at all."""

    @property
    def people(self) -> int:
        """All of them."""
        return self.kept + self.renewed + self.exchanged + self.unseen

    def count(self, before: dict[int, int], after: dict[int, int]) -> None:
        """Compare identities by person."""
        known = set(before.values())
        for person, identity in before.items():
            now = after.get(person)
            if now is None:
                self.unseen += 1
            elif now == identity:
                self.kept += 1
            elif now in known:
                self.exchanged += 1
            else:
                self.renewed += 1

    def add(self, other: Found) -> None:
        """Count another's people too."""
        self.kept += other.kept
        self.renewed += other.renewed
        self.exchanged += other.exchanged
        self.unseen += other.unseen


def identities(arena: Arena, snapshot: Observed, time_ns: int) -> dict[int, int]:
    """True person to identity, of those who are told."""
    hips = arena.truth(time_ns)[:, HIPS].mean(axis=1)
    found: dict[int, int] = {}
    for identity, joints in zip(snapshot.ids, snapshot.joints_m, strict=True):
        distance = np.linalg.norm(hips - joints[HIPS, :].mean(axis=0), axis=1)
        person = int(np.argmin(distance))
        if distance[person] < NEAR_M:
            found[person] = int(identity)
    return found


def play(factory: TrackerFactory, arena: Arena, gap_s: float, play_s: float = 5.0) -> Found:
    """Play the arena with gaps, and compare identities over each."""
    fps = arena.options.fps
    gap, between, judged = (round(s * fps) for s in (gap_s, play_s, JUDGED_AFTER_S))
    tracker = factory(arena.accel_rig())
    found, before = Found(), dict[int, int]()
    for frame_set in arena.frame_sets():
        turn = frame_set.index % (between + gap)
        if turn >= between:
            continue
        for view in frame_set.views:
            tracker.observe(view.camera, view.capture_time_ns, view.keypoints)
        if turn == between - 1:
            before = identities(arena, tracker.snapshot(frame_set.time_ns), frame_set.time_ns)
        if turn == judged and before:
            found.count(
                before, identities(arena, tracker.snapshot(frame_set.time_ns), frame_set.time_ns)
            )
    return found


COLUMNS = ("workload", "cameras", "gap_s", "people", "kept", "new", "exchanged", "unseen")
NOTE = (
    "Percent of the people told before a gap, 0.75 s after it: kept their identity, have a "
    "new one because nobody was clearly the same, have somebody else's, are not told."
)


def run(config: BenchConfig) -> Report:
    """Play every workload with every gap."""
    import accel

    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("blackouts", notes=[NOTE])
    table = report.table(f"Identities over blackouts (seeds from {config.seed})", COLUMNS)
    for workload in suite.workloads:
        for cameras in config.rig.cameras:
            for gap_s in suite.gaps_s:
                found = Found()
                with report.working(f"{workload}, {cameras} cameras, {gap_s:g} s"):
                    for game in range(suite.games):
                        arena = _arena(config, workload, cameras, config.seed + game)
                        found.add(play(accel.Tracker, arena, gap_s, suite.play_s))
                where = {"workload": workload, "cameras": cameras, "gap_s": gap_s}
                table.add({**where, **_row(found)})
                report.details[f"{workload}, {cameras} cameras, {gap_s:g} s"] = asdict(found)
                report.target(
                    f"people exchanged, percent ({workload}, {cameras} cameras, {gap_s:g} s)",
                    _percent(found.exchanged, found),
                    most=suite.most_exchanged_percent,
                )
    return report


def _arena(config: BenchConfig, workload: str, cameras: int, seed: int) -> Arena:
    suite = config.suite
    assert isinstance(suite, Config)
    options = replace(PRESETS[workload], frames=suite.frames, seed=seed)
    base = config.workload.arena(config.rig).ring
    ring = replace(
        base,
        cameras=cameras,
        offset_ms=options.ring.offset_ms,
        readout_ms=options.ring.readout_ms,
    )
    return Arena(replace(options, ring=ring))


def _percent(part: int, found: Found) -> float:
    return round(100.0 * part / max(found.people, 1), 1)


def _row(found: Found) -> dict[str, object]:
    return {
        "people": found.people,
        "kept": _percent(found.kept, found),
        "new": _percent(found.renewed, found),
        "exchanged": _percent(found.exchanged, found),
        "unseen": _percent(found.unseen, found),
    }
