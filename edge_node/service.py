"""The track stream's gRPC service: translates between the wire and the hub.

A stream is three coroutines: one sends, one hears acknowledgements, one looks now and then whether
the client still does its part. The first that ends decides how the stream ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from edge_node.encoding import build_header
from edge_node.subscription import Subscription, Wish
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

SERVICE = pb.DESCRIPTOR.services_by_name["TrackingService"].full_name
"""The service's full name."""
SUBSCRIBE_WITHIN_S = 5.0
"""How long a stream may be open without asking for anything."""
ACKNOWLEDGE_WITHIN_S = 5.0
"""Longest silence of a client: it should acknowledge every second."""
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


@dataclass(slots=True, eq=False)
class _Stream:
    """One subscriber's stream."""

    hub: Hub
    subscription: Subscription
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    heard_s: float = field(default_factory=time.monotonic)
    closed_by_client: bool = False


class TrackingService:
    """Serves hubs by their session. Lives in one asyncio loop; only hubs are touched by others."""

    def __init__(self, hubs: Sequence[Hub], limits: ServiceLimits | None = None) -> None:
        """Serve ``hubs``, whose sessions differ. Must be made inside the loop that serves."""
        self._hubs = {hub.description.session: hub for hub in hubs}
        self._limits = limits or ServiceLimits()
        self._streams: set[_Stream] = set()
        self._calls = 0
        self._drain_by_s: float | None = None
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger(__name__)
        for hub in self._hubs.values():
            hub.add_listener(self._hub_changed)

    def close(self) -> None:
        """Listen to the hubs no more."""
        for hub in self._hubs.values():
            hub.remove_listener(self._hub_changed)

    @property
    def subscribers(self) -> int:
        """Number of streams that are open now."""
        return self._calls

    def drain(self, within_s: float) -> None:
        """End every stream with UNAVAILABLE and a resume token.

        Each is sent what there is before, as far as its client takes it within ``within_s``.
        """
        self._drain_by_s = time.monotonic() + within_s
        self._wake_all()

    def _hub_changed(self) -> None:
        # Called by the thread that writes; where the loop has closed meanwhile nobody is to wake.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        for stream in self._streams:
            stream.wake.set()

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
            return pb.GetSessionResponse(header=self._header(self._find(request.session)))
        except TipoffError as error:
            await _abort(context, error, None)
            raise

    def _find(self, session: str) -> Hub:
        if not session and len(self._hubs) == 1:
            return next(iter(self._hubs.values()))
        if session in self._hubs:
            return self._hubs[session]
        raise NotFoundError(
            f"session {session[:MAX_ECHO]!r} is not served here; served: "
            f"{', '.join(sorted(self._hubs))}",
            session=session[:MAX_ECHO],
        )

    def _header(self, hub: Hub) -> pb.Header:
        within_ns = int(self._limits.acknowledge_within_s * 1e9)
        return build_header(hub.description, *hub.held_range(), within_ns)

    async def stream_tracks(self, _requests: object, context: Context) -> None:
        """Follow a session for one client until it or the session ends."""
        stream: _Stream | None = None
        self._calls += 1
        try:
            stream = await self._open(context)
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
                self._streams.discard(stream)

    async def _open(self, context: Context) -> _Stream:
        self._check_draining(asked_now=True)
        if self._calls > self._limits.max_subscribers:
            raise OverloadedError(
                f"{self._limits.max_subscribers} subscribers are all that this server takes: try "
                "later or elsewhere",
                reason="TOO_MANY_SUBSCRIBERS",
                max_subscribers=self._limits.max_subscribers,
            )
        request = await self._first_request(context)
        hub = self._find(request.session)
        wish = Wish(request.from_sequence, request.from_epoch, request.max_rate_hz)
        header = self._header(hub)
        stream = _Stream(hub, Subscription(hub, wish))
        self._streams.add(stream)
        await context.write(pb.StreamTracksResponse(header=header).SerializeToString())
        return stream

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
        subscription = stream.subscription
        while True:
            stream.wake.clear()
            # Asked before taking: what is written in between must not be missed.
            ended = stream.hub.ended
            messages = subscription.take()
            for message in messages:
                await context.write(message)
            if messages:
                continue
            if subscription.caught_up and ended is not None:
                return await self._finish(stream, context, ended.message)
            self._check_draining(asked_now=subscription.caught_up)
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
            stream.subscription.acknowledge(request.acknowledge.sequence)
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
            acknowledged=stream.subscription.acknowledged,
        )


def _reason(error: TipoffError) -> str:
    return str(error.ids.get("reason", error.status))


async def _abort(
    context: grpc.aio.ServicerContext[Any, Any], error: TipoffError, stream: _Stream | None
) -> None:
    trailers = [("tipoff-reason", _reason(error))]
    if stream is not None and error.retryable:
        description = stream.hub.description
        trailers += [
            ("tipoff-resume-session", description.session),
            ("tipoff-resume-epoch", str(description.epoch)),
            ("tipoff-resume-sequence", str(stream.subscription.resume_sequence)),
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
