"""One call of StreamTracks, for programs that block."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Protocol

from tipoff.follow import ACKNOWLEDGE_AT_ONCE, ClientOptions, Follower
from tipoff.status import error_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from tipoff.errors import TipoffError
    from tipoff.v1 import tracking_pb2 as pb
    from tipoff.v1 import tracking_pb2_grpc


class Call(Protocol):
    """What is used of a call."""

    def __next__(self) -> pb.StreamTracksResponse: ...

    def cancel(self) -> object:
        """End it."""


class Connection:
    """One call of StreamTracks. gRPC draws its requests, the acknowledgements, in a thread."""

    def __init__(
        self,
        stub: tracking_pb2_grpc.TrackingServiceStub,
        follower: Follower,
        options: ClientOptions,
    ) -> None:
        self._follower = follower
        self._every_s = options.acknowledge_every_s
        self._wake = threading.Event()
        self._closed = False
        self._used = 0
        self._waiting_since_s: float | None = None
        self.timed_out = False
        self.within_s = 0.0
        self.silent_s = 0.0
        self.responses: Call = stub.StreamTracks(self._requests())

    def _requests(self) -> Iterator[pb.StreamTracksRequest]:
        yield self._follower.subscribe()
        while not self._closed:
            self._wake.wait(self._every_s)
            self._wake.clear()
            self._check_silence()
            if not self._closed:
                yield self._follower.acknowledge()

    def _check_silence(self) -> None:
        """Cancel the call where the caller waits and nothing has come for too long."""
        since_s, limit_s = self._waiting_since_s, self._follower.silence_s
        if since_s is not None and limit_s is not None and time.monotonic() - since_s > limit_s:
            self.silent_s = limit_s
            self.responses.cancel()

    def receive(self) -> pb.StreamTracksResponse:
        """Return the next message; StopIteration at the stream's proper end."""
        self._waiting_since_s = time.monotonic()
        try:
            return next(self.responses)
        finally:
            self._waiting_since_s = None

    @contextlib.contextmanager
    def opening_within(self, within_s: float) -> Iterator[None]:
        """Cancel the call unless it has answered in time."""
        self.within_s = max(within_s, 0.001)
        timer = threading.Timer(self.within_s, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _give_up(self) -> None:
        self.timed_out = True
        self.responses.cancel()

    def used_one(self) -> None:
        """Count a snapshot; after many of them an acknowledgement is due at once."""
        self._used += 1
        if self._used >= ACKNOWLEDGE_AT_ONCE:
            self.acknowledge_now()

    def acknowledge_now(self) -> None:
        """Do not wait until the next acknowledgement is due."""
        self._used = 0
        self._wake.set()

    def close(self) -> None:
        """End the call and its thread."""
        self._closed = True
        self._wake.set()
        self.responses.cancel()


def translate(address: str, error: grpc.RpcError) -> TipoffError:
    """Give gRPC's error as one of ours."""
    trailers = [(item.key, item.value) for item in error.trailing_metadata() or ()]
    return error_from(address, error.code(), error.details(), trailers)
