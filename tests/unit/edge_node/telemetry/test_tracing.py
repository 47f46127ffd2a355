"""Traces: one frame-set in so many, each camera's frame to each subscriber, in order of time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from edge_node.live.committer import Batch, Watcher
from edge_node.telemetry.tracing import TraceOptions, Traces
from tests.support.live import PlayedNode, Watch
from tipoff.errors import InvalidInputError

ABOUT: dict[str, str | int] = {"node": "courtside", "session": "finals", "epoch": 3}


class Tracing(Watch):
    """Hands on what was published."""

    def __init__(self, traces: Traces) -> None:
        super().__init__()
        self.traces = traces
        self.ids: list[str] = []
        self.early: list[int] = []

    def publishing(self, batch: Batch, sequences: Sequence[int]) -> None:
        self.traces.publishing(batch, sequences)
        # Whoever waits for it may be sent it before it is said that it was published.
        self.early += [n for n in sequences if self.traces.wants("live", n)]

    def published(self, batch: Batch, sequences: Sequence[int]) -> None:
        tracked_ns = batch.marks.tracked_ns if batch.marks else 0
        if trace_id := self.traces.published(batch, tracked_ns + 1000):
            self.ids.append(trace_id)


def played(every: int) -> tuple[InMemorySpanExporter, Tracing, PlayedNode]:
    exporter = InMemorySpanExporter()
    watch: Watcher = Tracing(Traces(ABOUT, exporter, every))
    assert isinstance(watch, Tracing)
    node = PlayedNode(watcher=watch)
    node.play(range(30))
    node.close()
    return exporter, watch, node


def test_one_frame_set_in_so_many_has_a_trace() -> None:
    exporter, watch, node = played(every=10)
    watch.traces.sent("live", 1, "ipv4:127.0.0.1:5000", 5)
    watch.traces.close()
    spans = exporter.get_finished_spans()
    roots = [span for span in spans if span.name == "frame_set"]
    assert len(roots) == len(watch.ids) == -(-len(node.live.published) // 10)
    assert len(watch.early) >= len(roots)
    assert {f"{root.context.trace_id:032x}" for root in roots} == set(watch.ids)


def test_a_trace_holds_every_step_and_every_camera() -> None:
    exporter, watch, node = played(every=10)
    watch.traces.close()
    spans = exporter.get_finished_spans()
    root = [span for span in spans if span.name == "frame_set"][-1]
    mine = [span for span in spans if span.context.trace_id == root.context.trace_id]
    assert {s.name for s in mine} == {
        "frame_set",
        "camera_frame",
        "answer",
        "track",
        "commit",
        "publish",
    }
    of_cameras = [span.attributes or {} for span in mine if span.name == "camera_frame"]
    cameras = [str(attributes["camera"]) for attributes in of_cameras]
    assert sorted(cameras) == sorted(node.rig.names)
    assert all((span.start_time or 0) <= (span.end_time or 0) for span in mine)
    assert dict(root.resource.attributes).items() >= ABOUT.items()


def test_what_a_subscriber_was_sent_joins_the_trace_while_it_is_remembered() -> None:
    exporter, watch, _ = played(every=1)
    assert watch.traces.wants("live", 20)
    assert not watch.traces.wants("live", 1000)
    watch.traces.sent("live", 20, "ipv4:127.0.0.1:5000", 5)
    watch.traces.sent("live", 1000, "ipv4:127.0.0.1:5000", 5)
    watch.traces.close()
    sends = [span for span in exporter.get_finished_spans() if span.name == "send"]
    assert len(sends) == 1
    assert f"{sends[0].context.trace_id:032x}" in watch.ids


def test_without_an_endpoint_nothing_is_traced() -> None:
    assert Traces.to(TraceOptions(), ABOUT) is None
    with pytest.raises(InvalidInputError, match="every"):
        TraceOptions(every=0)


class Unanswered(SpanExporter):
    """A collector that takes a batch and does not answer."""

    def __init__(self) -> None:
        self.let_go, self.answered = threading.Event(), False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Wait."""
        del spans
        self.let_go.wait(20.0)
        self.answered = True
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing."""


def test_a_collector_that_does_not_answer_is_left_behind_at_the_end() -> None:
    exporter = Unanswered()
    traces = Traces(ABOUT, exporter, 1)
    node = PlayedNode(watcher=Tracing(traces))
    node.play(range(30))
    node.close()
    traces.close()
    assert not exporter.answered
    exporter.let_go.set()
