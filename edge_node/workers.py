"""A thread for each sink, so that writing results does not hold up the tracking."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from edge_node.errors import SinkError
from tipoff.errors import TipoffError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_node.frames import Sink, TrackedFrame
    from edge_node.inference import StageTimes

QUEUE_FRAMES = 8
"""Tracked frames that wait for a sink, at most; then the pipeline waits for it."""
POLL_S = 0.1

log = structlog.get_logger(__name__)


class SinkThread:
    """Runs one sink.

    Args:
        sink: Given every frame in order.
        times: Where its seconds are added, under its class' name.
    """

    def __init__(self, sink: Sink, times: StageTimes) -> None:
        self.sink = sink
        self.error: Exception | None = None
        self._stage = getattr(sink, "stage", type(sink).__name__)
        self._times = times
        self._queue: queue.Queue[TrackedFrame | None] = queue.Queue(QUEUE_FRAMES)
        self._thread = threading.Thread(target=self._run, name=f"sink-{self._stage}", daemon=True)
        self._thread.start()

    def put(self, frame: TrackedFrame | None) -> None:
        """Hand a frame over, waiting for room; None ends the thread."""
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._queue.put(frame, timeout=POLL_S)
                return

    def join(self) -> None:
        """Wait until everything handed over is written and the sink is closed."""
        self._thread.join()

    def _run(self) -> None:
        while (frame := self._queue.get()) is not None:
            self._timed(partial(self.sink.write, frame))
            if self.error is not None:
                break
        self._timed(self.sink.close)

    def _timed(self, call: Callable[[], None]) -> None:
        began = time.perf_counter()
        try:
            call()
        except Exception as error:
            self.error = self.error or error
            log.error("sink failed", sink=self._stage, error=str(error))
        self._times.add(self._stage, time.perf_counter() - began)


class SinkThreads:
    """All sinks of a run.

    Args:
        sinks: Each gets a thread of its own.
        times: Where their seconds are added.
    """

    def __init__(self, sinks: Sequence[Sink], times: StageTimes) -> None:
        self._threads = [SinkThread(sink, times) for sink in sinks]

    def write(self, frame: TrackedFrame) -> None:
        """Hand a frame to every sink.

        Raises:
            SinkError: one of them has failed; a TipoffError of its own is raised as it is.
        """
        for thread in self._threads:
            thread.put(frame)
        self._raise_failed()

    def close(self, *, quietly: bool = False) -> None:
        """Finish every sink.

        Args:
            quietly: Raise nothing, because something else is being raised already.

        Raises:
            SinkError: as ``write``.
        """
        for thread in self._threads:
            thread.put(None)
        for thread in self._threads:
            thread.join()
        if not quietly:
            self._raise_failed()

    def _raise_failed(self) -> None:
        for thread in self._threads:
            if isinstance(thread.error, TipoffError):
                raise thread.error
            if thread.error is not None:
                raise SinkError(
                    f"{type(thread.sink).__name__} failed: {thread.error}"
                ) from thread.error
