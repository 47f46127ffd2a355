"""One call of StreamTracks, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc

from tipoff.follow import ClientOptions, Follower, ended_unopened, fallen_silent, no_answer
from tipoff.followed import Acknowledging
from tipoff.status import translate
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    import weakref

    from tipoff.errors import TipoffError
    from tipoff.v1 import tracking_pb2_grpc

    Call = grpc.aio.StreamStreamCall[pb.StreamTracksRequest, pb.StreamTracksResponse]


class AsyncConnection(Acknowledging):
    """One call of StreamTracks, with the task that acknowledges and the one that reads.

    grpc.aio ends a call whose reading is cancelled. So a task of its own reads, and whoever waits
    for it may be cancelled or run out of time: the message is there for the next who asks. The task
    that acknowledges also ends the call of a stream that nobody has any more.
    """

    def __init__(
        self,
        address: str,
        stub: tracking_pb2_grpc.TrackingServiceAsyncStub,
        follower: Follower,
        options: ClientOptions,
        owner: weakref.ref[object],
    ) -> None:
        """Call, and ask for what the follower wants next; ``owner`` is whose call it is."""
        self._wake = asyncio.Event()
        super().__init__(self._wake)
        self._address = address
        self._follower = follower
        self._every_s = options.acknowledge_every_s
        self._owner = owner
        self._reading: asyncio.Task[object] | None = None
        self._waited_s = 0.0
        self._open_within_s: float | None = None
        self.opened = False
        self._call: Call = stub.StreamTracks()
        self._acknowledging = asyncio.create_task(self._acknowledge(follower.subscribe()))

    async def _acknowledge(self, subscribe: pb.StreamTracksRequest) -> None:
        # A call that has ended says so to the reader; here there is nothing left to say.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._call.write(subscribe)
            while self._owner() is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._wake.wait()
                self._wake.clear()
                await self._call.write(self._follower.acknowledge())
        if self._owner() is None:
            self._call.cancel()

    async def open(self, within_s: float) -> pb.StreamTracksResponse:
        """Return the first message.

        Raises:
            TipoffError: There is none within ``within_s``.
        """
        # Who asks often, and each time for a short while, waits no longer than who asks once.
        limit_s = self._open_within_s = self._open_within_s or within_s
        left_s = max(limit_s - self._waited_s, 0.0)
        response = await self._next(left_s, no_answer(self._address, limit_s))
        if response is None:
            raise ended_unopened(self._address)
        self.opened = True
        return response

    async def receive(self) -> pb.StreamTracksResponse | None:
        """Return the next message; None at the stream's proper end, and where it was closed.

        Raises:
            TipoffError: The call has broken, or nothing has come for too long.
        """
        silence_s = self._follower.silence_s
        if silence_s is None:
            return await self._next(None, None)
        # Who asks often, and each time for a short while, has waited as long.
        left_s = max(silence_s - self._waited_s, 0.0)
        return await self._next(left_s, fallen_silent(self._address, silence_s))

    async def _next(
        self, within_s: float | None, too_late: TipoffError | None
    ) -> pb.StreamTracksResponse | None:
        if self._reading is None:
            self._reading = asyncio.create_task(self._call.read())
            self._reading.add_done_callback(_see_error)
        reading = self._reading
        await self._wait_for(reading, within_s)
        if not reading.done() and too_late is not None:
            raise too_late
        self._reading, self._waited_s = None, 0.0
        if reading.cancelled():
            return None
        try:
            response = reading.result()
        except grpc.aio.AioRpcError as error:
            raise translate(self._address, error) from None
        return response if isinstance(response, pb.StreamTracksResponse) else None

    async def _wait_for(self, reading: asyncio.Task[object], within_s: float | None) -> None:
        """Wait for the reading without taking it along when the wait is cancelled."""
        if reading.done():
            return
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            await asyncio.wait((reading,), timeout=within_s)
        finally:
            self._waited_s += loop.time() - began_s

    async def close(self) -> None:
        """End the call and its tasks."""
        self._acknowledging.cancel()
        self._call.cancel()
        ending = (self._acknowledging, *((self._reading,) if self._reading else ()))
        await asyncio.gather(*ending, return_exceptions=True)


def _see_error(reading: asyncio.Task[object]) -> None:
    # Where nobody asks any more, asyncio would complain of an error that nobody saw.
    if not reading.cancelled():
        reading.exception()
