"""The track stream's gRPC service: translates between the wire and the hub.

Each stream is followed by itself (`edge_node.following`). Beside them one task for all makes the
heartbeats, each encoded once for all subscribers of its hub.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from edge_node.description import StreamKind
from edge_node.encoding import STREAM_KINDS, build_header
from edge_node.endings import Refusal, abort, reason
from edge_node.following import Draining, Follower
from edge_node.limits import ServiceLimits
from edge_node.outlet import Outlet, Stream
from edge_node.requests import parse, read_request
from edge_node.subscription import Patience, Subscription, Wish
from tipoff.errors import (
    DeadlineError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    TipoffError,
)
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge_node.following import SentHook
    from edge_node.hub import Hub

    Context = grpc.aio.ServicerContext[object, bytes]

__all__ = ["SERVICE", "ServiceLimits", "TrackingService"]

SERVICE = pb.DESCRIPTOR.services_by_name["TrackingService"].full_name
"""The service's full name."""
LOOK_EVERY_S = 0.1
"""How often it is looked whether a heartbeat is due, or what is said of the node has run out."""
MAX_ECHO = 64
"""Most characters of a client's text in a message to it."""
STREAM_TRACKS = f"/{SERVICE}/StreamTracks"


class _Handlers(grpc.GenericRpcHandler):
    """Finds the handler of a call; of one too many before anything is made for it."""

    def __init__(
        self,
        methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]],
        full: Callable[[], bool],
        refusing: grpc.RpcMethodHandler[Any, Any],
    ) -> None:
        self._methods, self._full, self._refusing = methods, full, refusing

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = handler_call_details.method
        if method == STREAM_TRACKS and self._full():
            return self._refusing
        return self._methods.get(method)


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
        self._limits = limits or ServiceLimits()
        self._draining = Draining()
        self._follower = Follower(self._limits, self._draining, on_sent)
        self._refusal = Refusal(self._limits.max_subscribers)
        self._outlets = {
            (hub.description.session, hub.description.kind): Outlet(hub) for hub in hubs
        }
        self._calls = 0
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

    async def behind(self) -> int:
        """Return how many snapshots the stream that is furthest behind is still to be sent.

        One that is being opened has no place yet and may want all that is held.
        """
        outlets = tuple(self._outlets.values())
        streams = [stream for outlet in outlets for stream in outlet.streams]
        behind = [stream.subscription.behind for stream in streams]
        if self._calls > len(streams):
            behind += [outlet.hub.newest + 1 - outlet.hub.oldest_place for outlet in outlets]
        return max(behind, default=0)

    def drain(self, within_s: float) -> None:
        """End every stream with UNAVAILABLE and a resume token.

        Each is sent what there is before, as far as its client takes it within ``within_s``.
        """
        self._draining.begin(within_s)
        for outlet in self._outlets.values():
            outlet.wake()

    def _hub_changed(self, outlet: Outlet) -> None:
        # Called by the thread that writes; where the loop has closed meanwhile nobody is to wake.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(outlet.wake)

    async def _beat(self) -> None:
        every_s = self._limits.heartbeat_every_s
        look_s = min(LOOK_EVERY_S, every_s / 4)
        while True:
            await asyncio.sleep(look_s)
            self._refusal.say()
            for outlet in self._outlets.values():
                if outlet.hub.look() != outlet.changes:
                    outlet.wake()
                # Early by a look: a heartbeat is never later than the header says.
                if time.monotonic() - outlet.beat_s >= every_s - 2 * look_s:
                    outlet.beat()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the handlers. Responses are bytes already, and shared between streams.

        Requests are bytes still: a client whose bytes are no message is told so.
        """
        stream_tracks: grpc.RpcMethodHandler[Any, bytes] = grpc.stream_stream_rpc_method_handler(
            self.stream_tracks, None, None
        )
        get_session: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            self.get_session,
            None,
            pb.GetSessionResponse.SerializeToString,
        )
        refusing: grpc.RpcMethodHandler[Any, bytes] = grpc.stream_stream_rpc_method_handler(
            self._refusal.answer, None, None
        )
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            STREAM_TRACKS: stream_tracks,
            f"/{SERVICE}/GetSession": get_session,
        }
        return _Handlers(methods, self._is_full, refusing)

    def _is_full(self) -> bool:
        # Whoever comes while the server shuts down is to be told that, and not to try again here.
        return self._calls >= self._limits.max_subscribers and self._draining.by_s is None

    async def get_session(
        self,
        raw: bytes,
        context: grpc.aio.ServicerContext[bytes, pb.GetSessionResponse],
    ) -> pb.GetSessionResponse:
        """Describe a session."""
        try:
            request = parse(pb.GetSessionRequest, raw)
            return pb.GetSessionResponse(header=self._header(self._find(request.session).hub))
        except TipoffError as error:
            await abort(context, error)
            raise

    def _find(self, session: str, kind: StreamKind = StreamKind.LIVE) -> Outlet:
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
        stream: Stream | None = None
        self._calls += 1
        try:
            stream, header = await self._open(context)
            # Here, where it is forgotten too: the client may go at any step of what comes.
            stream.outlet.streams.add(stream)
            await self._begin(stream, header, context)
            await self._follower.follow(stream, context)
        except TipoffError as error:
            self._log.info("stream ended", reason=reason(error), peer=context.peer())
            await abort(context, error, stream)
        except Exception:
            self._log.exception("stream failed", peer=context.peer())
            await abort(context, InternalError("the server failed: its log says how"), stream)
        finally:
            self._calls -= 1
            if stream is not None:
                stream.outlet.streams.discard(stream)

    async def _open(self, context: Context) -> tuple[Stream, bytes]:
        self._draining.check(asked_now=True)
        if self._calls > self._limits.max_subscribers:
            # It found a place free, and another one took it in the meantime.
            raise self._refusal.error.with_traceback(None)  # one for all of them
        request = await self._first_request(context)
        outlet = self._find(request.session, _kind(request.kind))
        wish = Wish(request.from_sequence, request.from_epoch, request.max_rate_hz)
        header = pb.StreamTracksResponse(header=self._header(outlet.hub))
        patience = Patience(max_lag_s=self._limits.max_lag_s)
        stream = Stream(outlet, Subscription(outlet.hub, wish, patience))
        return stream, header.SerializeToString()

    async def _begin(self, stream: Stream, header: bytes, context: Context) -> None:
        """Write what comes first, which a client that reads nothing may have no window for."""
        within_s = self._limits.acknowledge_within_s
        try:
            async with asyncio.timeout(within_s):
                await context.write(header)
                # Whoever resumes is sent what is past first, and must not take it for the present.
                await context.write(stream.outlet.hub.heartbeat())
        except TimeoutError:
            raise DeadlineError(
                f"the header was not read within {within_s:g} s: read the stream as it comes",
                reason="NOT_READ",
            ) from None

    async def _first_request(self, context: Context) -> pb.Subscribe:
        within_s = self._limits.subscribe_within_s
        try:
            async with asyncio.timeout(within_s):
                request = await read_request(context)
        except TimeoutError:
            raise DeadlineError(
                f"no Subscribe within {within_s:g} s: send it first", reason="NOT_SUBSCRIBED"
            ) from None
        if request is None or not request.HasField("subscribe"):
            raise InvalidInputError("the first message must be a Subscribe")
        return request.subscribe


def _kind(asked: int) -> StreamKind:
    if asked == pb.STREAM_KIND_UNSPECIFIED:
        return StreamKind.LIVE
    for kind, number in STREAM_KINDS.items():
        if number == asked:
            return kind
    raise InvalidInputError(
        f"kind {asked} is none that this server knows: ask for live or smoothed"
    )
