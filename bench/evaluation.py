"""Running a tracker, or its peers, over a simulated game: how right they are, how long they take.

from bench.evaluation import evaluate
from bench.sim import Arena, preset
found = evaluate(accel.Tracker, Arena(preset("standard", frames=1000)))
found.metrics.mpjpe_mm, found.metrics.switches, found.microseconds.median
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Floats, Ints, Keypoints
from bench.metrics import Metrics, Score
from bench.peers import Peer, Placing
from bench.sim import Arena, FrameSet
from bench.timing import Spread, time_each

if TYPE_CHECKING:
    import accel

WARM_UP_FRAMES = 60
TIPOFF = "tipoff"


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
    peers: Sequence[Peer] = (),
    peer_budget_s: float = math.inf,
) -> dict[str, Spread]:
    """Microseconds of the tracker and of its peers on the same frame-sets, turn by turn.

    A peer that takes longer than `peer_budget_s` in a turn is timed on the first ones alone.
    """
    frame_sets = list(arena.frame_sets(0, frames))
    prepared = [[peer.prepare(f) for f in frame_sets] for peer in peers]
    rig = arena.accel_rig()
    spent: dict[str, list[Floats]] = {TIPOFF: [], **{peer.name: [] for peer in peers}}
    for _ in range(repetitions):
        run = _Pass(tracker_factory(rig))
        for frame_set in frame_sets:
            run.frame(frame_set)
        spent[TIPOFF].append(np.array(run.spent_us))
        for peer, inputs in zip(peers, prepared, strict=True):
            if isinstance(peer, Placing):
                peer.forget()
            spent[peer.name].append(time_each(peer.run, inputs, peer_budget_s))
    return {name: Spread.of(turns) for name, turns in spent.items()}


def score_peer(peer: Peer, arena: Arena, first: int, frames: int) -> Metrics | None:
    """A peer's positions against ground truth; None where its work does not end in positions."""
    if not isinstance(peer, Placing):
        return None
    peer.forget()
    score = Score()
    for frame_set in arena.frame_sets(first, first + frames):
        found = peer.found(peer.run(peer.prepare(frame_set)))
        score.add(arena.truth(frame_set.time_ns), found.ids, found.joints_m)
    return score.metrics()
