"""From camera frames to tracks: plan what to ask, ask, and let the tracker learn the answers.

The part that recordings (`edge_node.pipeline`) and live cameras (`edge_node.live.loop`) share. It
knows rounds, each with one frame of a camera at most, and neither threads nor clocks: who calls it
says when a round is begun and when it is finished, always in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard

import numpy as np

from accel import PlanBudget, TimeOutOfRangeError
from edge_node.area import Membership
from edge_node.frames import CameraFrame, ObservedFrame, ViewDetections
from edge_node.inference import Found
from edge_node.planner import Planner
from edge_node.posing import Expected, sift
from edge_node.sizes import size_factor
from tipoff.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from accel import Plan, Prediction, Rig, Snapshot
    from edge_node.area import Area
    from edge_node.inference import StageTimes, Task
    from edge_node.planner import PlanOptions

NEVER_MS = 1e9
"""Cost of what is not to be planned."""

Frame: TypeAlias = "CameraFrame | ObservedFrame"


class Tracker(Protocol):
    """The part of ``accel.Tracker`` that is used here."""

    def observe(self, camera: int, capture_time_ns: int, keypoints: NDArray[np.float32]) -> bool:
        """Take in a frame's detections."""

    def snapshot(self, time_ns: int) -> Snapshot:
        """Give all tracks at a time."""

    def predict(self, camera: int, time_ns: int) -> Prediction:
        """Give what a frame should show."""

    def assigned(self, camera: int, capture_time_ns: int) -> NDArray[np.int64]:
        """Give the track of each detection of a frame."""

    def plan(self, budget: PlanBudget) -> Plan:
        """Say whom to pose where."""


class Promise(Protocol):
    """What is being found in a frame."""

    def result(self) -> Found:
        """Wait for it; raises what the client raises."""

    def done(self) -> bool:
        """Say whether it need not be waited for."""

    def add_done_callback(self, call: Callable[[Any], object], /) -> None:
        """Have ``call`` called, from any thread, when it or a part of it has come."""


class Asking(Protocol):
    """The part of ``edge_node.inference.Inference`` that is used here."""

    @property
    def times(self) -> StageTimes:
        """Seconds of ``convert``, ``detect`` and ``pose``, so far."""

    def submit(self, frame: CameraFrame, tasks: Sequence[Task]) -> Promise:
        """Begin to do a frame's tasks."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A frame that was asked about, or whose people were known before."""

    frame: Frame
    """The frame."""
    people: Expected | None
    """Whom the tracker expected in it; None where nobody had to be looked for."""
    tasks: list[Task]
    """What is asked."""
    answer: Promise | None
    """What is being found; None where nothing is asked."""

    @property
    def too_late(self) -> bool:
        """Whether it is a picture older than what the tracker still takes: nothing is asked."""
        return self.people is None and isinstance(self.frame, CameraFrame)

    @property
    def done(self) -> bool:
        """Whether its answer is there."""
        return self.answer is None or self.answer.done()


@dataclass(frozen=True, slots=True)
class Answered:
    """A frame with what was found in it."""

    frame: Frame
    """The frame."""
    found: Found
    """The people, in pixels of the calibration."""
    accepted: bool
    """Whether the tracker took it; it refuses what comes too late or twice."""


class Perception:
    """Plans, asks and tracks, round by round.

    Args:
        rig: The calibrated cameras.
        inference: Asks the models; None where every frame brings its people along.
        tracker: Fresh, or one that goes on.
        plan: How the closed loop spends inference.
        area: Where people are reported from.
    """

    def __init__(
        self,
        rig: Rig,
        inference: Asking | None,
        tracker: Tracker,
        plan: PlanOptions,
        area: Area,
    ) -> None:
        self._rig, self._inference, self._tracker = rig, inference, tracker
        self.planner = Planner(len(rig.names), plan)
        self.members = Membership(area)
        self.posed_share = 1.0
        """Part of the people who are posed in a round, those from whom most is gained."""
        self._factors: dict[int, tuple[tuple[int, int], NDArray[np.float64]]] = {}

    def check(self, frame: Frame) -> None:
        """Refuse a frame that cannot be used; a live camera may change what it gives at any time.

        Raises:
            FrameSizeError: Its picture is of a size that its camera was not calibrated for.
            ConflictError: It is a picture, and there is nothing to look with.
        """
        if not isinstance(frame, CameraFrame):
            return
        if self._inference is None:
            raise ConflictError(
                f"camera {frame.name} gives pictures and the session has no models to look with, "
                "since every source in its file is a recording of observations: give the camera "
                "such a recording",
                camera=frame.name,
            )
        self._factor(frame)

    def begin(self, frames: Sequence[Frame]) -> list[Asked]:
        """Plan a round and ask its questions.

        Args:
            frames: In order of time and camera, one of a camera at most.

        Raises:
            TipoffError: As :meth:`check` says.
        """
        pictures = [frame for frame in frames if self._in_time(frame)]
        worth = self._worth_posing(pictures) if pictures and self.posed_share < 1.0 else None
        people = [self._expected(frame, worth) for frame in pictures]
        plans = self.planner.plan(pictures, people) if pictures else []
        asked = {
            frame.camera: Asked(frame, expected, tasks, self._ask(frame, tasks))
            for frame, expected, tasks in zip(pictures, people, plans, strict=True)
        }
        return [asked.get(frame.camera) or Asked(frame, None, [], None) for frame in frames]

    def _in_time(self, frame: Frame) -> TypeGuard[CameraFrame]:
        """Say whether a frame is a picture that the tracker can still take."""
        if not isinstance(frame, CameraFrame):
            return False
        try:
            self._tracker.predict(frame.camera, frame.capture_time_ns)
        except TimeOutOfRangeError:
            return False
        return True

    def _ask(self, frame: CameraFrame, tasks: list[Task]) -> Promise | None:
        if not tasks:
            return None
        assert self._inference is not None, "check() was not asked about a picture"
        return self._inference.submit(frame, tasks)

    def _worth_posing(self, frames: Sequence[CameraFrame]) -> frozenset[tuple[int, int]]:
        """Choose the camera and identity of those to pose, by what the tracker gains from each."""
        time_ns = max(frame.capture_time_ns for frame in frames)
        cameras = [frame.camera for frame in frames]
        seen = sum(
            int(np.isfinite(self._tracker.predict(c, time_ns).boxes_px).all(axis=1).sum())
            for c in cameras
        )
        # A pose costs one, a search more than there is: only whom to pose is asked here.
        spend = max(1.0, round(self.posed_share * seen))
        budget = PlanBudget(time_ns, spend, pose_ms=1.0, detect_ms=NEVER_MS, cameras=cameras)
        return frozenset((pose.camera, pose.id) for pose in self._tracker.plan(budget).pose)

    def _expected(
        self, frame: CameraFrame, worth: frozenset[tuple[int, int]] | None = None
    ) -> Expected:
        """Give the people to pose, in the picture's pixels."""
        people = self._tracker.predict(frame.camera, frame.capture_time_ns)
        chosen = self.members.expected(people)
        if worth is not None:
            mine = [(frame.camera, int(identity)) in worth for identity in people.ids]
            chosen &= np.array(mine, np.bool_)
        unknown = self.planner.candidates_px(frame.camera)
        keypoints = people.keypoints[chosen, :, :2]
        nowhere = np.full((len(unknown), *keypoints.shape[1:]), np.nan)
        factor = self._factor(frame)
        return Expected(
            boxes_px=np.concatenate([people.boxes_px[chosen], unknown]) / np.tile(factor, 2),
            keypoints_px=(np.concatenate([keypoints, nowhere]) + 0.5) / factor - 0.5,
        )

    def wait(self, asked: Sequence[Asked]) -> list[tuple[Frame, Found]]:
        """Wait for a round's answers; frames that nothing was asked about are left out."""
        found: list[tuple[Frame, Found]] = []
        for question in asked:
            if isinstance(question.frame, ObservedFrame):
                found.append((question.frame, _as_found(question.frame)))
            elif question.answer is not None and question.people is not None:
                answer = sift(question.answer.result(), question.tasks, question.people)
                found.append((question.frame, self._in_rig_pixels(question.frame, answer)))
        return found

    def observe(self, found: Sequence[tuple[Frame, Found]]) -> list[Answered]:
        """Give a round's answers to the tracker."""
        return [
            Answered(
                frame,
                people,
                self._tracker.observe(frame.camera, frame.capture_time_ns, people.keypoints),
            )
            for frame, people in found
        ]

    def report(self, time_ns: int) -> tuple[Snapshot, Snapshot]:
        """Give everybody at the newest time, and those in the area; call it in order of time."""
        everybody = self._tracker.snapshot(time_ns)
        self.members.update(everybody)
        return everybody, self.members.select(everybody)

    def learn(self, answers: Sequence[Answered], reported: Snapshot) -> tuple[ViewDetections, ...]:
        """Let the planner learn from a finished round, and give the views of its pictures.

        A frame that the tracker refused, because it came too late, teaches nothing.
        """
        seen = [(answer, self._view(answer, reported)) for answer in answers]
        kept = [(answer.found.scores, view) for answer, view in seen if view is not None]
        views = tuple(view for _, view in kept)
        self.planner.learn(views, [scores for scores, _ in kept])
        self.planner.learn_tracks(frozenset(int(i) for i in reported.ids))
        return views

    def _view(self, answer: Answered, reported: Snapshot) -> ViewDetections | None:
        """Give what was made of a picture; None where the tracker knows of it no more."""
        frame = answer.frame
        if not isinstance(frame, CameraFrame) or not answer.accepted:
            return None
        now = reported
        try:
            assigned = self._tracker.assigned(frame.camera, frame.capture_time_ns)
            if frame.capture_time_ns != reported.time_ns:
                now = self.members.select(self._tracker.snapshot(frame.capture_time_ns))
        except TimeOutOfRangeError:
            return None
        return ViewDetections(
            camera=frame.camera,
            capture_time_ns=frame.capture_time_ns,
            frame_index=frame.index,
            keypoints=answer.found.keypoints,
            assigned=assigned,
            snapshot=now,
        )

    def _in_rig_pixels(self, frame: CameraFrame, found: Found) -> Found:
        """Move keypoints from the picture's pixels to those of the calibration."""
        factor = self._factor(frame)
        if (factor == 1.0).all():
            return found
        keypoints = found.keypoints.copy()
        keypoints[..., :2] = (keypoints[..., :2] + 0.5) * factor - 0.5
        return Found(keypoints, found.scores, found.requests)

    def _factor(self, frame: CameraFrame) -> NDArray[np.float64]:
        size = (frame.image.width_px, frame.image.height_px)
        known = self._factors.get(frame.camera)
        if known is None or known[0] != size:
            factor = size_factor(frame.name, size, self._rig.size[frame.camera])
            known = self._factors[frame.camera] = size, factor
        return known[1]


def _as_found(frame: ObservedFrame) -> Found:
    people = len(frame.keypoints)
    scores = np.ones(people, np.float32)
    return Found(frame.keypoints, scores, np.zeros(people, np.intp))
