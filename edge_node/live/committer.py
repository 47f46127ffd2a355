"""What was tracked is made durable, and then it is sent: never the other way round.

The loop hands over what happened in a frame-set and goes on; a thread of its own writes all that
has gathered in one transaction, so that a slow disk is paid once for many frame-sets, and then
publishes. What waits is bounded: behind a disk that does not answer the loop stands still, its
cameras' frames are overtaken in their slots and counted, and the stream says why.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from edge_node.frames import Degradation, DegradationKind
from edge_node.journal.entries import Snapped
from edge_node.journal.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_node.frames import NodeState, TrackedFrame
    from edge_node.journal.entries import Entry

QUEUE_BATCHES = 64
"""Frame-sets that wait for the disk, at most: a second of a game."""
COMMIT_BATCHES = 32
"""Frame-sets in one transaction, at most,"""
COMMIT_PLAY_NS = 1_000_000_000
"""and play: a head is signed between two, so that a kill leaves little unsigned however fast a
recording of few frames a second is played."""
SLOW_COMMIT_S = 0.05
"""A commit that takes longer is said in the stream."""
SLOW_SAID_S = 5.0
"""For how long after it."""
RETRY_S = 0.25
"""Pause before a commit that failed is tried again."""
LIVE = "live"
"""Kind of the stream that the state of the node is judged by."""
POLL_S = 0.1
RETRY_JOIN_S = 0.5
"""How long a thread that waits to try again takes to see that nobody waits for it."""


class Prepared(Protocol):
    """The part of ``edge_node.hub.Held`` that is used here."""

    @property
    def sequence(self) -> int:
        """Its number in the epoch."""

    @property
    def message(self) -> bytes:
        """As it is sent."""


class Outlet(Protocol):
    """The part of ``edge_node.hub.Hub`` that is used here."""

    def prepare(self, frame: TrackedFrame, state: NodeState | None = None) -> Prepared:
        """Encode a frame with the next sequence."""

    def publish(self, held: Any) -> None:
        """Send what was prepared."""


class Log(Protocol):
    """The part of ``edge_node.journal.Journal`` that is used here."""

    def commit(self, entries: Sequence[Entry]) -> None:
        """Make entries durable, all or none."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A tracked frame on its way to a stream."""

    outlet: Outlet
    """The stream's hub."""
    kind: str
    """``live`` or ``smoothed``."""
    frame: TrackedFrame
    """What is sent."""
    digest: bytes
    """Of the tracker's own snapshot, which the frame may hold a part of."""


@dataclass(frozen=True, slots=True)
class FrameMark:
    """A camera's frame in a frame-set."""

    camera: str
    """Its camera."""
    capture_time_ns: int
    """Mid-exposure of its first row."""
    arrived_ns: int
    """When it was there, on `time.monotonic_ns`; 0 where it is not known."""


@dataclass(frozen=True, slots=True)
class Marks:
    """When what was done with a frame-set, on `time.monotonic_ns`."""

    frames: tuple[FrameMark, ...]
    """Its frames."""
    began_ns: int
    """It was put together."""
    answered_ns: int
    """Its answers were there."""
    tracked_ns: int
    """Its snapshots were taken."""


@dataclass(frozen=True, slots=True)
class Batch:
    """All that happened in one frame-set."""

    entries: tuple[Entry, ...]
    """Calls of the tracker and changes of state, in order."""
    outgoing: tuple[Outgoing, ...]
    """What is sent once it is durable."""
    marks: Marks | None = None
    """When what was done; None where it had no frames."""

    @property
    def captured_ns(self) -> int:
        """When the first of its frames was here, on the monotonic clock; 0 if not known."""
        arrived = [mark.arrived_ns for mark in self.marks.frames] if self.marks else []
        return min((at_ns for at_ns in arrived if at_ns), default=0)

    @property
    def time_ns(self) -> int | None:
        """Time of the newest snapshot in it; None where it has none."""
        return max((out.frame.time_ns for out in self.outgoing), default=None)


class Watcher(Protocol):
    """Is told how committing goes; the node's metrics and traces listen here."""

    def committed(self, batches: Sequence[Batch], seconds: float) -> None:
        """Batches are on disk."""

    def publishing(self, batch: Batch, sequences: Sequence[int]) -> None:
        """A batch is about to be given to the streams; the sequences are its outgoing frames'."""

    def published(self, batch: Batch, sequences: Sequence[int]) -> None:
        """A batch was given to the streams; the sequences are those of its outgoing frames."""

    def failed(self, error: JournalError) -> None:
        """The disk took nothing."""


@dataclass(slots=True)
class DiskState:
    """How the disk does, for the stream."""

    slow_commit_s: float = SLOW_COMMIT_S
    slow_s: float = 0.0
    slow_until_s: float = 0.0
    failure: str = ""
    began_s: float | None = None
    """When the commit began that has not returned; None: none is on its way."""

    def degradations(self, now_s: float) -> tuple[Degradation, ...]:
        """Say what is wrong with it."""
        failure = self.failure
        if failure:
            return (Degradation(DegradationKind.JOURNAL_FAILED, failure),)
        began_s = self.began_s
        if began_s is not None and now_s - began_s > self.slow_commit_s:
            detail = f"a commit has not returned for {now_s - began_s:.1f} s"
            return (Degradation(DegradationKind.JOURNAL_SLOW, detail),)
        if now_s < self.slow_until_s:
            detail = f"a commit took {1e3 * self.slow_s:.0f} ms"
            return (Degradation(DegradationKind.JOURNAL_SLOW, detail),)
        return ()


@dataclass(frozen=True, slots=True)
class CommitterOptions:
    """Bounds of a committer."""

    queue_batches: int = QUEUE_BATCHES
    """Frame-sets that wait for the disk, at most."""
    slow_commit_s: float = SLOW_COMMIT_S
    """A commit that takes longer is said in the stream."""
    retry_s: float = RETRY_S
    """Pause before a commit that failed is tried again."""
    clock_s: Callable[[], float] = field(default=time.monotonic)
    """Gives now."""


class Committer:
    """Commits and publishes in a thread of its own.

    Args:
        log: The journal.
        state: Gives the state of the node that a frame is sent with, from what the disk does badly
            and the frame where it is a live one: what is smoothed is older, and surer, than what
            the state is judged by. Called in the committer's thread.
        watcher: Told how it goes.
        options: Bounds.
    """

    def __init__(
        self,
        log: Log,
        state: Callable[[TrackedFrame | None, tuple[Degradation, ...]], NodeState],
        watcher: Watcher,
        options: CommitterOptions | None = None,
    ) -> None:
        self._log, self._state, self._watcher = log, state, watcher
        self._options = options or CommitterOptions()
        self._queue: queue.Queue[Batch | None] = queue.Queue(self._options.queue_batches)
        self._disk = DiskState(self._options.slow_commit_s)
        self._giving_up = threading.Event()
        self._done = self._gave_up = False
        self.error: Exception | None = None
        self._log_lines = structlog.get_logger(__name__)
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Frame-sets that wait."""
        return self._queue.qsize()

    def degradations(self) -> tuple[Degradation, ...]:
        """Say what is wrong with the disk now."""
        return self._disk.degradations(self._options.clock_s())

    def put(self, batch: Batch, stopped: Callable[[], bool]) -> bool:
        """Hand a frame-set over, waiting for room.

        Args:
            batch: What happened.
            stopped: Asked whether to wait no longer, whenever there is no room.

        Returns:
            Whether it was taken. What follows one that was not is not taken, either: a journal has
            no holes.

        Raises:
            Exception: What ended the committer's thread.
        """
        wait_s = 0.0
        while not self._gave_up:
            if self.error is not None:
                raise self.error
            try:
                self._queue.put(batch, wait_s > 0.0, wait_s)
            except queue.Full:
                self._gave_up = stopped()
                wait_s = POLL_S
                continue
            return True
        return False

    def close(self, within_s: float) -> bool:
        """Write what is left and end.

        Args:
            within_s: How long a disk that does not answer is waited for. Where a commit does not
                return, its thread is left to it.

        Returns:
            Whether all that was to be handed over was, and is on disk.
        """
        until_s = time.monotonic() + within_s
        while self._thread.is_alive() and time.monotonic() < until_s:
            try:
                self._queue.put(None, timeout=POLL_S)
                break
            except queue.Full:
                continue
        if self._thread.ident is not None:
            self._thread.join(max(until_s - time.monotonic(), 0.0))
            self._giving_up.set()
            self._thread.join(RETRY_JOIN_S)
        return self.error is None and self._done and not self._gave_up

    def _run(self) -> None:
        try:
            while (batches := self._gather()) is not None:
                if not self._write(batches):
                    return
            self._done = True
        except Exception as error:
            self.error = error
            self._log_lines.exception("committer failed")

    def _gather(self) -> list[Batch] | None:
        """Take all that waits, at least one; None at the end."""
        first = self._queue.get()
        if first is None:
            return None
        batches = [first]
        while len(batches) < COMMIT_BATCHES and _play_ns(batches) < COMMIT_PLAY_NS:
            try:
                batch = self._queue.get_nowait()
            except queue.Empty:
                break
            if batch is None:
                # The end is seen again once these are written.
                self._queue.put(None)
                break
            batches.append(batch)
        return batches

    def _write(self, batches: list[Batch]) -> bool:
        """Commit and publish; False where the disk did not answer and nobody waits for it."""
        entries: list[Entry] = []
        ready: list[tuple[Batch, list[tuple[Outlet, Prepared]]]] = []
        for batch in batches:
            entries.extend(batch.entries)
            held = [(out, self._prepare(out, entries)) for out in batch.outgoing]
            ready.append((batch, [(out.outlet, message) for out, message in held]))
        if not self._commit(batches, entries):
            return False
        for batch, messages in ready:
            sequences = [message.sequence for _, message in messages]
            self._watcher.publishing(batch, sequences)
            for outlet, message in messages:
                outlet.publish(message)
            self._watcher.published(batch, sequences)
        return True

    def _prepare(self, out: Outgoing, entries: list[Entry]) -> Prepared:
        judged = out.frame if out.kind == LIVE else None
        held = out.outlet.prepare(out.frame, self._state(judged, self.degradations()))
        entries.append(
            Snapped(out.kind, held.sequence, out.frame.time_ns, out.digest, held.message)
        )
        return held

    def _commit(self, batches: Sequence[Batch], entries: Sequence[Entry]) -> bool:
        while True:
            began_s = self._disk.began_s = self._options.clock_s()
            try:
                self._log.commit(entries)
            except JournalError as error:
                self._disk.failure = error.message
                self._watcher.failed(error)
                if self._giving_up.wait(self._options.retry_s):
                    self._log_lines.error("left without a commit", batches=len(batches))
                    return False
                continue
            finally:
                self._disk.began_s = None
            now_s = self._options.clock_s()
            self._disk.failure = ""
            if now_s - began_s > self._options.slow_commit_s:
                self._disk.slow_s = now_s - began_s
                self._disk.slow_until_s = now_s + SLOW_SAID_S
            self._watcher.committed(batches, now_s - began_s)
            return True


def _play_ns(batches: Sequence[Batch]) -> int:
    """Give the play from the first snapshot to the last."""
    times_ns = [batch.time_ns for batch in batches if batch.time_ns is not None]
    return abs(times_ns[-1] - times_ns[0]) if times_ns else 0
