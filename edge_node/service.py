"""The track stream's gRPC service: translates between the wire and the hub.

A stream is three coroutines: one sends, one hears acknowledgements, one looks now and then whether
the client still does its part. The first that ends decides how the stream ends. Beside them one
task for all streams makes the heartbeats, each encoded once for all subscribers of its hub.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from edge_node.description import StreamKind, Terms
from edge_node.encoding import STREAM_KINDS, build_header
from edge_node.subscription import MAX_LAG_S, Patience, Subscription, Wish
from tipoff.errors import (
    DeadlineError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    TipoffError,
    UnavailableError,
)
from tipoff.stream_errors import OverloadedError
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from edge_node.hub import Hub

    Context = grpc.aio.ServicerContext[object, bytes]
    SentHook = Callable[[StreamKind, int, str, int], None]

SERVICE = pb.DESCRIPTOR.services_by_name["TrackingService"].full_name
"""The service's full name."""
SUBSCRIBE_WITHIN_S = 5.0
"""How long a stream may be open without asking for anything."""
ACKNOWLEDGE_WITHIN_S = 5.0
"""Longest silence of a client: it should acknowledge every second."""
HEARTBEAT_EVERY_S = 1.0
"""How often every stream is told how things stand."""
LOOK_EVERY_S = 0.1
"""How often it is looked whether a heartbeat is due, or what is said of the node has run out."""
CHECK_EVERY_S = 0.25
"""How often a stream is checked for a client that stalls."""
LAST_ACKNOWLEDGE_WITHIN_S = 5.0
"""How long the end of a session waits until the client has acknowledged the last snapshot."""
ABORT_WITHIN_S = 2.0
"""How long the end of a stream may take on the wire, for a client that reads nothing."""
MAX_SUBSCRIBERS = 256
"""Most streams at one time."""
MAX_ECHO = 64
"""Most characters of a client's text in a message to it."""


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Bounds of the service."""

    max_subscribers: int = MAX_SUBSCRIBERS
    """Most streams at one time; more are refused."""
    subscribe_within_s: float = SUBSCRIBE_WITHIN_S
    """How long a stream may be open without asking for anything."""
    acknowledge_within_s: float = ACKNOWLEDGE_WITHIN_S
    """Longest silence of a client."""
    last_acknowledge_within_s: float = LAST_ACKNOWLEDGE_WITHIN_S
    """How long the end of a session waits for the last acknowledgement."""
    max_lag_s: float = MAX_LAG_S
    """Longest time from sending to acknowledgement."""
    heartbeat_every_s: float = HEARTBEAT_EVERY_S
    """Longest time between two messages of the server."""

    def terms(self) -> Terms:
        """Say what of it the client must know."""
        return Terms(
            acknowledge_within_ns=int(self.acknowledge_within_s * 1e9),
            max_lag_ns=int(self.max_lag_s * 1e9),
            heartbeat_every_ns=int(self.heartbeat_every_s * 1e9),
        )


@dataclass(slots=True, eq=False)
class _Stream:
    """One subscriber's stream."""

    outlet: _Outlet
    subscription: Subscription
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    heard_s: float = field(default_factory=time.monotonic)
    closed_by_client: bool = False
    heartbeat: bytes = b""
    """The one that is to be sent; a newer one takes its place, so that none pile up."""


@dataclass(slots=True, eq=False)
class _Outlet:
    """A hub and those who follow it."""

    hub: Hub
    streams: set[_Stream] = field(default_factory=set)
    changes: int = 0
    """How often what is said of the node had changed when it was told last."""
    beat_s: float = 0.0
    """When it was told last."""
    listener: Callable[[], None] | None = None

    def wake(self) -> None:
        """Have every stream look for what is new."""
        changes = self.hub.look()
        if changes != self.changes:
            self.changes = changes
            self.beat()
        for stream in self.streams:
            stream.wake.set()

    def beat(self) -> None:
        """Give every stream a heartbeat."""
        self.beat_s = time.monotonic()
        if not self.streams:
            return
        heartbeat = self.hub.heartbeat()
        for stream in self.streams:
            stream.heartbeat = heartbeat
            stream.wake.set()


class TrackingService:
    """Serves hubs by session and kind, in one asyncio loop; only hubs are touched by others."""

    def __init__(
        self,
        hubs: Sequence[Hub],
        limits: ServiceLimits | None = None,
        on_sent: SentHook | None = None,
    ) -> None:
        """Serve ``hubs``, no two of one session and kind. Made inside the loop that serves.

        Args:
            hubs: What is served.
            limits: Bounds.
            on_sent: Told the kind, each sequence, the peer and when its sending began, in ns
                UTC, whenever a stream has sent snapshots. Called in the loop; returns at once.
        """
        self._limits, self._on_sent = limits or ServiceLimits(), on_sent
        self._outlets = {
            (hub.description.session, hub.description.kind): _Outlet(hub) for hub in hubs
        }
        self._calls = 0
        self._drain_by_s: float | None = None
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger(__name__)
        for outlet in self._outlets.values():
            outlet.listener = functools.partial(self._hub_changed, outlet)
            outlet.hub.add_listener(outlet.listener)
        self._beating = self._loop.create_task(self._beat())

    async def close(self) -> None:
        """Listen to the hubs no more, and send no heartbeats."""
        for outlet in self._outlets.values():
            if outlet.listener is not None:
                outlet.hub.remove_listener(outlet.listener)
                outlet.listener = None
        self._beating.cancel()
        await asyncio.gather(self._beating, return_exceptions=True)

    @property
    def subscribers(self) -> int:
        """Number of streams that are open now."""
        return self._calls

    def drain(self, within_s: float) -> None:
        """End every stream with UNAVAILABLE and a resume token.

        Each is sent what there is before, as far as its client takes it within ``within_s``.
        """
        self._drain_by_s = time.monotonic() + within_s
        for outlet in self._outlets.values():
            outlet.wake()

    def _hub_changed(self, outlet: _Outlet) -> None:
        # Called by the thread that writes; where the loop has closed meanwhile nobody is to wake.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(outlet.wake)

    async def _beat(self) -> None:
        every_s = self._limits.heartbeat_every_s
        look_s = min(LOOK_EVERY_S, every_s / 4)
        while True:
            await asyncio.sleep(look_s)
            for outlet in self._outlets.values():
                if outlet.hub.look() != outlet.changes:
                    outlet.wake()
                # Early by a look: a heartbeat is never later than the header says.
                if time.monotonic() - outlet.beat_s >= every_s - 2 * look_s:
                    outlet.beat()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the handlers; responses are bytes already, and shared between streams."""
        stream_tracks: grpc.RpcMethodHandler[Any, bytes] = grpc.stream_stream_rpc_method_handler(
            self.stream_tracks, pb.StreamTracksRequest.FromString, None
        )
        get_session = grpc.unary_unary_rpc_method_handler(
            self.get_session,
            pb.GetSessionRequest.FromString,
            pb.GetSessionResponse.SerializeToString,
        )
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "StreamTracks": stream_tracks,
            "GetSession": get_session,
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def get_session(
        self,
        request: pb.GetSessionRequest,
        context: grpc.aio.ServicerContext[pb.GetSessionRequest, pb.GetSessionResponse],
    ) -> pb.GetSessionResponse:
        """Describe a session."""
        try:
            return pb.GetSessionResponse(header=self._header(self._find(request.session).hub))
        except TipoffError as error:
            await _abort(context, error, None)
            raise

    def _find(self, session: str, kind: StreamKind = StreamKind.LIVE) -> _Outlet:
        sessions = {name for name, _ in self._outlets}
        if not session and len(sessions) == 1:
            (session,) = sessions
        if (session, kind) in self._outlets:
            return self._outlets[session, kind]
        if session in sessions:
            raise NotFoundError(
                f"session {session!r} has no {kind} stream", session=session, kind=str(kind)
            )
        raise NotFoundError(
            f"session {session[:MAX_ECHO]!r} is not served here; served: "
            f"{', '.join(sorted(sessions))}",
            session=session[:MAX_ECHO],
        )

    def _header(self, hub: Hub) -> pb.Header:
        return build_header(hub.description, *hub.held_range(), self._limits.terms())

    async def stream_tracks(self, _requests: object, context: Context) -> None:
        """Follow a session for one client until it or the session ends."""
        stream: _Stream | None = None
        self._calls += 1
        try:
            stream, header = await self._open(context)
            # Here, where it is forgotten too: the client may go at any step of what comes.
            stream.outlet.streams.add(stream)
            await context.write(header)
            # Whoever resumes is sent what is past first, and must not take it for how things stand.
            await context.write(stream.outlet.hub.heartbeat())
            await self._follow(stream, context)
        except TipoffError as error:
            self._log.info("stream ended", reason=_reason(error), peer=context.peer())
            await _abort(context, error, stream)
        except Exception:
            self._log.exception("stream failed", peer=context.peer())
            await _abort(context, InternalError("the server failed: its log says how"), stream)
        finally:
            self._calls -= 1
            if stream is not None:
                stream.outlet.streams.discard(stream)

    async def _open(self, context: Context) -> tuple[_Stream, bytes]:
        self._check_draining(asked_now=True)
        if self._calls > self._limits.max_subscribers:
            raise OverloadedError(
                f"{self._limits.max_subscribers} subscribers are all that this server takes: try "
                "later or elsewhere",
                reason="TOO_MANY_SUBSCRIBERS",
                max_subscribers=self._limits.max_subscribers,
            )
        request = await self._first_request(context)
        outlet = self._find(request.session, _kind(request.kind))
        wish = Wish(request.from_sequence, request.from_epoch, request.max_rate_hz)
        header = pb.StreamTracksResponse(header=self._header(outlet.hub))
        patience = Patience(max_lag_s=self._limits.max_lag_s)
        stream = _Stream(outlet, Subscription(outlet.hub, wish, patience))
        return stream, header.SerializeToString()

    def _check_draining(self, *, asked_now: bool) -> None:
        by_s = self._drain_by_s
        if by_s is not None and (asked_now or time.monotonic() > by_s):
            raise UnavailableError(
                "the server is shutting down: resume elsewhere or later", reason="SHUTTING_DOWN"
            )

    async def _first_request(self, context: Context) -> pb.Subscribe:
        within_s = self._limits.subscribe_within_s
        try:
            async with asyncio.timeout(within_s):
                request = await context.read()
        except TimeoutError:
            raise DeadlineError(
                f"no Subscribe within {within_s:g} s: send it first", reason="NOT_SUBSCRIBED"
            ) from None
        if not isinstance(request, pb.StreamTracksRequest) or not request.HasField("subscribe"):
            raise InvalidInputError("the first message must be a Subscribe")
        return request.subscribe

    async def _follow(self, stream: _Stream, context: Context) -> None:
        parts = (self._send(stream, context), self._hear(stream, context), self._guard(stream))
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _send(self, stream: _Stream, context: Context) -> None:
        subscription, hub = stream.subscription, stream.outlet.hub
        while True:
            stream.wake.clear()
            # Asked before taking: what is written in between must not be missed.
            ended = hub.ended
            messages = subscription.take()
            began_ns = time.time_ns() if self._on_sent is not None else 0
            for message in messages:
                await context.write(message)
            if messages and self._on_sent is not None:
                for sequence in subscription.taken:
                    self._on_sent(hub.description.kind, sequence, context.peer(), began_ns)
            heartbeat, stream.heartbeat = stream.heartbeat, b""
            if heartbeat:
                await context.write(heartbeat)
            if not messages:
                if subscription.caught_up and ended is not None:
                    return await self._finish(stream, context, ended.message)
                self._check_draining(asked_now=subscription.caught_up)
            elif ended is not None or self._drain_by_s is not None:
                continue
            # Whatever came while this was written has set it, so that it does not wait.
            await stream.wake.wait()

    async def _finish(self, stream: _Stream, context: Context, end: bytes) -> None:
        await context.write(stream.subscription.finish(end))
        # A client that has acknowledged everything has it, whatever becomes of the connection.
        within_s = self._limits.last_acknowledge_within_s
        try:
            async with asyncio.timeout(within_s):
                while not (stream.subscription.settled or stream.closed_by_client):
                    stream.wake.clear()
                    await stream.wake.wait()
        except TimeoutError:
            self._log.info("the end was not acknowledged", peer=context.peer())

    async def _hear(self, stream: _Stream, context: Context) -> None:
        while True:
            request = await context.read()
            if not isinstance(request, pb.StreamTracksRequest):
                stream.closed_by_client = True
                stream.wake.set()
                # It may still read: how long it may be silent is for the guard to say.
                await asyncio.Event().wait()
                return
            if not request.HasField("acknowledge"):
                raise InvalidInputError("every message after the first must be an Acknowledge")
            stream.heard_s = time.monotonic()
            said = request.acknowledge
            stream.subscription.acknowledge(said.sequence, said.epoch)
            stream.wake.set()

    async def _guard(self, stream: _Stream) -> None:
        within_s = self._limits.acknowledge_within_s
        every_s = min(CHECK_EVERY_S, within_s / 4)
        while time.monotonic() - stream.heard_s < within_s:
            stream.subscription.check()
            self._check_draining(asked_now=False)
            await asyncio.sleep(every_s)
        raise DeadlineError(
            f"no Acknowledge for {within_s:g} s: send one every second, also when nothing is new",
            reason="NOT_ACKNOWLEDGED",
            acknowledged=stream.subscription.acknowledged[1],
        )


def _kind(asked: int) -> StreamKind:
    if asked == pb.STREAM_KIND_UNSPECIFIED:
        return StreamKind.LIVE
    for kind, number in STREAM_KINDS.items():
        if number == asked:
            return kind
    raise InvalidInputError(
        f"kind {asked} is none that this server knows: ask for live or smoothed"
    )


def _reason(error: TipoffError) -> str:
    return str(error.ids.get("reason", error.status))


async def _abort(
    context: grpc.aio.ServicerContext[Any, Any], error: TipoffError, stream: _Stream | None
) -> None:
    trailers = [("tipoff-reason", _reason(error))]
    if stream is not None and error.retryable:
        description = stream.outlet.hub.description
        epoch, sequence = stream.subscription.resume
        trailers += [
            ("tipoff-resume-session", description.session),
            ("tipoff-resume-kind", pb.StreamKind.Name(STREAM_KINDS[description.kind])),
            ("tipoff-resume-epoch", str(epoch)),
            ("tipoff-resume-sequence", str(sequence)),
        ]
    code = grpc.StatusCode[error.status]
    await _bounded(lambda: context.abort(code, error.message, tuple(trailers)))


async def _bounded(call: Callable[[], Awaitable[Any]]) -> None:
    try:
        async with asyncio.timeout(ABORT_WITHIN_S):
            await call()
    except TimeoutError:
        # The client reads nothing and its window is full: gRPC keeps the end for it, we do not.
        return
