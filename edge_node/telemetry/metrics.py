"""The node's Prometheus metrics: one table, from which they are made and documented.

Base units (seconds, bytes, metres), and labels from bounded sets only: cameras of the rig, reasons
from this code, kinds of streams. :data:`TABLE` is what ``metrics.md`` documents.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from edge_node.frames import AvailabilityState, CameraState, DegradationKind
from tipoff.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from accel import Snapshot
    from edge_node.frames import Availability, CameraHealth, Degradation
    from edge_node.journal.errors import JournalError
    from edge_node.live.committer import Batch
    from edge_node.live.parts import Round

LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Edges of latency histograms, in seconds."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table."""

    name: str
    """Full name; counters end in _total."""
    kind: str
    """counter, gauge or histogram."""
    labels: tuple[str, ...]
    """Names of its labels."""
    help: str
    """What it says."""


TABLE = (
    Metric("tipoff_node_info", "gauge", ("node", "session", "version"), "1; who this is."),
    Metric("tipoff_epoch", "gauge", (), "Epoch in which the node writes."),
    Metric("tipoff_ready", "gauge", (), "1 while the node may be followed."),
    Metric("tipoff_camera_frames_total", "counter", ("camera",), "Frames that were tracked."),
    Metric(
        "tipoff_camera_dropped_frames_total",
        "counter",
        ("camera", "reason"),
        "Frames that were dropped, by where and why.",
    ),
    Metric("tipoff_camera_state", "gauge", ("camera", "state"), "1 for the state that it is in."),
    Metric("tipoff_camera_left_out", "gauge", ("camera",), "1 while its frames are left out."),
    Metric("tipoff_camera_reconnects_total", "counter", ("camera",), "Times it connected anew."),
    Metric(
        "tipoff_camera_clock_jitter_seconds",
        "gauge",
        ("camera",),
        "Standard deviation of its capture times around an even beat.",
    ),
    Metric("tipoff_rounds_total", "counter", (), "Frame-sets that were tracked."),
    Metric(
        "tipoff_round_left_out_frames_total",
        "counter",
        ("reason",),
        "Frames of rounds that were left out or refused.",
    ),
    Metric("tipoff_round_wait_seconds", "histogram", (), "First frame's arrival to its round."),
    Metric("tipoff_round_answer_seconds", "histogram", (), "Round begun to its answers there."),
    Metric("tipoff_round_track_seconds", "histogram", (), "Answers there to snapshot taken."),
    Metric("tipoff_commit_seconds", "histogram", (), "One transaction of the journal."),
    Metric(
        "tipoff_arrival_to_publish_seconds",
        "histogram",
        (),
        "First frame's arrival to its snapshot given to the streams, durable.",
    ),
    Metric("tipoff_tracks", "gauge", (), "People in the newest snapshot."),
    Metric("tipoff_snapshots_total", "counter", ("kind",), "Snapshots sent, by stream."),
    Metric("tipoff_joint_std_p95_metres", "gauge", (), "As the availability is decided by."),
    Metric("tipoff_least_views", "gauge", (), "As the availability is decided by."),
    Metric("tipoff_availability", "gauge", ("state",), "1 for the state that it is in."),
    Metric("tipoff_degradation", "gauge", ("kind",), "1 while it is done less well."),
    Metric("tipoff_load_level", "gauge", (), "Step of the load policy; 0 is none."),
    Metric("tipoff_journal_failures_total", "counter", (), "Commits that the disk refused."),
    Metric("tipoff_journal_waiting", "gauge", (), "Frame-sets that wait for the disk."),
    Metric("tipoff_journal_bytes", "gauge", (), "Size of the session's journal."),
    Metric("tipoff_journal_records", "gauge", (), "Number of the newest record."),
    Metric("tipoff_subscribers", "gauge", (), "Open streams."),
    Metric("tipoff_hub_held_bytes", "gauge", ("kind",), "Encoded snapshots held for streams."),
    Metric(
        "tipoff_inference_seconds_total", "counter", ("stage",), "Seconds spent, over all threads."
    ),
)
"""Every metric of the node, beside those of the process (process_*, python_*)."""

# A second series beside each counter and histogram, with nothing but the time of its making.
disable_created_metrics()

_CLASSES: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}


class Metrics:
    """The metrics of one node, in a registry of their own.

    It is the watcher of the loop and of the committer, and asks the rest when it is scraped.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._asked: list[Callable[[Metrics], None]] = []
        # Collected first, so that what the others show is of this scrape.
        self.registry.register(_Asking(self))
        self._totals: dict[tuple[str, ...], float] = {}
        self._counting = threading.Lock()
        self._made = {metric.name: self._make(metric) for metric in TABLE}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _make(self, metric: Metric) -> Any:
        extra = {"buckets": LATENCY_S} if metric.kind == "histogram" else {}
        make = _CLASSES[metric.kind]
        return make(metric.name, metric.help, metric.labels, registry=self.registry, **extra)

    def __getitem__(self, name: str) -> Any:
        """A metric by its full name."""
        return self._made[name]

    def ask(self, call: Callable[[Metrics], None]) -> None:
        """Have ``call`` set what is only known when it is asked for, at each scrape."""
        self._asked.append(call)

    def refresh(self) -> None:
        """Ask everybody."""
        for call in self._asked:
            call(self)

    def serve(self, host: str, port: int) -> tuple[str, Callable[[], None]]:
        """Serve ``/metrics`` over HTTP.

        Returns:
            The address as host:port, and a call that ends it.

        Raises:
            ConflictError: The address is taken or cannot be.
        """
        try:
            server, thread = start_http_server(port, host, self.registry)
        except OSError as error:
            raise ConflictError(
                f"cannot serve metrics on {host}:{port}: {error.strerror or error}; give "
                "listen.metrics another address, or off",
                listen=f"{host}:{port}",
            ) from error

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return f"{host}:{server.server_port}", close

    # ---- the loop's watcher

    def tracked(self, work: Round, snapshot: Snapshot | None, seconds: float) -> None:
        """Count a round."""
        self["tipoff_rounds_total"].inc()
        arrived = [frame.arrived_ns for frame in work.frames if frame.arrived_ns]
        if arrived:
            self["tipoff_round_wait_seconds"].observe((work.began_ns - min(arrived)) * 1e-9)
        answered_s = (time.monotonic_ns() - work.began_ns) * 1e-9 - seconds
        self["tipoff_round_answer_seconds"].observe(max(answered_s, 0.0))
        self["tipoff_round_track_seconds"].observe(seconds)
        for frame in work.frames:
            self["tipoff_camera_frames_total"].labels(frame.name).inc()
        if snapshot is not None:
            self["tipoff_tracks"].set(len(snapshot))

    def left_out(self, frames: int, reason: str) -> None:
        """Count frames that were left out."""
        self["tipoff_round_left_out_frames_total"].labels(reason).inc(frames)

    def level_changed(self, level: int) -> None:
        """Show the load policy's step."""
        self["tipoff_load_level"].set(level)

    # ---- the committer's watcher

    def committed(self, batches: Sequence[Batch], seconds: float) -> None:
        """Time a commit."""
        del batches
        self["tipoff_commit_seconds"].observe(seconds)

    def publishing(self, batch: Batch, sequences: Sequence[int]) -> None:
        """Nothing is counted before it was sent."""

    def published(self, batch: Batch, sequences: Sequence[int]) -> None:
        """Count what was sent."""
        del sequences
        for out in batch.outgoing:
            self["tipoff_snapshots_total"].labels(out.kind).inc()
        if batch.captured_ns and batch.outgoing:
            age_s = (time.monotonic_ns() - batch.captured_ns) * 1e-9
            self["tipoff_arrival_to_publish_seconds"].observe(age_s)

    def failed(self, error: JournalError) -> None:
        """Count a refusal."""
        del error
        self["tipoff_journal_failures_total"].inc()

    # ---- set by whoever knows

    def show_cameras(self, cameras: Iterable[CameraHealth]) -> None:
        """Show how the cameras do."""
        for camera in cameras:
            for state in CameraState:
                gauge = self["tipoff_camera_state"].labels(camera.name, state)
                gauge.set(state is camera.state)
            self["tipoff_camera_left_out"].labels(camera.name).set(camera.left_out)
            jitter = self["tipoff_camera_clock_jitter_seconds"].labels(camera.name)
            jitter.set(camera.clock_jitter_ns * 1e-9)

    def show_availability(self, availability: Availability | None) -> None:
        """Show whether officials may rely on the streams, and the values that decided."""
        if availability is None:
            return
        for state in AvailabilityState:
            self["tipoff_availability"].labels(state).set(state is availability.state)
        if availability.std_p95_m is not None:
            self["tipoff_joint_std_p95_metres"].set(availability.std_p95_m)
        if availability.least_views is not None:
            self["tipoff_least_views"].set(availability.least_views)

    def show_degradations(self, degradations: Sequence[Degradation]) -> None:
        """Show what is done less well."""
        there = {degradation.kind for degradation in degradations}
        for kind in DegradationKind:
            self["tipoff_degradation"].labels(kind).set(kind in there)

    def count_up(self, name: str, labels: tuple[str, ...], total: float) -> None:
        """Bring a counter up to a total that somebody else counts."""
        # Each scrape has a thread of its own, and two at once see the same counter behind.
        with self._counting:
            behind = total - self._totals.get((name, *labels), 0.0)
            if behind > 0:
                self._totals[name, *labels] = total
                counter = self[name].labels(*labels) if labels else self[name]
                counter.inc(behind)


class _Asking:
    """A collector without metrics: at a scrape it has the others brought up to date first."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> list[Any]:
        self._metrics.refresh()
        return []
