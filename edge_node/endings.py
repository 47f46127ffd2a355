"""How calls end before their time: the status, why, and where a stream may be resumed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from edge_node.encoding import STREAM_KINDS, plain
from tipoff.stream_errors import OverloadedError
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from edge_node.outlet import Stream
    from tipoff.errors import TipoffError

    Context = grpc.aio.ServicerContext[Any, Any]
    Trailer = tuple[str, str | bytes]
    Trailers = Sequence[Trailer]

ABORT_WITHIN_S = 2.0
"""How long the end of a stream may take on the wire, for a client that reads nothing."""
SAY_REFUSALS_EVERY_S = 1.0
"""How often refusals are logged, all together."""


def reason(error: TipoffError) -> str:
    """Give an error's reason in one word, for logs and trailers."""
    return str(error.ids.get("reason", error.status))


async def abort(context: Context, error: TipoffError, stream: Stream | None = None) -> None:
    """End a call with an error, and a stream with the place to resume from, where it may be."""
    trailers: list[Trailer] = [("tipoff-reason", reason(error))]
    if stream is not None and error.retryable:
        description = stream.outlet.hub.description
        epoch, sequence = stream.subscription.resume
        trailers += [
            _named("tipoff-resume-session", description.session),
            ("tipoff-resume-kind", pb.StreamKind.Name(STREAM_KINDS[description.kind])),
            ("tipoff-resume-epoch", str(epoch)),
            ("tipoff-resume-sequence", str(sequence)),
        ]
    await _abort(context, grpc.StatusCode[error.status], error.message, trailers)


def _named(key: str, name: str) -> Trailer:
    """Give a name as a trailer. With an illegal one gRPC would not send the status, either."""
    if name.isascii() and name.isprintable():
        return key, name
    return f"{key}-bin", name.encode()


async def _abort(context: Context, code: grpc.StatusCode, message: str, trailers: Trailers) -> None:
    await _bounded(lambda: context.abort(code, plain(message), tuple(trailers)))


async def _bounded(call: Callable[[], Awaitable[Any]]) -> None:
    try:
        async with asyncio.timeout(ABORT_WITHIN_S):
            await call()
    except TimeoutError:
        # The client reads nothing and its window is full: gRPC keeps the end for it, we do not.
        return


class Refusal:
    """Turns away whoever comes when all places are taken.

    A crowd comes when there is the most to do, so nothing is made for it: the answer is made once,
    and the log tells of many at a time.

    Args:
        max_subscribers: How many places there are.
    """

    def __init__(self, max_subscribers: int) -> None:
        self.error = OverloadedError(
            f"{max_subscribers} subscribers are all that this server takes: try later or elsewhere",
            reason="TOO_MANY_SUBSCRIBERS",
            max_subscribers=max_subscribers,
        )
        self._code = grpc.StatusCode[self.error.status]
        self._trailers = (("tipoff-reason", reason(self.error)),)
        self._refused, self._said_s = 0, 0.0
        self._log = structlog.get_logger(__name__)

    async def answer(self, _requests: object, context: Context) -> None:
        """Refuse a call."""
        self._refused += 1
        # Headers and trailers alone: there is no window that could be full.
        await context.abort(self._code, self.error.message, self._trailers)

    def say(self) -> None:
        """Log how many were refused, once in a while."""
        now_s = time.monotonic()
        if self._refused and now_s - self._said_s >= SAY_REFUSALS_EVERY_S:
            self._log.info("subscribers refused", refused=self._refused, **self.error.ids)
            self._refused, self._said_s = 0, now_s
