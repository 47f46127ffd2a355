"""A live node's parts without network and disk: cameras that are played, a journal in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accel import Rig, Snapshot, Tracker
from edge_node.area import Everywhere
from edge_node.cameras.slot import Drop
from edge_node.frames import (
    CameraFrame,
    CameraHealth,
    CameraState,
    Degradation,
    NodeState,
    ObservedFrame,
    TrackedFrame,
)
from edge_node.journal.entries import Entry, Snapped
from edge_node.journal.errors import JournalError
from edge_node.live.committer import Batch, Committer, CommitterOptions
from edge_node.live.loop import LiveLoop
from edge_node.live.parts import LoopOptions, LoopParts, Round
from edge_node.perception import Frame
from edge_node.planner import PlanOptions
from tests.support.pipelines import IMAGE, PERIOD_NS, WalkerInference, Walkers
from tests.support.rigs import ring_rig


@dataclass(slots=True)
class PlayedCameras:
    """Cameras whose frames are put in by hand."""

    walkers: Walkers
    frames: list[Frame] = field(default_factory=list)
    overtaken: int = 0
    began_ns: int = 0
    detail: str = ""
    judged: list[tuple[str, CameraState | None, str]] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(
        self,
        camera: int,
        index: int,
        *,
        picture: bool = False,
        shift_ns: int = 0,
        late_ns: int = 0,
    ) -> None:
        """Let a camera give its frame of that number; it arrives at its capture time, or later."""
        name, time_ns = self.walkers.rig.names[camera], index * PERIOD_NS + shift_ns
        arrived_ns = time_ns + late_ns + 1
        frame = CameraFrame(camera, name, time_ns, index, IMAGE, arrived_ns)
        if not picture:
            seen = self.walkers.seen(frame)
            observed = ObservedFrame(camera, name, time_ns, index, seen, arrived_ns)
        with self.lock:
            self.frames.append(frame if picture else observed)

    def take(self) -> list[Frame]:
        """Give what was put in."""
        with self.lock:
            frames, self.frames = self.frames, []
        return frames

    def health(self) -> tuple[CameraHealth, ...]:
        """All is well, whatever the detail says."""
        names, live = self.walkers.rig.names, CameraState.LIVE
        return tuple(CameraHealth(name, live, 0, 0, None, self.detail) for name in names)

    def judge(self, name: str, state: CameraState | None, detail: str = "") -> None:
        """Remember what was said."""
        self.judged.append((name, state, detail))

    def drop(self, name: str, reason: str, capture_time_ns: int | None = None) -> None:
        """Remember what was dropped."""
        assert capture_time_ns is not None
        self.drops.append(Drop(self.walkers.rig.names.index(name), capture_time_ns, reason))

    def take_drops(self) -> list[Drop]:
        """Give what was dropped since the last time."""
        drops, self.drops = self.drops, []
        return drops


@dataclass(frozen=True, slots=True)
class Message:
    """What stands for an encoded snapshot."""

    sequence: int
    time_ns: int
    message: bytes
    frame: TrackedFrame
    state: NodeState | None


@dataclass(slots=True)
class MemoryOutlet:
    """A hub that keeps what it is given, and on which records it rested."""

    log: MemoryLog
    published: list[Message] = field(default_factory=list)
    prepared: int = 0

    def prepare(self, frame: TrackedFrame, state: NodeState | None = None) -> Message:
        """Number a frame."""
        self.prepared += 1
        text = f"{self.prepared}".encode()
        return Message(self.prepared, frame.time_ns, text, frame, state)

    def publish(self, held: Message) -> None:
        """Send it, which must be on disk."""
        assert held.message in self.log.messages, "a message left that was not on disk"
        self.published.append(held)

    @property
    def times_ns(self) -> list[int]:
        """Times of what was sent."""
        return [message.time_ns for message in self.published]


@dataclass(slots=True)
class MemoryLog:
    """A journal in memory that can be told to fail, or to be slow."""

    entries: list[Entry] = field(default_factory=list)
    commits: int = 0
    failing: threading.Event = field(default_factory=threading.Event)
    messages: set[bytes] = field(default_factory=set)
    slow_s: float = 0.0
    spans_ns: list[int] = field(default_factory=list)
    """Play in each commit."""

    def commit(self, entries: Sequence[Entry]) -> None:
        """Keep entries."""
        if self.failing.is_set():
            raise JournalError("the disk said no")
        if self.slow_s:
            threading.Event().wait(self.slow_s)
        self.commits += 1
        live_ns = [e.time_ns for e in entries if isinstance(e, Snapped) and e.kind == "live"]
        self.spans_ns.append(live_ns[-1] - live_ns[0] if live_ns else 0)
        self.entries.extend(entries)
        self.messages.update(e.message for e in entries if hasattr(e, "message"))


@dataclass(slots=True)
class Watch:
    """Counts what it is told."""

    rounds: list[Round] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    levels: list[int] = field(default_factory=list)
    failures: int = 0
    published_batches: int = 0

    def tracked(self, work: Round, snapshot: Snapshot | None, seconds: float) -> None:
        """Keep a round."""
        del snapshot, seconds
        self.rounds.append(work)

    def left_out(self, frames: int, reason: str) -> None:
        """Count frames."""
        self.left[reason] = self.left.get(reason, 0) + frames

    def level_changed(self, level: int) -> None:
        """Keep a level."""
        self.levels.append(level)

    def committed(self, batches: Sequence[Batch], seconds: float) -> None:
        """Do nothing."""

    def publishing(self, batch: Batch, sequences: Sequence[int]) -> None:
        """Do nothing."""

    def published(self, batch: Batch, sequences: Sequence[int]) -> None:
        """Count."""
        assert len(sequences) == len(batch.outgoing)
        self.published_batches += 1

    def failed(self, error: JournalError) -> None:
        """Count."""
        del error
        self.failures += 1


class PlayedNode:
    """The live loop on a clock that the test moves.

    Args:
        rig: Its cameras; by default a ring of four.
        tracker: Fresh by default.
        inference: For pictures.
        options: Of the loop.
        watcher: Told what happens; by default :class:`Watch`.
    """

    def __init__(
        self,
        rig: Rig | None = None,
        tracker: Tracker | None = None,
        inference: WalkerInference | None = None,
        options: LoopOptions | None = None,
        watcher: Any = None,
    ) -> None:
        self.walkers = inference.walkers if inference else Walkers(rig or ring_rig(4))
        self.rig = self.walkers.rig
        self.cameras = PlayedCameras(self.walkers)
        self.log = MemoryLog()
        self.watch: Any = watcher or Watch()
        self.live, self.smoothed = MemoryOutlet(self.log), MemoryOutlet(self.log)
        self.committer = Committer(self.log, self.state, self.watch, CommitterOptions(retry_s=0.01))
        self.tracker = tracker or Tracker(self.rig)
        parts = LoopParts(
            self.rig,
            self.cameras,
            inference,
            self.tracker,
            self.committer,
            self.live,
            self.smoothed,
            self.watch,
        )
        self.now_ns = 0
        self.judged_ns: list[int | None] = []
        """Time of the frame that each message's state was judged by; None: by none."""
        options = options or LoopOptions(PlanOptions(), Everywhere())
        self.loop = LiveLoop(parts, options, lambda: self.now_ns)
        self.committer.start()

    def state(self, frame: TrackedFrame | None, disk: tuple[Degradation, ...]) -> NodeState:
        """Say what is done badly, and remember what it is judged by."""
        self.judged_ns.append(None if frame is None else frame.time_ns)
        return NodeState(None, (*self.loop.degradations, *disk))

    def play(self, beats: range, cameras: Sequence[int] | None = None) -> None:
        """Let cameras give frames, and the loop work, beat by beat."""
        for beat in beats:
            for camera in cameras if cameras is not None else range(len(self.rig.names)):
                self.cameras.put(camera, beat)
            self.now_ns = beat * PERIOD_NS + 2
            self.loop.turn()

    def close(self) -> None:
        """End the loop and write what is left."""
        self.loop.finish()
        assert self.committer.close(10.0)


NOBODY = np.empty((0, 17, 3), np.float32)
"""A frame in which nobody was found."""
