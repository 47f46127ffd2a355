"""Traces of frame-sets: from each camera's frame to the subscribers, one in so many.

A span costs some 40 us, so only sampled frame-sets have any, and theirs are made when the frame-set
was published, from the times that were noted on the way: what is not sampled pays nothing. What a
subscriber was sent joins the trace later, as long as it is remembered.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from edge_node.utc import utc_ns
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from edge_node.live.committer import Batch

REMEMBERED = 64
"""Sampled frame-sets whose sending may still join their traces."""
EXPORT_WITHIN_S = 2.0
"""How long the collector is given to take a batch of spans."""
CLOSE_WITHIN_S = 1.5
"""How long spans that wait are sent at the end."""


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """Which frame-sets are traced, and where to."""

    endpoint: str = ""
    """Where spans are sent by OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces; empty: none
    are made."""
    every: int = 60
    """One frame-set in so many is traced."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.every < 1:
            raise InvalidInputError("traces are made of one frame-set in `every`: give 1 or more")


class Traces:
    """Makes spans of sampled frame-sets. One thread publishes; any may say what was sent.

    Args:
        about: What every span carries: node, session, epoch.
        exporter: Takes the spans.
        every: One frame-set in so many is traced.
    """

    def __init__(self, about: Mapping[str, str | int], exporter: SpanExporter, every: int) -> None:
        resource = Resource({"service.name": "tipoff-edge-node", **about})
        # Closed by itself: at exit nobody waits for a collector that does not answer.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("tipoff.edge_node")
        self._every, self._count = every, 0
        self._root: Span | None = None
        self._lock = threading.Lock()
        self._roots: OrderedDict[tuple[str, int], Span] = OrderedDict()

    @classmethod
    def to(cls, options: TraceOptions, about: Mapping[str, str | int]) -> Traces | None:
        """Send spans where the options say; None where they say nothing."""
        if not options.endpoint:
            return None
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=options.endpoint, timeout=EXPORT_WITHIN_S)
        return cls(about, exporter, options.every)

    def publishing(self, batch: Batch, sequences: Sequence[int]) -> None:
        """Begin the trace of a frame-set that is sampled, before any subscriber can be sent it.

        Args:
            batch: What was done in it.
            sequences: Those of its outgoing frames.
        """
        self._root = None
        marks = batch.marks
        if marks is None or not batch.outgoing:
            return
        self._count += 1
        if (self._count - 1) % self._every:
            return
        began_ns = (batch.captured_ns or marks.began_ns) + _wall_shift_ns()
        self._root = self._tracer.start_span(
            "frame_set",
            start_time=began_ns,
            attributes={"frames": len(marks.frames), "time_ns": batch.outgoing[0].frame.time_ns},
        )
        keys = [(out.kind, n) for out, n in zip(batch.outgoing, sequences, strict=True)]
        self._remember(self._root, keys)

    def published(self, batch: Batch, committed_ns: int) -> str | None:
        """Make the other spans of the frame-set whose publishing was begun last.

        Args:
            batch: What was done in it.
            committed_ns: When it was on disk, on `time.monotonic_ns`.

        Returns:
            The trace's id in hex; None where it is not sampled.
        """
        root, marks, self._root = self._root, batch.marks, None
        if root is None or marks is None:
            return None
        shift_ns, published_ns = _wall_shift_ns(), time.monotonic_ns()
        context = trace.set_span_in_context(root)
        for frame in marks.frames:
            span = self._tracer.start_span(
                "camera_frame",
                context,
                attributes={"camera": frame.camera, "capture_time_ns": frame.capture_time_ns},
                start_time=(frame.arrived_ns or marks.began_ns) + shift_ns,
            )
            span.end(marks.began_ns + shift_ns)
        steps = (
            ("answer", marks.began_ns, marks.answered_ns),
            ("track", marks.answered_ns, marks.tracked_ns),
            ("commit", marks.tracked_ns, committed_ns),
            ("publish", committed_ns, published_ns),
        )
        for name, from_ns, to_ns in steps:
            span = self._tracer.start_span(name, context, start_time=from_ns + shift_ns)
            span.end(max(from_ns, to_ns) + shift_ns)
        root.end(published_ns + shift_ns)
        return f"{root.get_span_context().trace_id:032x}"

    def _remember(self, root: Span, keys: Sequence[tuple[str, int]]) -> None:
        with self._lock:
            for key in keys:
                self._roots[key] = root
            while len(self._roots) > REMEMBERED:
                self._roots.popitem(last=False)

    def wants(self, kind: str, sequence: int) -> bool:
        """Say whether a message belongs to a trace."""
        with self._lock:
            return (kind, sequence) in self._roots

    def sent(self, kind: str, sequence: int, peer: str, began_ns: int) -> None:
        """Add that a subscriber was sent a message.

        Args:
            kind: Of the stream.
            sequence: Of the message.
            peer: Who was sent it.
            began_ns: When it was taken for sending, in ns UTC.
        """
        with self._lock:
            root = self._roots.get((kind, sequence))
        if root is None:
            return
        span = self._tracer.start_span(
            "send",
            trace.set_span_in_context(root),
            attributes={"kind": kind, "sequence": sequence, "peer": peer},
            start_time=began_ns,
        )
        span.end()

    def close(self) -> None:
        """Send what waits, as far as the collector takes it within CLOSE_WITHIN_S."""
        # The library keeps no time of its own here: it is left behind where it takes longer.
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(CLOSE_WITHIN_S)


def _wall_shift_ns() -> int:
    """Give what is between the wall's clock, which spans are on, and the monotonic one of marks."""
    return utc_ns() - time.monotonic_ns()
