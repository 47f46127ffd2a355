"""suite=shelf: real people in five real cameras, given detections, scored by PCP.

The shared detections go to the tracker as they are, at the sequence's 25 frames a second, and the
shared scorer reads what comes out. For a developer's loop, without Hydra:

    from bench.shelf_data import load
    from bench.suites.shelf import evaluate
    evaluate(accel.Tracker, load()).pcp
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.arrays import Floats, Ints, Keypoints
from bench.config import BenchConfig, SuiteConfig, at_least
from bench.report import Report
from bench.shelf_data import Shelf, load, shared_folder
from bench.suites.core import TrackerFactory
from bench.timing import Spread

if TYPE_CHECKING:
    import accel

FPS = 25.0
NS = 1_000_000_000
GATE_M = 0.5
GHOST_SHARE = 0.3
"""A detection holds a reported person up within this share of the person's height in the view."""
ACTORS = ("0", "1", "2")


@dataclass
class Config(SuiteConfig):
    """Options of suite=shelf."""

    name: str = "shelf"
    data: str = ""
    """The shared folder; empty: TIPOFF_DATA, else the folder `shared` beside the checkout."""
    frames: int = 301
    """How many of the 301 evaluation frames are tracked and scored."""
    target_pcp: float = 96.5
    """Least mean PCP of actors 1-3, in percent."""
    target_ghosts: float = 3.0
    """Largest share of reported people that are ghosts, in percent."""

    def __post_init__(self) -> None:
        """Refuse to score nothing."""
        at_least("suite.frames", self.frames, 1)


@dataclass(frozen=True, slots=True)
class Result:
    """What a tracker made of the sequence."""

    pcp: float
    """Mean PCP of actors 1-3, percent."""
    pcp_by_actor: dict[str, float]
    """Percent, by "actor 1" and so on."""
    parts: dict[str, dict[str, float]]
    """Percent by body part and actor."""
    mpjpe_mm: float
    """The scorer's mean joint distance of what it matched."""
    ids_by_actor: dict[str, dict[int, int]]
    """Which track identities stood for an actor, in how many frames."""
    switches: int
    """How often an actor's identity changed."""
    ghosts: float
    """Share of the reported people that fewer than two views hold up."""
    people: float
    """Reported people a frame."""
    joints_given: float
    """Share of their joints that are not NaN."""
    microseconds: Spread
    """Five cameras and one snapshot."""


def evaluate(tracker_factory: TrackerFactory, shelf: Shelf, frames: int | None = None) -> Result:
    """Track the sequence and score every frame's snapshot at its own time."""
    rig = shelf.rig()
    tracker = tracker_factory(rig)
    ids: dict[int, Ints] = {}
    joints: dict[int, Floats] = {}
    spent_us: list[float] = []
    held = reported = 0
    numbers = sorted(shelf.frames)[:frames]
    for number in numbers:
        now = round(number * NS / FPS)
        began = time.perf_counter_ns()
        for camera, keypoints in enumerate(shelf.frames[number]):
            tracker.observe(camera, now, keypoints)
        found = tracker.snapshot(now)
        spent_us.append((time.perf_counter_ns() - began) * 1e-3)
        ids[number], joints[number] = found.ids, found.joints_m
        support = views_that_hold(rig, found.joints_m, shelf.frames[number])
        held, reported = held + int((support >= 2).sum()), reported + len(support)
    scored = shelf.scorer.evaluate(shelf.truth, {k: list(v) for k, v in joints.items()}, numbers)
    by_actor = _identities(shelf, ids, joints)
    given = np.concatenate([np.isfinite(j).all(axis=2).ravel() for j in joints.values()])
    return Result(
        pcp=100 * scored["average"],
        pcp_by_actor={_actor(a): 100 * p for a, p in scored["pcp"].items()},
        parts={
            k: {_actor(a): 100 * p for a, p in row.items()} for k, row in scored["parts"].items()
        },
        mpjpe_mm=scored["mpjpe_mm"] or float("nan"),
        ids_by_actor={a: dict(Counter(seen).most_common()) for a, seen in by_actor.items()},
        switches=sum(int(a != b) for seen in by_actor.values() for a, b in pairwise(seen)),
        ghosts=1 - held / reported if reported else float("nan"),
        people=reported / max(len(numbers), 1),
        joints_given=float(given.mean()) if len(given) else float("nan"),
        microseconds=Spread.of([np.array(spent_us)]),
    )


def _actor(key: str) -> str:
    return f"actor {int(key) + 1}"


def views_that_hold(rig: accel.Rig, joints_m: Floats, detections: list[Keypoints]) -> Ints:
    """How many views hold each reported person (T, J, 3) up: (T,).

    A view holds a person up when one of its detections lies, by the mean over the joints that both
    have, within GHOST_SHARE of the person's height in that view.
    """
    images = np.asarray(rig.project(joints_m)) if len(joints_m) else np.zeros((0, 17, 1, 2))
    count = np.zeros(len(joints_m), dtype=np.int64)
    for camera, keypoints in enumerate(detections):
        if not len(keypoints) or not len(joints_m):
            continue
        uv = images[:, :, camera]
        seen = np.asarray(np.isfinite(uv).all(axis=-1))
        low = np.where(seen, uv[..., 1], np.inf).min(axis=1)
        high = np.where(seen, uv[..., 1], -np.inf).max(axis=1)
        both = seen[:, None] & (keypoints[..., 2] > 0)[None]
        gap = np.linalg.norm(uv[:, None] - keypoints[None, ..., :2], axis=-1)
        mean = np.where(both, gap, 0).sum(axis=2) / np.maximum(both.sum(axis=2), 1)
        mean[~both.any(axis=2)] = np.inf
        count += mean.min(axis=1) <= GHOST_SHARE * (high - low)
    return count


def _identities(
    shelf: Shelf, ids: dict[int, Ints], joints: dict[int, Floats]
) -> dict[str, list[int]]:
    """For every actor, the identity nearest to it in each frame, where one is within the gate."""
    found: dict[str, list[int]] = {_actor(a): [] for a in ACTORS}
    for number, tracks in joints.items():
        people = [shelf.scorer.to14(p, "voxelpose") for p in tracks]
        for actor in ACTORS:
            truth: Any = shelf.truth.get(number, {}).get(actor)
            if truth is None or not people:
                continue
            gaps = [_gap(p, truth[:14]) for p in people]
            best = int(np.argmin(gaps))
            if gaps[best] <= GATE_M:
                found[_actor(actor)].append(int(ids[number][best]))
    return found


def _gap(person: Floats, truth: Floats) -> float:
    distance = np.linalg.norm(person - truth, axis=1)
    known = np.isfinite(distance)
    return float(distance[known].mean()) if known.any() else float("inf")


COLUMNS = (
    "pcp",
    "actor_1",
    "actor_2",
    "actor_3",
    "mpjpe_mm",
    "ids",
    "switches",
    "ghosts_percent",
    "people_a_frame",
    "joints_given",
    "median_us",
    "p99_us",
)
NOTE = (
    "PCP by the shared scorer, frames 300-600; ids: how many identities each of actors 1-3 had; "
    "ghosts: reported people whom fewer than two views hold up. 4D Association has 96.27 by the "
    "same scorer, a greedy triangulation of the same detections frame by frame 94.30."
)


def run(config: BenchConfig) -> Report:
    """Track the sequence once."""
    import accel

    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("shelf", notes=[NOTE])
    table = report.table("Shelf, PCP in percent", COLUMNS)
    shelf = load(shared_folder(suite.data))
    with report.working(f"{min(suite.frames, len(shelf.frames))} frames"):
        found = evaluate(accel.Tracker, shelf, suite.frames)
    actors = {k.replace(" ", "_"): round(v, 2) for k, v in found.pcp_by_actor.items()}
    table.add(
        {
            "pcp": round(found.pcp, 2),
            **{k: v for k, v in actors.items() if k in COLUMNS},
            "mpjpe_mm": round(found.mpjpe_mm, 1),
            "ids": " ".join(str(len(ids)) for ids in found.ids_by_actor.values()),
            "switches": found.switches,
            "ghosts_percent": round(100 * found.ghosts, 2),
            "people_a_frame": round(found.people, 2),
            "joints_given": round(found.joints_given, 4),
            "median_us": round(found.microseconds.median, 1),
            "p99_us": round(found.microseconds.p99, 1),
        }
    )
    report.details |= {"parts": found.parts, "ids_by_actor": found.ids_by_actor}
    report.target("PCP of actors 1-3", found.pcp, suite.target_pcp)
    report.target("share of ghosts, percent", 100 * found.ghosts, most=suite.target_ghosts)
    most = max((len(ids) for ids in found.ids_by_actor.values()), default=0)
    report.target("identities of an actor", most, most=1)
    return report
