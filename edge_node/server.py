"""The gRPC server of an edge node: its loop and thread, health, reflection, shutting down.

The server lives in the process' gRPC loop (:mod:`edge_node.loop`), so that the pipeline never waits
for the network. Health is SERVING only between :meth:`StreamServer.set_ready` and shutting down.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from edge_node.health import Health
from edge_node.loop import run_in_loop
from edge_node.service import SERVICE, ServiceLimits, TrackingService
from tipoff.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_node.following import SentHook
    from edge_node.hub import Hub

MAX_REQUEST_BYTES = 64 * 1024
"""Largest message of a client; a Subscribe has some 50 bytes."""
START_WITHIN_S = 10.0
"""How long starting may take."""
DRAIN_WITHIN_S = 8.0
"""How long subscribers are given to take what is left when the server shuts down."""
STOP_WITHIN_S = 2.0
"""How long calls that outlive the draining are given before they are cut."""
CUT_SHARE = 0.1
"""Part of the time that such calls are given where shutting down is to take no longer than that."""
DRAIN_LOOK_EVERY_S = 0.01
"""How often a server that shuts down looks whether its subscribers have gone."""
CALLS_BESIDE_STREAMS = 64
"""Calls at one time beside the streams: health, reflection, descriptions, refusals."""
KEEPALIVE_MS = 10_000
"""How often an idle connection is asked for a sign of life."""

_CHANNEL_OPTIONS = (
    # Without this a second server would share the port, and clients would be dealt between them.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_MS // 2),
    ("grpc.keepalive_permit_without_calls", 1),
    # Clients watch their connections in the same way, and must not be cut off for it.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", KEEPALIVE_MS // 10),
    ("grpc.http2.max_ping_strikes", 0),
)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server listens and what it bears."""

    listen: str = "127.0.0.1:7400"
    """Address as host:port; port 0 takes a free one."""
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    """Bounds of the service."""
    drain_within_s: float = DRAIN_WITHIN_S
    """How long subscribers are given to take what is left when the server shuts down."""
    on_sent: SentHook | None = None
    """Told whenever a stream has sent snapshots; see :class:`TrackingService`."""


class StreamServer:
    """Serves hubs until it is stopped. Methods are called from any thread but the server's own."""

    def __init__(self, hubs: Sequence[Hub], options: ServerOptions | None = None) -> None:
        """Prepare; nothing listens before :meth:`start`."""
        self._hubs = tuple(hubs)
        self._options = options or ServerOptions()
        self._service: TrackingService | None = None
        self._health = Health(("", SERVICE))
        self._server: grpc.aio.Server | None = None

    def start(self) -> str:
        """Listen and return the address, with the port that was taken.

        Raises:
            InvalidInputError: The address is none.
            ConflictError: The address is taken or not this machine's.
        """
        return run_in_loop(self._listen(), START_WITHIN_S)

    async def _listen(self) -> str:
        host = _host(self._options.listen)
        limits = self._options.limits
        server = grpc.aio.server(
            options=_CHANNEL_OPTIONS,
            maximum_concurrent_rpcs=limits.max_subscribers + CALLS_BESIDE_STREAMS,
        )
        port = self._bind(server)
        self._server = server
        self._service = TrackingService(self._hubs, limits, self._options.on_sent)
        self._server.add_generic_rpc_handlers((self._service.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        await self._server.start()
        return f"{host}:{port}"

    def _bind(self, server: grpc.aio.Server) -> int:
        listen = self._options.listen
        try:
            port = server.add_insecure_port(listen)
        except RuntimeError:
            port = 0
        if not port:
            raise ConflictError(
                f"cannot listen on {listen}: the port is taken or the address is not this "
                "machine's; give another one, or port 0 for a free one",
                listen=listen,
            )
        return port

    def set_ready(self, ready: bool = True) -> None:
        """Say through the health service whether the session can be followed."""

        async def say() -> None:
            self._health.set(serving=ready)

        run_in_loop(say(), START_WITHIN_S)

    @property
    def subscribers(self) -> int:
        """Number of streams that are open now."""
        return self._service.subscribers if self._service else 0

    def behind(self) -> int:
        """See :meth:`TrackingService.behind`."""
        return run_in_loop(self._service.behind(), START_WITHIN_S) if self._service else 0

    def stop(self, within_s: float | None = None) -> None:
        """Shut down: unready first, then the streams are ended, then what is left is cut.

        A second call does nothing.

        Args:
            within_s: How long all of it may take; by default the drain's time and twice
                STOP_WITHIN_S.
        """
        server, self._server = self._server, None
        if server is None:
            return
        drain_s, cut_s = self._options.drain_within_s, STOP_WITHIN_S
        if within_s is not None:
            cut_s = min(cut_s, CUT_SHARE * within_s)
            drain_s = min(drain_s, within_s - 2 * cut_s)
        run_in_loop(self._shut_down(server, drain_s, cut_s), drain_s + 4 * STOP_WITHIN_S)

    async def _shut_down(self, server: grpc.aio.Server, drain_s: float, cut_s: float) -> None:
        assert self._service is not None
        self._health.leave()
        self._service.drain(drain_s)
        try:
            async with asyncio.timeout(drain_s + cut_s):
                while self._service.subscribers:
                    await asyncio.sleep(DRAIN_LOOK_EVERY_S)
        except TimeoutError:
            log = structlog.get_logger(__name__)
            log.warning("subscribers were cut off", subscribers=self._service.subscribers)
        self._health.end()
        await server.stop(cut_s)
        await self._service.close()


def _host(listen: str) -> str:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidInputError(
            f"{listen!r} is no address to listen on: give host:port, such as 127.0.0.1:7400",
            listen=listen,
        )
    return host
