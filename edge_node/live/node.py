"""A live session put together: the composition root of `tipoff node run`.

    with stop_on_signals() as stop, open_parts(settings, report) as opened:
        LiveNode(opened, on_serving).run(stop)

On SIGTERM the node is unready first; then what is in flight is tracked, the cameras stop, all is
made durable and sent, and subscribers are drained, within one deadline (`leaving.py`). The session
goes on when the node starts again: it ends when its recordings do, or when somebody ends it.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from edge_node.availability import Officials
from edge_node.cameras.group import Cameras
from edge_node.description import EndReason, StreamKind
from edge_node.hub import Hub
from edge_node.journal.entries import Ended
from edge_node.live.admin import AdminServer
from edge_node.live.by_hand import ByHand
from edge_node.live.committer import Committer
from edge_node.live.leaving import (
    CAMERAS_UNTIL_S,
    CLOSED_UNTIL_S,
    COMMITTED_UNTIL_S,
    DRAINED_UNTIL_S,
    ENDED_UNTIL_S,
    RING_UNTIL_S,
    TOLD_UNTIL_S,
)
from edge_node.live.loop import LiveLoop
from edge_node.live.opening import (
    Opened,
    availability_rules,
    camera_options,
    describe,
    loop_options,
    ring_of,
    trace_options,
)
from edge_node.live.parts import LoopParts
from edge_node.live.showing import Showing
from edge_node.live.vitals import CONDITIONS, VitalParts, Vitals
from edge_node.live.watching import Watching
from edge_node.ring import HubLimits
from edge_node.server import ServerOptions, StreamServer
from edge_node.service import ServiceLimits
from edge_node.telemetry.metrics import Metrics
from edge_node.telemetry.readiness import Readiness, Teller
from edge_node.telemetry.tracing import Traces
from tipoff.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edge_node.cameras.place import CameraStatus
    from edge_node.cameras.ring import Ring
    from edge_node.description import SignedHead
    from edge_node.frames import CameraHealth, Degradation, NodeState, TrackedFrame
    from edge_node.serving import Stop

DRAIN_WITHIN_S = 5.0
"""How long subscribers are given to take what is left."""
SOCKET = "admin.sock"
"""Socket of the node's service in a session's state."""

log = structlog.get_logger(__name__)


class LiveNode:
    """A live session: its cameras, its loop, its streams.

    Args:
        opened: What it rests on.
        on_serving: Told once the addresses are taken.
    """

    def __init__(self, opened: Opened, on_serving: Callable[[LiveNode], None]) -> None:
        self._opened, self._on_serving = opened, on_serving
        settings = opened.settings
        self.name, self.session = settings.node, settings.name
        self.epoch = opened.journal.epoch
        self.metrics = Metrics()
        self.officials = Officials(availability_rules(settings), settings.time_base)
        self.hubs = {kind: self._hub(kind) for kind in StreamKind}
        self._traces = Traces.to(trace_options(settings), self._about())
        self._by_hand = ByHand(opened.journal, self.officials, opened.resumed.off_reason)
        watching = Watching(self.metrics, self._traces)
        self._committer = Committer(self._by_hand, self._judge, watching)
        self._ring = ring_of(settings, self.epoch)
        tap = self._ring.tap if self._ring is not None else None
        began_ns = opened.resumed.began_ns
        cameras = replace(camera_options(settings), tap=tap, began_ns=began_ns)
        self.group = Cameras(opened.rig, cameras, self._wake)
        self.loop = LiveLoop(self._loop_parts(), loop_options(opened))
        self.loop.resume(opened.resumed.members, opened.resumed.last_time_ns)
        self._server = StreamServer(
            tuple(self.hubs.values()),
            ServerOptions(
                listen=settings.listen.subscribers,
                limits=ServiceLimits(max_subscribers=settings.streams.max_subscribers),
                drain_within_s=DRAIN_WITHIN_S,
                on_sent=self._traces.sent if self._traces is not None else None,
            ),
        )
        self._teller = Teller(self._server.set_ready)
        self.readiness = Readiness(CONDITIONS, self._tell_ready)
        self.vitals = Vitals(self._vital_parts())
        self._leaving, self._all_durable = opened.leaving, False
        self._finished = threading.Event()
        self._ended_by = ""
        self._failure: BaseException | None = None
        self.address = self.admin_address = self.metrics_address = ""

    # ---- parts

    def _hub(self, kind: StreamKind) -> Hub:
        # The hub drops the past as it ages; nobody else is to keep it for the game's rest.
        past = self._opened.resumed.past.pop(str(kind), ())
        settings = self._opened.settings
        held = round(settings.streams.hold_s * settings.tracking.rate_hz)
        return Hub(describe(self._opened, kind), HubLimits(max_snapshots=held), past=past)

    def _about(self) -> dict[str, str | int]:
        return {"node": self.name, "session": self.session, "epoch": self.epoch}

    def _loop_parts(self) -> LoopParts:
        opened = self._opened
        return LoopParts(
            rig=opened.rig,
            cameras=self.group,
            inference=opened.inference,
            tracker=opened.resumed.tracker,
            committer=self._committer,
            live=self.hubs[StreamKind.LIVE],
            smoothed=self.hubs[StreamKind.SMOOTHED],
            watcher=self.metrics,
        )

    def _vital_parts(self) -> VitalParts:
        return VitalParts(
            officials=self.officials,
            hubs=self.hubs,
            journal=self._opened.journal,
            cameras=self.group.status,
            degradations=self._degradations,
            readiness=self.readiness,
            time_base=self._opened.settings.time_base,
            finished=self._finish,
        )

    def _wake(self) -> None:
        self.loop.wake()

    def _judge(self, frame: TrackedFrame | None, disk: tuple[Degradation, ...]) -> NodeState:
        return self.vitals.judge(frame, disk)

    def _degradations(self) -> tuple[Degradation, ...]:
        return (*self.loop.degradations, *self._committer.degradations())

    def _tell_ready(self, ready: bool) -> None:
        log.info("ready" if ready else "not ready", waits_for=list(self.readiness.waits_for))
        # Not from the caller's thread: that may be the pulse's, or the server's own loop.
        self._teller(ready)

    def _finish(self) -> None:
        self._finished.set()
        self._leaving.begin()
        self.loop.stop()

    # ---- running

    def run(self, stop: Stop) -> None:
        """Serve the session until its recordings end or the process is told to go.

        Args:
            stop: Told what to end when the process is told to go.

        Raises:
            TipoffError: The tracking failed, or an address is taken.
        """
        with self._serving():
            stop.tell(_Ending(self), _Unready(self.readiness))
            try:
                self.loop.run()
            except BaseException as error:
                self._failure = error
                raise

    @contextmanager
    def _serving(self) -> Iterator[None]:
        with ExitStack() as running:
            if self._traces is not None:
                # Last of all: subscribers do not wait for a collector, and are traced to their end.
                running.callback(self._leaving.step, "traces", self._traces.close, TOLD_UNTIL_S)
            running.callback(self._leaving.step, "readiness", self._teller.close, TOLD_UNTIL_S)
            self.address = self._server.start()
            running.callback(self._leaving.step, "draining", self._drain, CLOSED_UNTIL_S)
            running.callback(self._end_session)
            self._start_admin(running)
            self._start_metrics(running)
            self._committer.start()
            running.callback(self._close_committer)
            running.callback(self._leaving.step, "pulse", self.vitals.stop, RING_UNTIL_S)
            if self._ring is not None:
                running.callback(self._close_ring, self._ring)
            running.callback(self._close_cameras)
            running.callback(self._go)
            for condition in ("rig", "models", "journal"):
                self.readiness.hold(condition)
            for camera in self._opened.settings.cameras:
                self.group.put(camera.name, camera.source, camera.options)
            self.vitals.start()
            self._on_serving(self)
            yield

    # ---- the way out, in this order

    def _go(self) -> None:
        """Have nobody new sent here, whatever the loop ended by."""
        self._leaving.begin()
        self.readiness.leave()

    def _close_cameras(self) -> None:
        self.group.close(self._leaving.left_s(CAMERAS_UNTIL_S))

    def _close_ring(self, ring: Ring) -> None:
        ring.close(self._leaving.left_s(RING_UNTIL_S))

    def _close_committer(self) -> None:
        self._all_durable = self._committer.close(self._leaving.left_s(COMMITTED_UNTIL_S))
        if not self._all_durable:
            log.error("the last frames were not made durable, and not sent")

    def _end_session(self) -> None:
        """Say how the session ended, if it did."""
        if self._failure is not None and not isinstance(self._failure, KeyboardInterrupt):
            # The journal stays open for the next start: what failed is the node, not the game.
            log.error("the tracking failed", error=str(self._failure))
            return
        if not self._finished.is_set():
            return
        reason = EndReason.STOPPED if self._ended_by else EndReason.COMPLETED
        detail = f"{self._ended_by or 'every recording came to its end'}, after "
        detail += f"{self.newest_sequence} snapshots"
        if not (self._all_durable and self._write_end(Ended(str(reason), detail))):
            # An end cannot be taken back, and nothing may follow it.
            log.error(
                "the session is over and not ended in its journal, since the disk did not take all "
                "of it: start the node again once the disk answers",
                reason=detail,
            )
            return
        for hub in self.hubs.values():
            hub.end(reason, detail)

    def _write_end(self, end: Ended) -> bool:
        return self._leaving.step("ending", lambda: self._by_hand.commit([end]), ENDED_UNTIL_S)

    def _drain(self) -> None:
        self._server.stop(self._leaving.left_s(DRAINED_UNTIL_S))

    # ---- its addresses

    def _start_admin(self, running: ExitStack) -> None:
        listen = self._opened.settings.listen.admin
        socket = self._opened.settings.state / SOCKET
        admin = AdminServer(self, listen) if listen else AdminServer.on_socket(self, socket)
        self.admin_address = admin.start()
        running.callback(self._leaving.step, "admin", admin.stop, ENDED_UNTIL_S)

    def _start_metrics(self, running: ExitStack) -> None:
        self.metrics.ask(Showing(self, self._opened, self._committer))
        listen = self._opened.settings.listen.metrics
        if listen == "off":
            return
        host, _, port = listen.rpartition(":")
        self.metrics_address, close = self.metrics.serve(host, int(port))
        running.callback(self._leaving.step, "metrics", close, ENDED_UNTIL_S)

    # ---- asked by those who run it

    @property
    def ready(self) -> bool:
        """Whether it may be followed."""
        return self.readiness.ready

    @property
    def waits_for(self) -> Sequence[str]:
        """What it waits for, in words."""
        return self.readiness.waits_for

    @property
    def newest_sequence(self) -> int:
        """Newest sequence of the live stream."""
        return self.hubs[StreamKind.LIVE].newest

    @property
    def state(self) -> NodeState:
        """How it does."""
        return self.vitals.state

    @property
    def subscribers(self) -> int:
        """Open streams."""
        return self._server.subscribers

    @property
    def sustainable_rate_hz(self) -> float:
        """Frame-sets a second that this machine can do; 0: not measured."""
        return self._opened.sustainable_rate_hz

    def head(self) -> SignedHead:
        """Newest signed head of the journal."""
        return self._opened.journal.head()

    def cameras(self) -> tuple[CameraStatus, ...]:
        """Its cameras."""
        return self.group.status()

    def camera_health(self) -> tuple[CameraHealth, ...]:
        """How its cameras do."""
        return self.group.health()

    def put_camera(self, name: str, source: str) -> None:
        """Attach a source to a camera, with what the file says of how the camera is read."""
        put = self._opened.settings.camera_with(name, source)
        self.group.put(name, source, put.options)
        log.info("camera attached by hand", camera=name)

    def remove_camera(self, name: str) -> None:
        """Take a camera's source away."""
        self.group.remove(name)
        log.info("camera removed by hand", camera=name)

    def set_officials(self, *, off: bool, reason: str) -> NodeState:
        """Turn the availability off, or leave it to the rules; subscribers are told at once.

        It outlives the node: a restart finds it in the journal.

        Raises:
            InvalidInputError: It is turned off and nobody says who and why.
            JournalError: The disk took nothing.
        """
        if off:
            self._by_hand.turn_off(reason)
        else:
            self._by_hand.leave_to_rules()
        log.warning("officials set by hand", off=off, reason=reason)
        self.vitals.look()
        return self.state

    def end_session(self, reason: str) -> None:
        """End the session for good, once what is in flight is sent.

        Raises:
            InvalidInputError: Nobody says why.
            ConflictError: It has ended already.
        """
        if not reason.strip():
            raise InvalidInputError("say who ends the session and why", field="reason")
        if self._finished.is_set():
            raise ConflictError("the session has ended already")
        log.warning("session ended by hand", reason=reason)
        self._ended_by = reason.strip()
        self._finish()


class _Ending:
    """What a stop tells: the loop ends, and time runs."""

    def __init__(self, node: LiveNode) -> None:
        self._node = node

    def stop(self) -> None:
        """End the loop soon."""
        self._node._leaving.begin()
        self._node.loop.stop()


class _Unready:
    """What a stop tells first: nobody new is to be sent here."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def set_ready(self, ready: bool) -> None:
        """Not be ready any more."""
        assert not ready
        self._readiness.leave()
