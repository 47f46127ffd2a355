"""Tells metrics and traces how committing goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_node.journal.errors import JournalError
    from edge_node.live.committer import Batch
    from edge_node.telemetry.metrics import Metrics
    from edge_node.telemetry.tracing import Traces

log = structlog.get_logger(__name__)


class Watching:
    """The committer's watcher. Called from its thread alone.

    Args:
        metrics: Always told.
        traces: Told where there are any.
    """

    def __init__(self, metrics: Metrics, traces: Traces | None) -> None:
        self._metrics, self._traces = metrics, traces
        self._committed_ns = 0
        self._failing = False

    def committed(self, batches: Sequence[Batch], seconds: float) -> None:
        """Batches are on disk."""
        self._committed_ns = time.monotonic_ns()
        self._metrics.committed(batches, seconds)
        if self._failing:
            self._failing = False
            log.warning("the journal takes records again", seconds=round(seconds, 3))

    def publishing(self, batch: Batch, sequences: Sequence[int]) -> None:
        """A batch is about to be given to the streams."""
        if self._traces is not None:
            self._traces.publishing(batch, sequences)

    def published(self, batch: Batch, sequences: Sequence[int]) -> None:
        """A batch was given to the streams."""
        self._metrics.published(batch, sequences)
        if self._traces is None:
            return
        trace_id = self._traces.published(batch, self._committed_ns)
        if trace_id is not None:
            log.debug("frame-set traced", trace_id=trace_id, sequences=list(sequences))

    def failed(self, error: JournalError) -> None:
        """The disk took nothing; said once until it takes something."""
        self._metrics.failed(error)
        if not self._failing:
            self._failing = True
            log.error("the journal takes nothing", error=error.message)
