"""The client for asyncio; :mod:`tipoff.client` is the one for programs that block.

async with tipoff.aio.AsyncClient("127.0.0.1:7400") as client:
    async for snapshot in client.stream_tracks(from_sequence=1):
        print(snapshot.time_ns, snapshot.ids, snapshot.joints_m)
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING

import grpc

from tipoff.address import check_address
from tipoff.aio_connection import AsyncConnection
from tipoff.client import CHANNEL_OPTIONS
from tipoff.errors import TipoffError
from tipoff.follow import ClientOptions, Follower, client_closed, stream_closed
from tipoff.followed import FollowedSession
from tipoff.reading import read_header
from tipoff.snapshot import Header, Heartbeat, Snapshot
from tipoff.status import translate
from tipoff.v1 import tracking_pb2 as pb
from tipoff.v1 import tracking_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self


class AsyncClient:
    """A connection to a server of tracks, for one event loop. Close it, or use ``async with``.

    The loop is that of its first call: it may be made before there is one.
    """

    def __init__(self, address: str, options: ClientOptions | None = None) -> None:
        """Prepare to talk to ``address`` (host:port); nothing is sent yet.

        Raises:
            InvalidInputError: The address is none.
        """
        self.address = check_address(address)
        self.options = options or ClientOptions()
        self._channel: grpc.aio.Channel | None = None
        self._closed = False
        # Whoever leaves a stream without closing it has it closed, and not kept.
        self._streams: weakref.WeakSet[AsyncTrackStream] = weakref.WeakSet()

    def _stub(self) -> tracking_pb2_grpc.TrackingServiceAsyncStub:
        """Make calls, within the loop: a channel belongs to the one in which it is made.

        Raises:
            ConflictError: The client has been closed.
        """
        if self._closed:
            raise client_closed(self.address)
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        stub: tracking_pb2_grpc.TrackingServiceAsyncStub
        stub = tracking_pb2_grpc.TrackingServiceStub(self._channel)
        return stub

    async def describe(self, session: str | None = None) -> Header:
        """Return the header that a stream would open with now; see :meth:`Client.describe`."""
        stub = self._stub()
        request = pb.GetSessionRequest(session=session or "")
        try:
            reply = await stub.GetSession(request, timeout=self.options.call_timeout_s)
        except grpc.aio.AioRpcError as error:
            raise translate(self.address, error) from None
        return read_header(reply.header)

    def stream_tracks(
        self,
        session: str | None = None,
        from_sequence: int = 0,
        max_rate_hz: float | None = None,
        *,
        from_epoch: int = 0,
        kind: str = "live",
    ) -> AsyncTrackStream:
        """Follow a session; see :meth:`tipoff.client.Client.stream_tracks`.

        Returns:
            A stream that opens when it is entered or iterated, with the errors named there.

        Raises:
            ConflictError: The client has been closed.
        """
        if self._closed:
            raise client_closed(self.address)
        follower = Follower(session, from_sequence, max_rate_hz, from_epoch, kind)
        stream = AsyncTrackStream(self, follower)
        self._streams.add(stream)
        return stream

    def _forget(self, stream: AsyncTrackStream) -> None:
        self._streams.discard(stream)

    async def close(self) -> None:
        """End every stream and close the connection."""
        self._closed = True
        streams = tuple(self._streams)
        for stream in streams:
            # First, so that none connects again while another one is closed.
            stream._closed.set()
        try:
            await asyncio.gather(*(stream.close() for stream in streams))
        finally:
            # Also where its caller gives up while streams are closed.
            if self._channel is not None:
                await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncTrackStream(FollowedSession):
    """A session that is being followed: an asynchronous iterator of snapshots.

    It ends when the session ends; then :attr:`end` says how. Close it when you leave earlier. A
    timeout or a cancellation leaves it where it was, and the next call goes on there. Tasks that
    iterate over one stream share its snapshots: each goes to one of them.
    """

    def __init__(self, client: AsyncClient, follower: Follower) -> None:
        """Prepare; it opens when it is entered or iterated."""
        super().__init__(client.address, client.options, follower)
        self._client = client
        self._connection: AsyncConnection | None = None
        self._closed = asyncio.Event()
        self._iterating = asyncio.Lock()
        self._not_before_s = 0.0
        """When the next connection may be made, however often somebody asks meanwhile."""
        self._failure: Exception | None = None
        """What it ended by, while nobody has been told."""

    async def open(self) -> Header:
        """Connect and wait for the header, trying again as long as the options allow.

        Raises:
            ConflictError: It was closed before.
        """
        async with self._iterating, self._closing_on_failure():
            if self._closed.is_set():
                raise stream_closed()
            await self._open()
        return self.header

    @contextlib.asynccontextmanager
    async def _closing_on_failure(self) -> AsyncIterator[None]:
        """Close it when it fails. Where its caller is cancelled meanwhile, the next one is told."""
        try:
            if self._failure is not None:
                raise self._failure
            yield
        except Exception as error:
            self._failure = error
            await self.close()
            self._failure = None
            raise

    async def _open(self) -> None:
        while not self._closed.is_set():
            if self._connection is None:
                await self._rest()
                if self._closed.is_set():
                    return
            # One that was being opened when its caller was cancelled goes on.
            connection = self._connection or self._connect()
            if connection.opened:
                return
            try:
                header = await connection.open(self._left_s)
            except TipoffError as error:
                self._pause(error)
                await self._hang_up()
            else:
                self._opened(header)

    def _connect(self) -> AsyncConnection:
        self._connection = connection = AsyncConnection(
            self._address, self._client._stub(), self._follower, self._options, weakref.ref(self)
        )
        return connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _pause(self, error: TipoffError) -> None:
        """Let the next connection wait, or raise ``error`` where there shall be none."""
        if not self._closed.is_set():
            pause_s = self._pause_s(error)
            self._not_before_s = asyncio.get_running_loop().time() + pause_s

    async def _rest(self) -> None:
        """Wait until the next connection may be made, or the stream is closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._not_before_s):
                await self._closed.wait()

    def __aiter__(self) -> AsyncIterator[Snapshot]:
        return self

    async def __anext__(self) -> Snapshot:
        while (event := await self._advance()) is not None:
            if isinstance(event, Snapshot):
                return event
        raise StopAsyncIteration

    def events(self) -> AsyncIterator[Snapshot | Heartbeat]:
        """Iterate over snapshots and heartbeats; see `tipoff.client.TrackStream.events`."""
        return _Events(self)

    async def _advance(self) -> Snapshot | Heartbeat | None:
        """Return the next snapshot or heartbeat; None at the end."""
        async with self._iterating, self._closing_on_failure():
            self._use(self._connection)
            while (response := await self._receive()) is not None:
                event = self._take(response)
                if self.end is not None and self._connection is not None:
                    self._connection.acknowledge_now()
                if event is not None:
                    return event
            await self.close()
            return None

    async def _receive(self) -> pb.StreamTracksResponse | None:
        """Return the next message, over connections that break; None at the end."""
        while not self._closed.is_set():
            await self._open()
            if self._connection is None:
                break
            try:
                return await self._connection.receive()
            except TipoffError as error:
                if self.end is not None:
                    # Everything had come before the connection broke.
                    break
                self._pause(error)
                await self._hang_up()
        return None

    async def close(self) -> None:
        """Follow no longer. Any task may call it; one that iterates comes to its end."""
        self._closed.set()
        await self._hang_up()
        self._client._forget(self)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class _Events:
    """Iterates over a stream's events. A generator would be over for good after a timeout."""

    def __init__(self, stream: AsyncTrackStream) -> None:
        self._stream = stream

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> Snapshot | Heartbeat:
        event = await self._stream._advance()
        if event is None:
            raise StopAsyncIteration
        return event
