"""The live loop: rounds of frames in, journalled calls and tracked frames out.

One thread does it all: it puts frames together, asks about them, tracks the answers in the order in
which the rounds began, takes the snapshots, and hands them to the committer. It waits for cameras
and for inference only; whatever comes meanwhile overtakes what lies in the cameras' slots.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import structlog

from accel import NotYetError, TimeOutOfRangeError
from edge_node.frames import TrackedFrame
from edge_node.journal.entries import Dropped, StateChanged
from edge_node.live.apart import Apart
from edge_node.live.calls import RecordedTracker
from edge_node.live.committer import Batch, FrameMark, Marks, Outgoing
from edge_node.live.judge import RigJudge
from edge_node.live.leaving import TRACKED_UNTIL_S
from edge_node.live.load import LoadPolicy
from edge_node.live.parts import Round
from edge_node.live.resume import schedule_state
from edge_node.live.rounds import LiveRounds, round_time_ns
from edge_node.perception import Perception
from tipoff.errors import TipoffError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from accel import Snapshot
    from edge_node.frames import CameraHealth, Degradation
    from edge_node.inference import Found
    from edge_node.journal.entries import Entry
    from edge_node.live.parts import LoopOptions, LoopParts
    from edge_node.perception import Answered, Frame

ROUNDS_IN_FLIGHT = 2
"""Rounds that are being asked about at one time, at most."""
SMOOTHED_WAITING = 512
"""Times whose smoothed snapshots are waited for, at most."""
IDLE_S = 0.25
"""How often the loop looks whether it shall stop while nothing comes."""
LOOK_EVERY_S = 0.1
"""How often a loop that waits for answers looks whether it is time to leave without them."""
FIGURES = re.compile(r"\b[0-9]+(\.[0-9]+)? (s|others)\b")
"""What goes on changing in the words about a camera that stays as it is."""
JUDGE_EVERY_NS = 100_000_000
"""How often the rig's health is asked for, in capture time."""
QUIET_NS = 250_000_000
"""Where no round comes for so long, how the cameras do is told and written down without one."""


class LiveLoop:
    """Runs in the thread that calls :meth:`run`.

    Args:
        parts: What it works with.
        options: How it runs.
        clock_ns: Gives now, on the clock that frames' ``arrived_ns`` are told by.
    """

    def __init__(
        self,
        parts: LoopParts,
        options: LoopOptions,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._parts, self._options, self._clock_ns = parts, options, clock_ns
        self.tracker = RecordedTracker(parts.tracker)
        self.perception = Perception(
            parts.rig, parts.inference, self.tracker, options.plan, options.area
        )
        self._rounds = LiveRounds(options.rounds)
        self._load = LoadPolicy(options.load)
        self._judge = RigJudge(parts.rig.names)
        self._apart = Apart(parts.rig.names, round(parts.tracker.options.max_delay_ms * 1e6))
        self._in_flight: deque[Round] = deque()
        self._smoothed_times: deque[int] = deque()
        self._overtaken = 0
        self._round = 0
        self._newest_ns: int | None = None
        self._judged_ns = 0
        self._handed_ns = clock_ns()
        self._checkpoint_ns: int | None = None
        self._cameras_said: tuple[tuple[str, str, str], ...] = ()
        self._wake = threading.Event()
        self._inference_failing = False
        self._unusable: dict[str, str] = {}
        self._stopping = False
        self._leave_s = math.inf
        self._log = structlog.get_logger(__name__)

    def resume(self, members: Mapping[str, Any] | None, last_time_ns: int | None) -> None:
        """Go on from where a session was; call it before :meth:`run`.

        Args:
            members: State of the area's membership; None: nobody was seen yet.
            last_time_ns: Time of the last snapshot that was sent; none is sent again.
        """
        if members is not None:
            self.perception.members.resume(members)
        self._newest_ns = last_time_ns

    def wake(self) -> None:
        """Tell the loop, from any thread, that something has come."""
        self._wake.set()

    def stop(self) -> None:
        """End the loop soon, from any thread: what is in flight is finished first.

        Behind models that do not answer, or a disk that takes nothing, it is given up after
        TRACKED_UNTIL_S: it was not sent, either.
        """
        self._leave_s = min(self._leave_s, time.monotonic() + TRACKED_UNTIL_S)
        self._stopping = True
        self._wake.set()

    @property
    def degradations(self) -> tuple[Degradation, ...]:
        """What is left out now because inference cannot follow."""
        return self._load.step.degradations()

    @property
    def level(self) -> int:
        """The step of the load policy that is in force."""
        return self._load.level

    def run(self) -> None:
        """Track until :meth:`stop`.

        Raises:
            TipoffError: Inference failed for good, as its client says. What may pass costs its
                frames only.
        """
        while not self._stopping:
            self._wait()
            self.turn()
        self.finish()

    def turn(self) -> None:
        """Do what can be done now: take what has come, ask about it, track what was answered."""
        for frame in self._parts.cameras.take():
            if not self._usable(frame):
                continue
            if self._apart.holds_back(frame):
                self._rounds.forget(frame.camera)
                self._leave_out([frame], "clock_apart")
            else:
                self._begin(self._rounds.add(frame))
        self._begin(self._rounds.due(self._clock_ns()))
        self._finish_done()
        if self._clock_ns() - self._handed_ns >= QUIET_NS and not self._in_flight:
            self._judge_cameras()
            self._hand_on([], None)

    def finish(self) -> None:
        """Track what is in flight and hand on what is left."""
        while self._in_flight:
            self._finish(self._in_flight.popleft())
        self._hand_on([], None)

    def _wait(self) -> None:
        held_ns = self._rounds.wait_ns(self._clock_ns())
        # A missing camera is looked for a few times within the hold, since beats run out, too.
        timeout_s = IDLE_S if held_ns is None else min(held_ns / 4e9 + 0.0005, IDLE_S)
        self._wake.wait(timeout_s)
        self._wake.clear()

    def _usable(self, frame: Frame) -> bool:
        """Say whether a frame can be used; one that cannot costs nothing but itself."""
        try:
            self.perception.check(frame)
        except TipoffError as error:
            if frame.name not in self._unusable:
                self._log.error("frames cannot be used", camera=frame.name, why=error.message)
            self._unusable[frame.name] = error.message
            self._rounds.forget(frame.camera)
            self._leave_out([frame], "unusable")
            return False
        if self._unusable.pop(frame.name, None) is not None:
            self._log.warning("frames can be used again", camera=frame.name)
        return True

    def _leave_out(self, frames: Sequence[Frame], reason: str) -> None:
        """Count frames that get no further, for whoever watches and for their cameras."""
        if not frames:
            return
        self._parts.watcher.left_out(len(frames), reason)
        for frame in frames:
            self._parts.cameras.drop(frame.name, reason, frame.capture_time_ns)

    def _begin(self, frames: list[Frame] | None) -> None:
        """Ask about a round, unless the load policy leaves it out."""
        if not frames:
            return
        self._weigh(len(frames))
        self._round += 1
        if self._round % self._load.step.rate_divisor:
            self._leave_out(frames, "rate_lowered")
            return
        while len(self._in_flight) >= ROUNDS_IN_FLIGHT:
            self._finish(self._in_flight.popleft())
        work = Round(frames, self.perception.begin(frames), self._clock_ns())
        self._leave_out([asked.frame for asked in work.asked if asked.too_late], "too_late")
        for question in work.asked:
            if question.answer is not None:
                question.answer.add_done_callback(lambda _done: self._wake.set())
        self._in_flight.append(work)

    def _weigh(self, frames: int) -> None:
        """Let the load policy see how many frames were overtaken."""
        overtaken = self._parts.cameras.overtaken
        newly, self._overtaken = overtaken - self._overtaken, overtaken
        if self._load.count(self._clock_ns(), frames, newly):
            self.perception.planner.ease(self._load.step.detect_factor)
            self.perception.posed_share = self._load.step.posed_share
            said = [degradation.detail for degradation in self.degradations]
            self._log.warning("load policy", level=self._load.level, leaves_out=said)
            self._parts.watcher.level_changed(self._load.level)

    def _finish_done(self) -> None:
        while self._in_flight and self._in_flight[0].done:
            self._finish(self._in_flight.popleft())

    def _finish(self, work: Round) -> None:
        """Track a round's answers and hand on what came of it."""
        found = self._answers(work)
        answered_ns = self._clock_ns()
        began_s = time.perf_counter()
        answers = self.perception.observe(found)
        refused = [answer.frame for answer in answers if not answer.accepted]
        self._leave_out(refused, "tracker_refused")
        everybody = self._hand_on(answers, work, answered_ns)
        self._parts.watcher.tracked(work, everybody, time.perf_counter() - began_s)

    def _answers(self, work: Round) -> list[tuple[Frame, Found]]:
        """Wait for a round's answers; none where inference failed in a way that may pass."""
        if not self._answered(work):
            self._leave_out(work.frames, "unanswered")
            return []
        try:
            found = self.perception.wait(work.asked)
        except TipoffError as error:
            if not error.retryable:
                raise
            if not self._inference_failing:
                self._inference_failing = True
                self._log.error("inference failed", error=error.message)
            looked = [asked.frame for asked in work.asked if not asked.too_late]
            self._leave_out(looked, "inference_failed")
            return []
        if self._inference_failing:
            self._inference_failing = False
            self._log.warning("inference answers again")
        return found

    def _answered(self, work: Round) -> bool:
        """Wait until a round's answers are there, or it is time to leave."""
        if work.done:
            return True
        came = threading.Event()
        for question in work.asked:
            if question.answer is not None:
                question.answer.add_done_callback(lambda _done: came.set())
        while not work.done and not self._gives_up():
            came.wait(LOOK_EVERY_S)
            came.clear()
        return work.done

    def _hand_on(
        self, answers: Sequence[Answered], work: Round | None, answered_ns: int = 0
    ) -> Snapshot | None:
        """Take the snapshots that are due and give the committer all that happened."""
        outgoing: list[Outgoing] = []
        self._handed_ns = self._clock_ns()
        cameras = self._parts.cameras
        health = cameras.health()
        everybody = self._live(answers, work.frames, health, outgoing) if work else None
        outgoing += self._smoothed(health)
        dropped = [Dropped(d.camera, d.capture_time_ns, d.reason) for d in cameras.take_drops()]
        entries = (*self.tracker.take(), *dropped, *self._changes(health))
        if entries or outgoing:
            marks = self._marks(work, answered_ns) if work else None
            batch = Batch(entries, tuple(outgoing), marks)
            overtaken = cameras.overtaken
            self._parts.committer.put(batch, self._gives_up)
            # What is overtaken behind a disk is not for the load policy: less inference helps none.
            self._overtaken += cameras.overtaken - overtaken
        return everybody

    def _gives_up(self) -> bool:
        return time.monotonic() >= self._leave_s

    def _marks(self, work: Round, answered_ns: int) -> Marks:
        frames = tuple(FrameMark(f.name, f.capture_time_ns, f.arrived_ns) for f in work.frames)
        return Marks(frames, work.began_ns, answered_ns, self._clock_ns())

    def _live(
        self,
        answers: Sequence[Answered],
        frames: Sequence[Frame],
        health: tuple[CameraHealth, ...],
        outgoing: list[Outgoing],
    ) -> Snapshot | None:
        time_ns = round_time_ns(frames)
        if self._newest_ns is not None and time_ns <= self._newest_ns:
            self._parts.watcher.left_out(len(frames), "not_newer")
            return None
        try:
            everybody, reported = self.perception.report(time_ns)
        except TimeOutOfRangeError:
            # A camera from the future has taken the tracker along, until the others are there.
            self._parts.watcher.left_out(len(frames), "tracker_ahead")
            return None
        self._newest_ns = time_ns
        self.perception.learn(answers, reported)
        self._judge_rig(time_ns)
        frame = TrackedFrame(time_ns, reported, health)
        outgoing.append(Outgoing(self._parts.live, "live", frame, self.tracker.digest(everybody)))
        self._smoothed_times.append(time_ns)
        return everybody

    def _smoothed(self, health: tuple[CameraHealth, ...]) -> list[Outgoing]:
        """Take the smoothed snapshots whose observations have come."""
        outgoing = []
        while self._smoothed_times:
            time_ns = self._smoothed_times[0]
            try:
                everybody = self.tracker.snapshot(time_ns, smoothed=True)
            except NotYetError:
                break
            except TimeOutOfRangeError:
                self._parts.watcher.left_out(1, "smoothed_expired")
                self._smoothed_times.popleft()
                continue
            self._smoothed_times.popleft()
            frame = TrackedFrame(time_ns, self.perception.members.select(everybody), health)
            digest = self.tracker.digest(everybody)
            outgoing.append(Outgoing(self._parts.smoothed, "smoothed", frame, digest))
        while len(self._smoothed_times) > SMOOTHED_WAITING:
            self._smoothed_times.popleft()
        return outgoing

    def _judge_rig(self, time_ns: int) -> None:
        if time_ns - self._judged_ns < JUDGE_EVERY_NS:
            return
        self._judged_ns = time_ns
        self._judge_cameras()

    def _judge_cameras(self) -> None:
        """Tell what is held against cameras, so that whoever asks how they do hears of it."""
        health, apart = self.tracker.health(), self._apart.said()
        for name, state, detail in self._judge.verdicts(health, apart, self._unusable):
            self._parts.cameras.judge(name, state, detail)

    def _changes(self, health: tuple[CameraHealth, ...]) -> list[Entry]:
        """Give what the journal is to hold beside calls: cameras' states, checkpoints."""
        entries: list[Entry] = []
        said = tuple((c.name, str(c.state), FIGURES.sub("", c.detail)) for c in health)
        if said != self._cameras_said:
            self._cameras_said = said
            cameras = {c.name: {"state": str(c.state), "detail": c.detail} for c in health}
            entries.append(StateChanged("cameras", cameras))
        if self._checkpoint_due():
            self._checkpoint_ns = self._newest_ns
            self.tracker.checkpoint()
            entries.append(StateChanged("members", self.perception.members.state()))
            entries.append(schedule_state(self._parts.cameras.began_ns))
            entries += self.tracker.take()
        return entries

    def _checkpoint_due(self) -> bool:
        if self._newest_ns is None or self._checkpoint_ns is None:
            return self._newest_ns is not None
        return self._newest_ns - self._checkpoint_ns >= self._options.checkpoint_every_ns
