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
from typing import TYPE_CHECKING

from edge_node.area import Everywhere
from edge_node.capture import CaptureThread, rounds
from edge_node.frames import CameraHealth, CameraState, TrackedFrame
from edge_node.perception import Perception
from edge_node.planner import PlanOptions
from edge_node.workers import SinkThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accel import Rig
    from edge_node.area import Area
    from edge_node.capture import Source
    from edge_node.clock import Pace
    from edge_node.frames import CameraFrame, Sink
    from edge_node.perception import Answered, Asked, Asking, Tracker

PLAN_LAG_ROUNDS = 2
"""Rounds in flight: a round is planned with what is known of the one this many before it."""
OVER = (CameraState.ENDED, CameraState.FAILED)


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


@dataclass(frozen=True, slots=True)
class Round:
    """A round on its way."""

    frames: list[CameraFrame]
    """Its frames in order of time and camera."""
    asked: list[Asked]
    """What is asked about each."""
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
        self._options = options or PipelineOptions()
        self._perception = Perception(
            rig, inference, tracker, self._options.plan, self._options.area
        )
        self.times = inference.times
        self._captures = [
            CaptureThread(source, self._options.pace, lambda s: self.times.add("decode", s))
            for source in sources
        ]
        self._sinks = SinkThreads(sinks, self.times)
        self._counts = [CameraCount(name) for name in rig.names]
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
            outside=len(self._perception.members.outside),
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
        asked = self._perception.begin(frames)
        self.times.add("plan", time.perf_counter() - began)
        return Round(frames, asked, self._over())

    def _over(self) -> dict[int, CameraState]:
        states = {capture.source.camera: capture.taken_state for capture in self._captures}
        return {camera: state for camera, state in states.items() if state in OVER}

    def _finish(self, work: Round) -> None:
        """Wait for a round's answers, track them, and hand on what came of it."""
        found = self._perception.wait(work.asked)
        began = time.perf_counter()
        answers = self._perception.observe(found)
        self._count(work, answers)
        tracked = self._snapshot(work, answers)
        self.times.add("track", time.perf_counter() - began)
        self._sinks.write(tracked)
        self._written += 1
        if self._options.on_round is not None:
            self._options.on_round(len(work.frames))

    def _count(self, work: Round, answers: Sequence[Answered]) -> None:
        for frame in work.frames:
            count = self._counts[frame.camera]
            count.frames += 1
            count.state, count.last_capture_time_ns = CameraState.LIVE, frame.capture_time_ns
        for answer in answers:
            self._counts[answer.frame.camera].refused += not answer.accepted

    def _snapshot(self, work: Round, answers: Sequence[Answered]) -> TrackedFrame:
        """Take the snapshots of a round and let the planner learn from them."""
        time_ns = work.frames[-1].capture_time_ns
        _, reported = self._perception.report(time_ns)
        views = self._perception.learn(answers, reported)
        return TrackedFrame(time_ns, reported, self._health(work.over), views, tuple(work.frames))

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
