"""The pipeline: camera frames in, tracked frames out, its stages beside each other.

A thread decodes each camera, threads convert frames and ask Triton about several of them at once,
this module's own thread plans, tracks and takes snapshots, and each sink has a thread.

What comes out follows from the recordings alone. Frames are taken in rounds that depend on their
times only (`edge_node.capture.rounds`); the tracker is given each round in order of time and
camera; and round n is planned when exactly the rounds before n - ``PLAN_LAG_ROUNDS`` + 1 have been
tracked, however fast the answers came.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edge_node.area import Everywhere, Membership
from edge_node.capture import CaptureThread, rounds
from edge_node.frames import CameraHealth, CameraState, TrackedFrame, ViewDetections
from edge_node.inference import Found
from edge_node.planner import Planner, PlanOptions
from edge_node.posing import Expected, sift
from edge_node.sizes import size_factor
from edge_node.workers import SinkThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from accel import Prediction, Rig, Snapshot
    from edge_node.area import Area
    from edge_node.capture import Source
    from edge_node.clock import Pace
    from edge_node.frames import CameraFrame, Sink
    from edge_node.inference import StageTimes, Task

PLAN_LAG_ROUNDS = 2
"""Rounds in flight: a round is planned with what is known of the one this many before it."""
OVER = (CameraState.ENDED, CameraState.FAILED)


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


class Promise(Protocol):
    """What is being found in a frame."""

    def result(self) -> Found:
        """Wait for it; raises what the client raises."""


class Asking(Protocol):
    """The part of ``edge_node.inference.Inference`` that is used here."""

    @property
    def times(self) -> StageTimes:
        """Seconds of ``convert``, ``detect`` and ``pose``, so far."""

    def submit(self, frame: CameraFrame, tasks: Sequence[Task]) -> Promise:
        """Begin to do a frame's tasks."""


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How the pipeline runs."""

    plan: PlanOptions = field(default_factory=PlanOptions)
    """How the closed loop spends inference."""
    area: Area = field(default_factory=Everywhere)
    """Where people are reported from."""
    pace: Pace | None = None
    """Play recordings at their own pace; None is as fast as possible."""
    on_round: Callable[[int], None] | None = None
    """Told how many camera frames a finished round had."""


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What a run did."""

    frames: int
    """Tracked frames that the sinks were given."""
    cameras: tuple[CameraHealth, ...]
    """The cameras at the end."""
    seconds: dict[str, float]
    """Seconds by stage, over all its threads; ``total`` is the time that passed."""
    counts: dict[str, int]
    """How often each stage ran."""
    outside: int
    """Tracks that were never in the area, and so not reported."""
    interrupted: bool
    """Whether it was ended before its sources did."""


@dataclass(slots=True)
class CameraCount:
    """What is counted of a camera."""

    name: str
    state: CameraState = CameraState.WAITING
    frames: int = 0
    refused: int = 0
    last_capture_time_ns: int | None = None


@dataclass(slots=True)
class Round:
    """A round on its way."""

    frames: list[CameraFrame]
    """Its frames in order of time and camera."""
    people: list[Expected]
    """For each frame whom the tracker expected."""
    tasks: list[list[Task]]
    """For each frame what is asked."""
    answers: list[Promise | None]
    """For each frame what is being found; None where nothing is asked."""
    over: dict[int, CameraState]
    """Cameras that had no more frames when it was put together, and why."""


class Pipeline:
    """Runs sources through inference and tracker into sinks.

    Args:
        rig: The calibrated cameras.
        sources: One for each camera that takes part.
        inference: Asks the models.
        tracker: Fresh.
        sinks: Given every tracked frame; closed at the end.
        options: How to run.
    """

    def __init__(
        self,
        rig: Rig,
        sources: Sequence[Source],
        inference: Asking,
        tracker: Tracker,
        sinks: Sequence[Sink],
        options: PipelineOptions | None = None,
    ) -> None:
        self._rig, self._inference, self._tracker = rig, inference, tracker
        self._options = options or PipelineOptions()
        self.times = inference.times
        self._captures = [
            CaptureThread(source, self._options.pace, lambda s: self.times.add("decode", s))
            for source in sources
        ]
        self._sinks = SinkThreads(sinks, self.times)
        self._planner = Planner(len(rig.names), self._options.plan)
        self._members = Membership(self._options.area)
        self._counts = [CameraCount(name) for name in rig.names]
        self._factors: dict[int, NDArray[np.float64]] = {}
        self._written = 0
        self._stopping = False

    def stop(self) -> None:
        """End the run soon, from any thread: what is in flight is finished, then the sinks."""
        self._stopping = True

    def run(self) -> PipelineResult:
        """Run to the end of the sources, or until ``stop`` or an interrupt.

        Raises:
            VideoError: a source cannot be read.
            FrameSizeError: a picture does not fit its calibration.
            SinkError: a sink failed.
            TipoffError: inference failed, as the client says.
            KeyboardInterrupt: after the sinks have been closed.
        """
        began = time.perf_counter()
        try:
            self._run()
        except BaseException:
            self._stopping = True
            self._sinks.close(quietly=True)
            raise
        finally:
            for capture in self._captures:
                capture.stop()
            self.times.add("total", time.perf_counter() - began)
        self._sinks.close()
        return self.result()

    def result(self) -> PipelineResult:
        """Say what was done so far."""
        return PipelineResult(
            frames=self._written,
            cameras=self._health(self._over()),
            seconds=dict(self.times.seconds),
            counts=dict(self.times.counts),
            outside=len(self._members.outside),
            interrupted=self._stopping,
        )

    def _run(self) -> None:
        for capture in self._captures:
            capture.start()
        in_flight: deque[Round] = deque()
        for frames in rounds(self._captures):
            if self._stopping:
                break
            while len(in_flight) >= PLAN_LAG_ROUNDS:
                self._finish(in_flight.popleft())
            in_flight.append(self._begin(frames))
        while in_flight:
            self._finish(in_flight.popleft())

    def _begin(self, frames: list[CameraFrame]) -> Round:
        """Plan a round and ask its questions."""
        began = time.perf_counter()
        people = [self._expected(frame) for frame in frames]
        plans = self._planner.plan(frames, people)
        self.times.add("plan", time.perf_counter() - began)
        answers = [
            self._inference.submit(frame, tasks) if tasks else None
            for frame, tasks in zip(frames, plans, strict=True)
        ]
        return Round(frames, people, plans, answers, self._over())

    def _over(self) -> dict[int, CameraState]:
        states = {capture.source.camera: capture.taken_state for capture in self._captures}
        return {camera: state for camera, state in states.items() if state in OVER}

    def _expected(self, frame: CameraFrame) -> Expected:
        """Give the people to pose, in the picture's pixels."""
        people = self._tracker.predict(frame.camera, frame.capture_time_ns)
        chosen = self._members.expected(people)
        unknown = self._planner.candidates_px(frame.camera)
        keypoints = people.keypoints[chosen, :, :2]
        nowhere = np.full((len(unknown), *keypoints.shape[1:]), np.nan)
        factor = self._factor(frame)
        return Expected(
            boxes_px=np.concatenate([people.boxes_px[chosen], unknown]) / np.tile(factor, 2),
            keypoints_px=(np.concatenate([keypoints, nowhere]) + 0.5) / factor - 0.5,
        )

    def _finish(self, work: Round) -> None:
        """Wait for a round's answers, track them, and hand on what came of it."""
        found = [answer.result() if answer is not None else None for answer in work.answers]
        began = time.perf_counter()
        asked = [
            (frame, self._in_rig_pixels(frame, sift(answer, tasks, people)))
            for frame, tasks, people, answer in zip(
                work.frames, work.tasks, work.people, found, strict=True
            )
            if answer is not None
        ]
        for frame, answer in asked:
            self._observe(frame, answer)
        tracked = self._snapshot(work, asked)
        self.times.add("track", time.perf_counter() - began)
        self._sinks.write(tracked)
        self._written += 1
        if self._options.on_round is not None:
            self._options.on_round(len(work.frames))

    def _observe(self, frame: CameraFrame, found: Found) -> None:
        count = self._counts[frame.camera]
        if not self._tracker.observe(frame.camera, frame.capture_time_ns, found.keypoints):
            count.refused += 1

    def _snapshot(self, work: Round, asked: Sequence[tuple[CameraFrame, Found]]) -> TrackedFrame:
        """Take the snapshots of a round and let the planner learn from them."""
        for frame in work.frames:
            count = self._counts[frame.camera]
            count.frames += 1
            count.state, count.last_capture_time_ns = CameraState.LIVE, frame.capture_time_ns
        time_ns = work.frames[-1].capture_time_ns
        everybody = self._tracker.snapshot(time_ns)
        self._members.update(everybody)
        reported = self._members.select(everybody)
        views = tuple(self._view(frame, found, reported) for frame, found in asked)
        self._planner.learn(views, [found.scores for _, found in asked])
        self._planner.learn_tracks(frozenset(int(i) for i in reported.ids))
        health = self._health(work.over)
        return TrackedFrame(time_ns, reported, health, views, tuple(work.frames))

    def _view(self, frame: CameraFrame, found: Found, reported: Snapshot) -> ViewDetections:
        now = reported
        if frame.capture_time_ns != reported.time_ns:
            now = self._members.select(self._tracker.snapshot(frame.capture_time_ns))
        return ViewDetections(
            camera=frame.camera,
            capture_time_ns=frame.capture_time_ns,
            frame_index=frame.index,
            keypoints=found.keypoints,
            assigned=self._tracker.assigned(frame.camera, frame.capture_time_ns),
            snapshot=now,
        )

    def _health(self, over: dict[int, CameraState]) -> tuple[CameraHealth, ...]:
        lost = {c.source.camera: c.source.dropped for c in self._captures}
        return tuple(
            CameraHealth(
                name=count.name,
                state=over.get(camera, count.state),
                frames=count.frames,
                dropped=count.refused + lost.get(camera, 0),
                last_capture_time_ns=count.last_capture_time_ns,
            )
            for camera, count in enumerate(self._counts)
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
        if frame.camera not in self._factors:
            size = (frame.image.width_px, frame.image.height_px)
            self._factors[frame.camera] = size_factor(
                frame.name, size, self._rig.size[frame.camera]
            )
        return self._factors[frame.camera]
