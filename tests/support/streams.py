"""Real stream servers on free ports, and the clients that ask them."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from edge_node.description import EndReason
from edge_node.encoding import encode_snapshot
from edge_node.hub import Hub
from edge_node.loop import run_in_loop
from edge_node.ring import Held, HubLimits
from edge_node.server import ServerOptions, StreamServer
from edge_node.service import ServiceLimits
from tests.support.frames import Walk, describe, make_frames
from tipoff.follow import ClientOptions

T = TypeVar("T")

QUICK = ServiceLimits(
    subscribe_within_s=0.5, acknowledge_within_s=0.8, last_acknowledge_within_s=2.0
)
"""Bounds that a test can wait for."""
EAGER = ClientOptions(
    connect_timeout_s=10.0,
    resume_timeout_s=20.0,
    backoff_initial_s=0.005,
    backoff_max_s=0.05,
    acknowledge_every_s=0.1,
)
"""A client that hurries."""
PATIENCE_S = 20.0
"""How long a test waits for what must come."""
HASTY = ClientOptions(connect_timeout_s=0.4, resume_timeout_s=0.4, backoff_initial_s=0.01)
"""A client that gives up soon."""
SOON_HOPELESS = dataclasses.replace(HASTY, connect_timeout_s=PATIENCE_S)
"""A client that waits for a server, and not long for one that has gone."""
BEATING = dataclasses.replace(QUICK, heartbeat_every_s=0.2, acknowledge_within_s=5.0)
"""A server that beats often, and ends nobody for it."""


def make_hub(
    count: int = 0,
    *,
    session: str = "game",
    epoch: int = 1,
    limits: HubLimits | None = None,
    walk: Walk | None = None,
) -> Hub:
    """Make a hub that holds the first ``count`` frames of a walk."""
    hub = Hub(describe(session, epoch), limits)
    for frame in make_frames(count, walk):
        hub.write(frame)
    return hub


def make_ended_hub(count: int, **options: object) -> Hub:
    """Make a hub whose session is over after ``count`` frames."""
    hub = make_hub(count, **options)  # type: ignore[arg-type]
    hub.end(EndReason.COMPLETED, "the videos ended")
    return hub


def make_past(count: int, epoch: int = 2, first: int = 1, walk: Walk | None = None) -> list[Held]:
    """Make what a restart finds of an epoch: ``count`` snapshots from sequence ``first`` on."""
    frames = make_frames(count, walk, first=first)
    return [
        Held(epoch, sequence, frame.time_ns, encode_snapshot(frame, epoch, sequence, frame.time_ns))
        for sequence, frame in enumerate(frames, first)
    ]


def make_restarted_hub(
    past: int,
    count: int,
    *,
    first: int = 1,
    epoch: int = 3,
    limits: HubLimits | None = None,
) -> Hub:
    """Make the hub of an epoch behind epoch 2, whose last frames are held.

    It holds ``past`` snapshots of epoch 2 from sequence ``first`` on, and ``count`` of its own,
    whose frames begin a second after the last one before.
    """
    held = make_past(past, first=first)
    hub = Hub(describe(epoch=epoch), limits, past=held)
    for frame in make_frames(count, first=first + past + 59):
        hub.write(frame)
    return hub


@contextlib.contextmanager
def serving(
    *hubs: Hub,
    limits: ServiceLimits | None = None,
    listen: str = "127.0.0.1:0",
    drain_within_s: float = 2.0,
) -> Iterator[tuple[StreamServer, str]]:
    """Serve hubs; give the server and its address."""
    options = ServerOptions(
        listen=listen, limits=limits or ServiceLimits(), drain_within_s=drain_within_s
    )
    server = StreamServer(hubs, options)
    address = server.start()
    try:
        yield server, address
    finally:
        server.stop()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition that must come true."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain until {what}"
        time.sleep(0.005)


@contextlib.contextmanager
def writing(hub: Hub, frames: Iterator[object], pause_s: float = 0.002) -> Iterator[None]:
    """Write frames from a thread of its own, and end the session behind them."""
    stop = threading.Event()

    def write() -> None:
        for frame in frames:
            if stop.wait(pause_s):
                return
            hub.write(frame)  # type: ignore[arg-type]
        hub.end(EndReason.COMPLETED)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def run_aio(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the process' one loop for gRPC, where the servers are too."""
    return run_in_loop(work, 3 * PATIENCE_S)


def open_descriptors() -> int:
    """Count this process' open descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))
