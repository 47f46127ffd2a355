"""A live session put together: the composition root of `tipoff node run`.

    with stop_on_signals() as stop, open_parts(settings, report) as opened:
        LiveNode(opened, on_serving).run(stop)

What is cheap to get wrong is opened first. On SIGTERM the node is unready first; then the cameras
stop, what is in flight is tracked, made durable and sent, and subscribers are drained. The session
goes on when the node starts again: it ends when its recordings do, or somebody ends it.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING

import structlog

from accel import COCO17, Rig, TrackerOptions
from edge_node.area import default_area
from edge_node.availability import AvailabilityRules, Officials
from edge_node.cameras.group import Cameras, CamerasOptions
from edge_node.cameras.ring import FOLDER as RING
from edge_node.cameras.ring import Ring, RingOptions
from edge_node.description import EndReason, SessionDescription, StreamKind, TimeBase
from edge_node.epochs import state_folder
from edge_node.hub import Hub
from edge_node.inference import Inference
from edge_node.journal.describing import rules_note
from edge_node.journal.entries import Ended
from edge_node.journal.facts import SessionFacts
from edge_node.journal.folder import file_bytes, places
from edge_node.journal.journal import Journal, JournalOptions
from edge_node.journal.keeping import KeepOptions
from edge_node.journal.keys import NodeKey
from edge_node.journal.where import journals_folder, session_folder
from edge_node.live.admin import AdminServer
from edge_node.live.capacity import CapacityOptions, measure_capacity
from edge_node.live.committer import Committer
from edge_node.live.loop import LiveLoop, LoopOptions, LoopParts
from edge_node.live.resume import resume
from edge_node.live.vitals import CONDITIONS, VitalParts, Vitals
from edge_node.live.watching import Watching
from edge_node.ring import HubLimits
from edge_node.server import ServerOptions, StreamServer
from edge_node.service import ServiceLimits
from edge_node.session import connected, fit_crops, models_used, serving
from edge_node.telemetry.metrics import Metrics
from edge_node.telemetry.readiness import Readiness
from edge_node.telemetry.tracing import TraceOptions, Traces
from tipoff.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edge_node.area import Area
    from edge_node.cameras.group import CameraStatus
    from edge_node.description import SignedHead
    from edge_node.frames import CameraHealth, Degradation, NodeState, TrackedFrame
    from edge_node.live.resume import Resumed
    from edge_node.live.settings import SessionSettings
    from edge_node.serving import Stop
    from edge_node.session import ModelUsed

COMMIT_REST_WITHIN_S = 4.0
"""How long a disk that does not answer is waited for at the end."""
DRAIN_WITHIN_S = 5.0
"""How long subscribers are given to take what is left."""
SOCKET = "admin.sock"
"""Socket of the node's service in a session's state."""
MS = 1_000_000
S = 1_000_000_000

log = structlog.get_logger(__name__)
_CAPACITY = CapacityOptions(warm_s=0.3, measured_s=1.0)
"""A second of what the session asks of the machine, before it begins."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a node rests on."""

    settings: SessionSettings
    """What was declared."""
    rig: Rig
    """The calibrated cameras."""
    area: Area
    """Where people are reported from."""
    models: tuple[ModelUsed, ...]
    """The models that take part."""
    inference: Inference | None
    """Asks them; None where nobody gives pictures."""
    key: NodeKey
    """The node's."""
    journal: Journal
    """Open, with the epoch that it took."""
    resumed: Resumed
    """Where the session goes on."""
    sustainable_rate_hz: float = 0.0
    """Frame-sets a second that this machine can do; 0: not measured."""


@contextmanager
def open_parts(settings: SessionSettings, report: Callable[[str], None]) -> Iterator[Opened]:
    """Open rig, models, journal and tracker.

    Args:
        settings: What to track, and how.
        report: Takes a line at a time about what is going on.

    Raises:
        TipoffError: Something is not there, or cannot be used; the message says what to do.
    """
    rig = Rig.load(settings.rig, settings.scale)
    _check_cameras(settings, rig)
    area = settings.area or default_area(rig)
    plan = fit_crops(settings.models.plan) if settings.sees else settings.models.plan
    settings = replace(settings, models=replace(settings.models, plan=plan))
    models = models_used(plan) if settings.sees else ()
    key = NodeKey.of_folder(state_folder())
    options = TrackerOptions(lag_ms=settings.tracking.lag_ms)
    with ExitStack() as opened:
        inference = opened.enter_context(_inference(settings, report))
        facts = _facts(settings, rig, options, models)
        journal = Journal.open(journal_folder(settings), facts, key, _journal_options(settings))
        opened.callback(journal.close)
        resumed = resume(journal, rig, options, area)
        # Whoever goes on in the middle of a game has no second to spare for it.
        rate_hz = 0.0 if journal.resumes else _sustainable_hz(settings, rig, inference)
        yield Opened(settings, rig, area, models, inference, key, journal, resumed, rate_hz)


def _sustainable_hz(settings: SessionSettings, rig: Rig, inference: Inference | None) -> float:
    """Measure what rate this machine can sustain, and warn where that is less than is wanted."""
    measured = measure_capacity(rig, settings.models.plan, inference, _CAPACITY)
    wanted_hz = settings.tracking.rate_hz
    tell = log.info if measured.rate_hz >= wanted_hz else log.warning
    tell(
        "sustainable rate measured",
        rate_hz=round(measured.rate_hz, 1),
        wanted_hz=wanted_hz,
        decode_ms=round(measured.decode_ms, 2),
        infer_ms=round(measured.infer_ms, 2),
        track_ms=round(measured.track_ms, 2),
    )
    return measured.rate_hz


def _check_cameras(settings: SessionSettings, rig: Rig) -> None:
    unknown = [camera.name for camera in settings.cameras if camera.name not in rig.names]
    if unknown:
        raise NotFoundError(
            f"{settings.file} gives sources to {', '.join(unknown)}; the rig has "
            f"{', '.join(rig.names)}",
            cameras=unknown,
        )


@contextmanager
def _inference(
    settings: SessionSettings, report: Callable[[str], None]
) -> Iterator[Inference | None]:
    if not settings.sees:
        yield None
        return
    with serving(settings.models.triton, report) as address, connected(address) as client:
        inference = Inference(client, len(COCO17.joints), settings.models.threshold)
        try:
            yield inference
        finally:
            inference.close()


def _facts(
    settings: SessionSettings, rig: Rig, options: TrackerOptions, models: Sequence[ModelUsed]
) -> SessionFacts:
    from accel import Tracker

    return SessionFacts(
        session=settings.name,
        rig=rig,
        tracker=options,
        isa=Tracker(rig, options).isa,
        models=tuple((model.name, f"sha256:{model.sha256}") for model in models),
        node=settings.node,
        time_base=str(time_base(settings)),
        rate_hz=settings.tracking.rate_hz,
        notes={
            "area": str(settings.area) if settings.area else "default",
            **rules_note(availability_rules(settings)),
        },
    )


def _journal_options(settings: SessionSettings) -> JournalOptions:
    journal = settings.journal
    keep = KeepOptions(round(journal.max_gb * 1e9), journal.max_age_h * 3600.0)
    return JournalOptions(keep=keep)


def journal_folder(settings: SessionSettings) -> Path:
    """Give the folder of a session's journal: among the user's, or those of a state of its own."""
    own = settings.state != state_folder() / settings.name
    return session_folder(settings.name, journals_folder(settings.state) if own else None)


def time_base(settings: SessionSettings) -> TimeBase:
    """Say what capture times count from: recordings that are not moved to now keep their own."""
    moved = all(camera.options.shift for camera in settings.cameras)
    return TimeBase.UTC if moved else TimeBase.RECORDING


def availability_rules(settings: SessionSettings) -> AvailabilityRules:
    """Give the rules of the availability as a session file declares them."""
    said = settings.availability
    return AvailabilityRules(
        window_ns=round(said.window_s * S),
        min_views=said.min_views,
        max_std_m=said.max_std_mm * 1e-3,
        max_snapshot_age_ns=round(said.max_snapshot_age_ms * MS),
        off_after_ns=round(said.off_after_s * S),
    )


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
        self.officials = Officials(availability_rules(settings), time_base(settings))
        self.hubs = {kind: self._hub(kind) for kind in StreamKind}
        self._traces = Traces.to(_trace_options(settings), self._about())
        self._committer = Committer(
            opened.journal, self._judge, Watching(self.metrics, self._traces)
        )
        self._ring = _ring(settings)
        tap = self._ring.tap if self._ring is not None else None
        cameras = replace(_camera_options(settings), tap=tap)
        self.group = Cameras(opened.rig, cameras, self._wake)
        self.loop = LiveLoop(self._loop_parts(), _loop_options(opened))
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
        self.readiness = Readiness(CONDITIONS, self._tell_ready)
        self.vitals = Vitals(self._vital_parts())
        self._finished = threading.Event()
        self._failure: BaseException | None = None
        self.address = self.admin_address = self.metrics_address = ""

    # ---- parts

    def _hub(self, kind: StreamKind) -> Hub:
        past = self._opened.resumed.past.get(str(kind), ())
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
            cameras=self.group.health,
            degradations=self._degradations,
            readiness=self.readiness,
            time_base=time_base(self._opened.settings),
            finished=self._finish,
        )

    def _wake(self) -> None:
        self.loop.wake()

    def _judge(self, frame: TrackedFrame, disk: tuple[Degradation, ...]) -> NodeState:
        return self.vitals.judge(frame, disk)

    def _degradations(self) -> tuple[Degradation, ...]:
        return (*self.loop.degradations, *self._committer.degradations())

    def _tell_ready(self, ready: bool) -> None:
        log.info("ready" if ready else "not ready", waits_for=list(self.readiness.waits_for))
        # Not from the caller's thread: that may be a signal's handler, or the server's own loop.
        threading.Thread(target=self._server.set_ready, args=(ready,), daemon=True).start()

    def _finish(self) -> None:
        self._finished.set()
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
            stop.tell(_Leaving(self), _Unready(self.readiness))
            try:
                self.loop.run()
            except BaseException as error:
                self._failure = error
                raise

    @contextmanager
    def _serving(self) -> Iterator[None]:
        with ExitStack() as running:
            self.address = self._server.start()
            running.callback(self._server.stop)
            running.callback(self._end_session)
            self._start_admin(running)
            self._start_metrics(running)
            if self._traces is not None:
                running.callback(self._traces.close)
            self._committer.start()
            running.callback(self._close_committer)
            running.callback(self.vitals.stop)
            if self._ring is not None:
                running.callback(self._ring.close)
            running.callback(self.group.close)
            for condition in ("rig", "models", "journal"):
                self.readiness.hold(condition)
            for camera in self._opened.settings.cameras:
                self.group.put(camera.name, camera.source, camera.options)
            self.vitals.start()
            self._on_serving(self)
            yield
            self.readiness.leave()

    def _start_admin(self, running: ExitStack) -> None:
        listen = self._opened.settings.listen.admin
        socket = self._opened.settings.state / SOCKET
        admin = AdminServer(self, listen) if listen else AdminServer.on_socket(self, socket)
        self.admin_address = admin.start()
        running.callback(admin.stop)

    def _start_metrics(self, running: ExitStack) -> None:
        self.metrics.ask(self._show)
        listen = self._opened.settings.listen.metrics
        if listen == "off":
            return
        host, _, port = listen.rpartition(":")
        self.metrics_address, close = self.metrics.serve(host, int(port))
        running.callback(close)

    def _show(self, metrics: Metrics) -> None:
        """Show what is only known when it is asked for."""
        version = metadata.version("tipoff")
        metrics["tipoff_node_info"].labels(self.name, self.session, version).set(1)
        metrics["tipoff_epoch"].set(self.epoch)
        metrics["tipoff_ready"].set(self.ready)
        metrics["tipoff_subscribers"].set(self.subscribers)
        metrics["tipoff_journal_waiting"].set(self._committer.waiting)
        journal = self._opened.journal
        metrics["tipoff_journal_records"].set(journal.tip.record)
        sizes = [file_bytes(journal.folder, place) for place in places(journal.folder)]
        metrics["tipoff_journal_bytes"].set(sum(sizes))
        statuses = self.group.status()
        metrics.show_cameras([status.health for status in statuses])
        for status in statuses:
            name = status.health.name
            metrics.count_up("tipoff_camera_reconnects_total", (name,), status.reconnects)
            for reason, count in status.dropped.items():
                metrics.count_up("tipoff_camera_dropped_frames_total", (name, reason), count)
        for kind, hub in self.hubs.items():
            metrics["tipoff_hub_held_bytes"].labels(kind).set(hub.held_bytes)
        metrics.show_availability(self.state.availability)
        metrics.show_degradations(self.state.degradations)
        if self._opened.inference is not None:
            for stage, seconds in self._opened.inference.times.seconds.items():
                metrics.count_up("tipoff_inference_seconds_total", (stage,), seconds)

    def _close_committer(self) -> None:
        if not self._committer.close(COMMIT_REST_WITHIN_S):
            log.error("the last frames were not made durable, and not sent")

    def _end_session(self) -> None:
        """Say how the session ended, if it did."""
        if self._failure is not None and not isinstance(self._failure, KeyboardInterrupt):
            # The journal stays open for the next start: what failed is the node, not the game.
            log.error("the tracking failed", error=str(self._failure))
            return
        if not self._finished.is_set():
            return
        detail = f"every recording came to its end after {self.newest_sequence} snapshots"
        self._opened.journal.commit([Ended(str(EndReason.COMPLETED), detail)])
        for hub in self.hubs.values():
            hub.end(EndReason.COMPLETED, detail)

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
        """Attach a source to a camera."""
        self.group.put(name, source)
        log.info("camera attached by hand", camera=name)

    def remove_camera(self, name: str) -> None:
        """Take a camera's source away."""
        self.group.remove(name)
        log.info("camera removed by hand", camera=name)

    def set_officials(self, *, off: bool, reason: str) -> NodeState:
        """Turn the availability off, or leave it to the rules; subscribers are told at once."""
        if off:
            self.officials.turn_off(reason)
        else:
            self.officials.leave_to_rules()
        log.warning("officials set by hand", off=off, reason=reason)
        self.vitals.look()
        return self.state


class _Leaving:
    """What a stop tells: the loop ends."""

    def __init__(self, node: LiveNode) -> None:
        self._node = node

    def stop(self) -> None:
        """End the loop soon."""
        self._node.loop.stop()


class _Unready:
    """What a stop tells first: nobody new is to be sent here."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def set_ready(self, ready: bool) -> None:
        """Not be ready any more."""
        assert not ready
        self._readiness.leave()


def describe(opened: Opened, kind: StreamKind) -> SessionDescription:
    """Say what the header of one of the session's streams says."""
    settings, rig = opened.settings, opened.rig
    smoothed = kind is StreamKind.SMOOTHED
    return SessionDescription(
        session=settings.name,
        epoch=opened.journal.epoch,
        skeleton_name=COCO17.name,
        joints=COCO17.joints,
        edges=COCO17.edges,
        cameras=tuple(rig.names),
        rig_digest=f"sha256:{rig.digest()}",
        models=tuple((model.name, f"sha256:{model.sha256}") for model in opened.models),
        build=f"tipoff {metadata.version('tipoff')}",
        nominal_rate_hz=settings.tracking.rate_hz,
        time_base=time_base(settings),
        kind=kind,
        lag_ns=round(settings.tracking.lag_ms * MS) if smoothed else 0,
        availability_rules=availability_rules(settings),
        journal_public_key=opened.key.public,
        node=settings.node,
    )


def _trace_options(settings: SessionSettings) -> TraceOptions:
    told = settings.telemetry
    endpoint = f"http://{told.otlp}/v1/traces" if told.otlp else ""
    return TraceOptions(endpoint, told.trace_every)


def _ring(settings: SessionSettings) -> Ring | None:
    """Make the ring of the cameras' video, where any is kept; cameras share its room."""
    kept = settings.ring
    if not kept.minutes:
        return None
    length_s = 60.0 * kept.minutes
    room = round(kept.max_gb * 1e9 / max(len(settings.cameras), 1))
    options = RingOptions(length_s, room, min(kept.segment_s, length_s))
    return Ring(settings.state / RING, options)


def _camera_options(settings: SessionSettings) -> CamerasOptions:
    return CamerasOptions(folder=settings.file.resolve().parent, joints=len(COCO17.joints))


def _loop_options(opened: Opened) -> LoopOptions:
    settings = opened.settings
    return LoopOptions(
        plan=settings.models.plan,
        area=opened.area,
        rounds=settings.rounds,
        load=settings.load,
        checkpoint_every_ns=round(settings.journal.checkpoint_every_s * S),
    )
