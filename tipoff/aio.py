"""The client for asyncio; :mod:`tipoff.client` is the one for programs that block.

async with tipoff.aio.AsyncClient("127.0.0.1:7400") as client:
    async for snapshot in client.stream_tracks(from_sequence=1):
        print(snapshot.time_ns, snapshot.ids, snapshot.joints_m)
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc

from tipoff.client import CHANNEL_OPTIONS
from tipoff.follow import (
    ACKNOWLEDGE_AT_ONCE,
    ClientOptions,
    Follower,
    Patience,
    fallen_silent,
    no_answer,
)
from tipoff.reading import read_header
from tipoff.snapshot import Availability, End, Header, Heartbeat, Snapshot
from tipoff.status import error_from
from tipoff.v1 import tracking_pb2 as pb
from tipoff.v1 import tracking_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self

    from tipoff.errors import TipoffError

    Call = grpc.aio.StreamStreamCall[pb.StreamTracksRequest, pb.StreamTracksResponse]


BROKEN_WRITE = "Internal error from Core"
"""What grpc.aio puts in place of a call's status when a write finds the connection broken."""


class AsyncClient:
    """A connection to a server of tracks, for one event loop. Close it, or use ``async with``."""

    def __init__(self, address: str, options: ClientOptions | None = None) -> None:
        """Prepare to talk to ``address`` (host:port); nothing is sent yet."""
        self.address = address
        self.options = options or ClientOptions()
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub: tracking_pb2_grpc.TrackingServiceAsyncStub
        self._stub = tracking_pb2_grpc.TrackingServiceStub(self._channel)
        self._streams: set[AsyncTrackStream] = set()

    async def describe(self, session: str | None = None) -> Header:
        """Return the header that a stream would open with now; see :meth:`Client.describe`."""
        request = pb.GetSessionRequest(session=session or "")
        try:
            reply = await self._stub.GetSession(request, timeout=self.options.call_timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _translate(self.address, error) from None
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
        """
        follower = Follower(session, from_sequence, max_rate_hz, from_epoch, kind)
        stream = AsyncTrackStream(self, self._stub, follower)
        self._streams.add(stream)
        return stream

    def _forget(self, stream: AsyncTrackStream) -> None:
        self._streams.discard(stream)

    async def close(self) -> None:
        """End every stream and close the connection."""
        for stream in tuple(self._streams):
            await stream.close()
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


class AsyncTrackStream:
    """A session that is being followed: an asynchronous iterator of snapshots.

    It ends when the session ends; then :attr:`end` says how. Close it when you leave earlier.
    """

    def __init__(
        self,
        client: AsyncClient,
        stub: tracking_pb2_grpc.TrackingServiceAsyncStub,
        follower: Follower,
    ) -> None:
        """Prepare; it opens when it is entered or iterated."""
        self._client = client
        self._stub = stub
        self._follower = follower
        self._patience: Patience | None = None
        self._connection: _Connection | None = None
        self._closed = False
        self._given: Snapshot | None = None
        self.reconnects = 0
        self.outage: TipoffError | None = None

    @property
    def header(self) -> Header:
        """The newest connection's header; the stream must have been opened."""
        assert self._follower.header is not None, "the stream has not been opened"
        return self._follower.header

    @property
    def end(self) -> End | None:
        """How the session ended; None before."""
        return self._follower.end

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The newest heartbeat; None before the first."""
        return self._follower.heartbeat

    @property
    def availability(self) -> Availability | None:
        """Whether officials may rely on the stream now; see `tipoff.client.TrackStream`."""
        return self._follower.availability

    async def open(self) -> Header:
        """Connect and wait for the header, trying again as long as the options allow."""
        while self._connection is None and not self._closed:
            self._patience = self._patience or Patience(self._client.options)
            try:
                await self._connect(self._patience)
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                await self._pause(await self._hang_up(error))
            except BaseException:
                await self.close()
                raise
        return self.header

    async def _connect(self, patience: Patience) -> None:
        left_s = max(patience.left_s, 0.001)
        connection = _Connection(self._stub, self._follower, self._client.options)
        self._connection = connection
        connection.within_s = left_s
        async with asyncio.timeout(left_s):
            response = await connection.receive()
        if response is None:
            raise TimeoutError
        self._follower.receive(response)
        connection.opened = True
        patience.opened()
        self.outage = None

    async def _hang_up(self, error: grpc.aio.AioRpcError | TimeoutError) -> TipoffError:
        connection, self._connection = self._connection, None
        assert connection is not None
        await connection.close()
        if isinstance(error, grpc.aio.AioRpcError):
            return _translate(self._client.address, error)
        if connection.opened:
            return fallen_silent(self._client.address, self._follower.silence_s or 0.0)
        return no_answer(self._client.address, connection.within_s)

    async def _pause(self, error: TipoffError) -> None:
        assert self._patience is not None
        self.outage = error
        try:
            pause_s = self._patience.pause_s(error)
        except BaseException:
            await self.close()
            raise
        await asyncio.sleep(pause_s)

    def __aiter__(self) -> AsyncIterator[Snapshot]:
        return self

    async def __anext__(self) -> Snapshot:
        while (event := await self._advance()) is not None:
            if isinstance(event, Snapshot):
                return event
        raise StopAsyncIteration

    async def events(self) -> AsyncIterator[Snapshot | Heartbeat]:
        """Iterate over snapshots and heartbeats; see `tipoff.client.TrackStream.events`."""
        while (event := await self._advance()) is not None:
            yield event

    async def _advance(self) -> Snapshot | Heartbeat | None:
        """Return the next snapshot or heartbeat; None at the end."""
        self._use()
        if self._connection is None:
            await self.open()
        while not self._closed:
            try:
                event = await self._receive()
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                await self._resume(error)
                continue
            except BaseException:
                await self.close()
                raise
            if isinstance(event, Snapshot):
                assert self._patience is not None
                self._patience.progressed()
                self._given = event
            if event is not None:
                return event
        return None

    def _use(self) -> None:
        # The caller comes back for the next one, so it has done with the one before.
        if self._given is not None:
            self._follower.used(self._given)
            self._given = None
            if self._connection is not None:
                self._connection.used_one()

    async def _receive(self) -> Snapshot | Heartbeat | None:
        assert self._connection is not None
        async with asyncio.timeout(self._follower.silence_s):
            response = await self._connection.receive()
        if response is None:
            await self.close()
            return None
        event = self._follower.receive(response)
        if self._follower.end is not None:
            self._connection.acknowledge_now()
        return event

    async def _resume(self, error: grpc.aio.AioRpcError | TimeoutError) -> None:
        translated = await self._hang_up(error)
        if self._closed or self._follower.end is not None:
            # It was closed meanwhile, or everything had come before the connection broke.
            await self.close()
            return
        await self._pause(translated)
        self.reconnects += 1
        await self.open()

    async def close(self) -> None:
        """Follow no longer."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
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


class _Connection:
    """One call of StreamTracks, with the task that acknowledges."""

    def __init__(
        self,
        stub: tracking_pb2_grpc.TrackingServiceAsyncStub,
        follower: Follower,
        options: ClientOptions,
    ) -> None:
        self._follower = follower
        self._every_s = options.acknowledge_every_s
        self._wake = asyncio.Event()
        self._used = 0
        self.within_s = 0.0
        self.opened = False
        self._call: Call = stub.StreamTracks()
        self._task = asyncio.create_task(self._acknowledge())

    async def _acknowledge(self) -> None:
        # A call that has ended says so to the reader; here there is nothing left to say.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._call.write(self._follower.subscribe())
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._wake.wait()
                self._wake.clear()
                await self._call.write(self._follower.acknowledge())

    async def receive(self) -> pb.StreamTracksResponse | None:
        """Return the next message; None at the stream's proper end."""
        response = await self._call.read()
        return response if isinstance(response, pb.StreamTracksResponse) else None

    def used_one(self) -> None:
        """Count a snapshot; after many of them an acknowledgement is due at once."""
        self._used += 1
        if self._used >= ACKNOWLEDGE_AT_ONCE:
            self.acknowledge_now()

    def acknowledge_now(self) -> None:
        """Do not wait until the next acknowledgement is due."""
        self._used = 0
        self._wake.set()

    async def close(self) -> None:
        """End the call and its task."""
        self._task.cancel()
        self._call.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _translate(address: str, error: grpc.aio.AioRpcError) -> TipoffError:
    trailers = [(str(key), value) for key, value in error.trailing_metadata() or ()]
    code = error.code()
    if error.details() == BROKEN_WRITE:
        code = grpc.StatusCode.UNAVAILABLE
    return error_from(address, code, error.details(), trailers)
