"""The node's pulse: every tenth of a second it looks how everything stands, and says so.

What is judged here: the availability for officials, readiness, what is done less well. What is not:
frames; they never wait for this thread.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from edge_node.availability import Officials
from edge_node.description import StreamKind, TimeBase
from edge_node.frames import CameraState, CaptureClock, NodeState
from edge_node.utc import utc_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge_node.cameras.place import CameraStatus
    from edge_node.description import SignedHead
    from edge_node.frames import CameraHealth, Degradation, TrackedFrame
    from edge_node.hub import Hub
    from edge_node.telemetry.readiness import Readiness

LOOK_EVERY_S = 0.1
"""How often everything is looked at."""
CLOCK_WITHIN_NS = 1_000_000_000
"""A live camera's newest frame is no older than this, and no younger than now by as much."""
ENDED_LOOKS = 3
"""A session is over when every source was at its end in so many looks on end: what ends it cannot
be taken back, and a source may be put in another's place at any moment."""
LEAST_CAMERAS = 2
"""Live cameras without which nobody can be placed."""

log = structlog.get_logger(__name__)


class Signing(Protocol):
    """The part of the journal that is used here."""

    def head(self) -> SignedHead:
        """Give the newest signed head."""


@dataclass(frozen=True, slots=True)
class VitalParts:
    """What is looked at."""

    officials: Officials
    """Judges the availability."""
    hubs: Mapping[StreamKind, Hub]
    """Told how things stand."""
    journal: Signing
    """Signs its head."""
    cameras: Callable[[], Sequence[CameraStatus]]
    """How the cameras do, and where their frames come from."""
    degradations: Callable[[], tuple[Degradation, ...]]
    """What is done less well."""
    readiness: Readiness
    """Told what holds."""
    time_base: TimeBase = TimeBase.UTC
    """Of the capture times."""
    finished: Callable[[], None] = lambda: None
    """Called once, when every camera that has a source, live or not, is at its end."""


class Vitals:
    """Looks, in a thread of its own.

    Args:
        parts: What is looked at.
    """

    def __init__(self, parts: VitalParts) -> None:
        self._parts = parts
        self._stop = threading.Event()
        self._said: object = None
        self._finished = False
        self._ended_looks = 0
        self._looking = threading.Lock()
        """Held over a look: what is said last is how things stand."""
        self._thread = threading.Thread(target=self._run, name="vitals", daemon=True)
        self.state = NodeState()
        """How things stood at the last look."""

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def judge(self, frame: TrackedFrame | None, disk: tuple[Degradation, ...]) -> NodeState:
        """Say how things stand for a snapshot that is about to be sent.

        Args:
            frame: The live one; None: it is a smoothed one, by which nothing is judged.
            disk: What the disk does badly.
        """
        officials, steady_ns = self._parts.officials, time.monotonic_ns()
        if frame is not None:
            officials.note(frame, utc_ns(), steady_ns)
        return NodeState(officials.judge(steady_ns), self._degradations(disk))

    def _degradations(self, disk: tuple[Degradation, ...]) -> tuple[Degradation, ...]:
        there = self._parts.degradations()
        return (*there, *(found for found in disk if found not in there))

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self.look()
            except Exception:
                # Whoever follows is told by age that nobody says anything any more.
                log.exception("the node's pulse failed")

    def look(self) -> None:
        """Look once; any thread may, one after the other."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        parts, now_ns = self._parts, utc_ns()
        statuses = parts.cameras()
        cameras = [status.health for status in statuses]
        parts.officials.note_cameras(cameras, self._camera_time_ns(cameras, now_ns))
        availability = parts.officials.judge(time.monotonic_ns())
        self.state = NodeState(availability, parts.degradations())
        head = parts.journal.head()
        for hub in parts.hubs.values():
            hub.beat(self.state, head)
        self._tell_changes()
        self._check(cameras, now_ns)
        self._see_end(statuses)

    def _camera_time_ns(self, cameras: Sequence[CameraHealth], now_ns: int) -> int:
        """Give now in the time base of capture times: of recordings the newest one is as good."""
        if self._parts.time_base is TimeBase.UTC:
            return now_ns
        last = [camera.last_capture_time_ns for camera in cameras]
        return max((time_ns for time_ns in last if time_ns is not None), default=0)

    def _tell_changes(self) -> None:
        availability = self.state.availability
        kinds = [str(degradation.kind) for degradation in self.state.degradations]
        said = (availability.state if availability else None, kinds)
        if said != self._said:
            self._said = said
            detail = availability.detail if availability else ""
            log.info("availability", state=str(said[0]), detail=detail, degradations=kinds)

    def _check(self, cameras: Sequence[CameraHealth], now_ns: int) -> None:
        readiness = self._parts.readiness
        live = [camera for camera in cameras if camera.state is CameraState.LIVE]
        if len(live) >= min(LEAST_CAMERAS, len(cameras)):
            readiness.hold("cameras")
        else:
            others = {str(camera.state) for camera in cameras if camera not in live}
            states = ", ".join(sorted(others))
            readiness.fail("cameras", f"{len(live)} of {len(cameras)} are live ({states})")
        wrong = [camera.name for camera in live if self._is_off(camera, now_ns)]
        if wrong or not live:
            names = ", ".join(wrong) or "no camera is live"
            readiness.fail("clocks", f"capture times are not now: {names}")
        else:
            readiness.hold("clocks")
        if self._parts.hubs[StreamKind.LIVE].newest:
            readiness.hold("tracking")

    def _is_off(self, camera: CameraHealth, now_ns: int) -> bool:
        if camera.clock is CaptureClock.RECORDING or self._parts.time_base is not TimeBase.UTC:
            return False
        last_ns = camera.last_capture_time_ns
        return last_ns is not None and abs(now_ns - last_ns) > CLOCK_WITHIN_NS

    def _see_end(self, cameras: Sequence[CameraStatus]) -> None:
        """End the session after its recordings; a camera that is still to give frames has a say."""
        waiting = CameraState.WAITING
        sourced = [c for c in cameras if c.source or c.health.state is not waiting]
        ended = sourced and all(c.health.state is CameraState.ENDED for c in sourced)
        self._ended_looks = self._ended_looks + 1 if ended else 0
        if self._ended_looks >= ENDED_LOOKS and not self._finished:
            self._finished = True
            self._parts.finished()


CONDITIONS = ("rig", "models", "journal", "cameras", "clocks", "tracking")
"""What readiness waits for."""
