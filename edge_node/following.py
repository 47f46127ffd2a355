"""One stream, from the header to its end.

Three coroutines: one sends, one hears acknowledgements, one looks now and then whether the client
still does its part. The first that ends decides how the stream ends.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import grpc
import structlog

from edge_node.requests import read_request
from edge_node.utc import utc_ns
from tipoff.errors import DeadlineError, InvalidInputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_node.description import StreamKind
    from edge_node.limits import ServiceLimits
    from edge_node.outlet import Stream

    Context = grpc.aio.ServicerContext[object, bytes]
    SentHook = Callable[[StreamKind, int, str, int], None]

CHECK_EVERY_S = 0.25
"""How often a stream is checked for a client that stalls."""


class Draining:
    """Whether the server shuts down, and until when streams may take what is left."""

    def __init__(self) -> None:
        self.by_s: float | None = None
        """On `time.monotonic`; None: it does not."""

    def begin(self, within_s: float) -> None:
        """Shut down."""
        self.by_s = time.monotonic() + within_s

    def check(self, *, asked_now: bool) -> None:
        """Refuse to go on.

        Args:
            asked_now: Whether there is nothing left to take.

        Raises:
            UnavailableError: The server shuts down, and the time is over or nothing is left.
        """
        by_s = self.by_s
        if by_s is not None and (asked_now or time.monotonic() > by_s):
            raise UnavailableError(
                "the server is shutting down: resume elsewhere or later", reason="SHUTTING_DOWN"
            )


class Follower:
    """Follows hubs for clients.

    Args:
        limits: Bounds.
        draining: Whether the server shuts down.
        on_sent: Told whenever a stream has sent snapshots; see
            :class:`edge_node.service.TrackingService`.
    """

    def __init__(self, limits: ServiceLimits, draining: Draining, on_sent: SentHook | None) -> None:
        self._limits, self._draining, self._on_sent = limits, draining, on_sent
        self._log = structlog.get_logger(__name__)

    async def follow(self, stream: Stream, context: Context) -> None:
        """Follow until the client or the session ends.

        Raises:
            TipoffError: The stream ends before its time.
        """
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

    async def _send(self, stream: Stream, context: Context) -> None:
        subscription, hub = stream.subscription, stream.outlet.hub
        while True:
            stream.wake.clear()
            # Asked before taking: what is written in between must not be missed.
            ended = hub.ended
            messages = subscription.take()
            began_ns = utc_ns() if self._on_sent is not None else 0
            for message in messages:
                await context.write(message)
            if messages and self._on_sent is not None:
                for sequence in subscription.taken:
                    self._on_sent(hub.description.kind, sequence, context.peer(), began_ns)
            heartbeat, stream.heartbeat = stream.heartbeat, b""
            if heartbeat:
                await context.write(heartbeat)
            if not messages:
                # Asked again: while the heartbeat was written the end may have come, and the
                # shutting down behind it.
                ended = hub.ended
                if subscription.caught_up and ended is not None:
                    return await self._finish(stream, context, ended.message)
                self._draining.check(asked_now=subscription.caught_up)
            elif ended is not None or self._draining.by_s is not None:
                continue
            # Whatever came while this was written has set it, so that it does not wait.
            await stream.wake.wait()

    async def _finish(self, stream: Stream, context: Context, end: bytes) -> None:
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

    async def _hear(self, stream: Stream, context: Context) -> None:
        while True:
            request = await read_request(context)
            if request is None:
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

    async def _guard(self, stream: Stream) -> None:
        within_s = self._limits.acknowledge_within_s
        every_s = min(CHECK_EVERY_S, within_s / 4)
        while time.monotonic() - stream.heard_s < within_s:
            stream.subscription.check()
            self._draining.check(asked_now=False)
            await asyncio.sleep(every_s)
        raise DeadlineError(
            f"no Acknowledge for {within_s:g} s: send one every second, also when nothing is new",
            reason="NOT_ACKNOWLEDGED",
            acknowledged=stream.subscription.acknowledged[1],
        )
