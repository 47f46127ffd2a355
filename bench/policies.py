"""Ways to spend inference on a frame-set: search it all, a fixed turn, or what is planned."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bench.arrays import Floats, Ints
from bench.sim.models import Inference, boxes_of

if TYPE_CHECKING:
    import accel

FIRST_FRAMES = 2
"""Frame-sets at the start in which a fixed policy searches everything."""


class Policy(Protocol):
    """Asks about one frame-set and tells the tracker what was found."""

    def step(self, tracker: accel.Tracker, inference: Inference, frame: int) -> float:
        """Returns the milliseconds of inference that it spent."""


@dataclass(slots=True)
class Searching:
    """Search every camera in every frame-set: no loop at all."""

    def step(self, tracker: accel.Tracker, inference: Inference, frame: int) -> float:
        """Search."""
        return sum(
            search(tracker, inference, frame, camera)
            for camera in range(len(inference.scenes.arena.rig.names))
        )


@dataclass(slots=True)
class Turns:
    """A fixed rule: search every so many frame-sets, and pose the tracker's people in turn.

    People are posed camera by camera as far as the budget goes; the next frame-set goes on where
    this one stopped. What the searches at the start cost is not charged.
    """

    budget_ms: float
    """What a frame-set may cost on average."""
    detect_every: int = 30
    """Frame-sets between two searches of a camera."""
    together: bool = False
    """Search all cameras in the same frame-set instead of one after the other."""
    _balance_ms: float = 0.0
    _camera: int = 0

    def step(self, tracker: accel.Tracker, inference: Inference, frame: int) -> float:
        """Search who is due, pose the next in turn."""
        cameras = len(inference.scenes.arena.rig.names)
        self._balance_ms = min(self._balance_ms + self.budget_ms, 2.0 * self.budget_ms)
        due = {c for c in range(cameras) if self._due(frame, c, cameras)}
        spent = sum(search(tracker, inference, frame, c) for c in sorted(due))
        for _ in range(cameras):
            camera = self._camera
            people = tracker.predict(camera, int(inference.scenes.times_ns[frame]))
            there = _askable(people.boxes_px, people.keypoints, inference.size[camera])
            cost = inference.crop.ms * len(there)
            if spent + cost > self._balance_ms:
                break
            self._camera = (camera + 1) % cameras
            if camera in due or not len(there):
                continue
            ids = people.ids[there].tolist()
            spent += pose(tracker, inference, frame, camera, people.boxes_px[there], ids)
        self._balance_ms -= spent if frame >= FIRST_FRAMES else 0.0
        return spent

    def _due(self, frame: int, camera: int, cameras: int) -> bool:
        turn = 0 if self.together else camera * self.detect_every // cameras
        return frame < FIRST_FRAMES or (frame + turn) % self.detect_every == 0


@dataclass(slots=True)
class Planned:
    """What `tracker.plan` says; what a frame-set leaves or overdraws is carried on."""

    budget_ms: float
    """What a frame-set may cost on average."""
    entries_per_s: float = 0.5
    """What the planner is told of how often people come."""
    overdraft: float = 3.0
    """How far a frame-set may overdraw, in searches of a camera."""
    plan_us: list[float] = field(default_factory=list)
    """What planning itself took, microseconds."""
    searches: int = 0
    """Cameras searched."""
    poses: int = 0
    """People posed."""
    reasons: dict[str, int] = field(default_factory=dict)
    """How often each reason was given."""
    _balance_ms: float = 0.0

    def step(self, tracker: accel.Tracker, inference: Inference, frame: int) -> float:
        """Plan, ask, observe."""
        import accel

        detector = inference.detector
        self._balance_ms = min(self._balance_ms + self.budget_ms, 2.0 * self.budget_ms)
        budget = accel.PlanBudget(
            time_ns=int(inference.scenes.times_ns[frame]),
            inference_ms=max(self._balance_ms, 0.0),
            overdraft_ms=self.overdraft * detector.ms,
            pose_ms=inference.crop.ms,
            detect_ms=detector.ms,
            detect_scale=detector.scale,
            recall=detector.recall,
            entries_per_s=self.entries_per_s,
        )
        began = time.perf_counter_ns()
        plan = tracker.plan(budget)
        self.plan_us.append((time.perf_counter_ns() - began) * 1e-3)
        spent = 0.0
        for camera in range(len(inference.scenes.arena.rig.names)):
            if plan.searches(camera):
                spent += search(tracker, inference, frame, camera)
            elif poses := plan.poses_in(camera):
                boxes = boxes_of([p.box_px for p in poses])
                spent += pose(tracker, inference, frame, camera, boxes, plan.asked(camera) or [])
        for reason in [d.reason for d in plan.detect] + [p.reason for p in plan.pose]:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        self.searches += len(plan.detect)
        self.poses += len(plan.pose)
        self._balance_ms -= spent
        return spent


def search(tracker: accel.Tracker, inference: Inference, frame: int, camera: int) -> float:
    """Search a camera and observe what was found; returns the cost."""
    answer = inference.detect(frame, camera)
    tracker.observe(camera, int(inference.scenes.times_ns[frame]), answer.keypoints)
    return answer.cost_ms


def pose(
    tracker: accel.Tracker,
    inference: Inference,
    frame: int,
    camera: int,
    boxes_px: Floats,
    asked: list[int],
) -> float:
    """Pose people in a camera and observe what was found; returns the cost."""
    answer = inference.pose(frame, camera, boxes_px)
    tracker.observe(camera, int(inference.scenes.times_ns[frame]), answer.keypoints, asked=asked)
    return answer.cost_ms


def _askable(boxes_px: Floats, keypoints: Floats, size: Ints) -> Ints:
    """Indices of the people of whom enough is in view."""
    uv = keypoints[..., :2]
    with np.errstate(invalid="ignore"):
        inside = ((uv >= 0) & (uv < size)).all(axis=-1).mean(axis=1) if len(uv) else np.zeros(0)
        return np.flatnonzero(np.isfinite(boxes_px).all(axis=1) & (inside >= 0.3))
