"""A receiver of traces: OTLP over HTTP, as a collector takes it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH = "/v1/traces"


@dataclass
class Receiver:
    """What came."""

    address: str
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, str | int]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, body: bytes) -> None:
        """Keep what a request brought."""
        request = ExportTraceServiceRequest.FromString(body)
        with self.lock:
            self.bodies.append(body)
            for group in request.resource_spans:
                self.resources.append(attributes_of(group.resource.attributes))
                for scope in group.scope_spans:
                    self.spans.extend(scope.spans)

    def traces(self) -> dict[bytes, list[Span]]:
        """Give the spans of each trace."""
        found: dict[bytes, list[Span]] = {}
        with self.lock:
            for span in self.spans:
                found.setdefault(span.trace_id, []).append(span)
        return found


def attributes_of(pairs: object) -> dict[str, str | int]:
    """Give attributes as Python has them."""
    found: dict[str, str | int] = {}
    for pair in pairs:  # type: ignore[attr-defined]
        assert isinstance(pair, KeyValue)
        kind = pair.value.WhichOneof("value")
        assert kind in ("string_value", "int_value"), kind
        found[pair.key] = getattr(pair.value, kind)
    return found


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Take traces for a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == PATH, self.path
            assert self.headers["Content-Type"] == "application/x-protobuf"
            taken.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        taken = Receiver(f"127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield taken
        finally:
            server.shutdown()
            thread.join()
