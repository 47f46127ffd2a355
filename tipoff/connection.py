"""One call of StreamTracks, for programs that block."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

import grpc

from tipoff.follow import (
    ClientOptions,
    Follower,
    client_closed,
    ended_unopened,
    fallen_silent,
    no_answer,
)
from tipoff.followed import Acknowledging
from tipoff.status import translate

if TYPE_CHECKING:
    import weakref
    from collections.abc import Iterator

    from tipoff.errors import TipoffError
    from tipoff.v1 import tracking_pb2 as pb
    from tipoff.v1 import tracking_pb2_grpc


class Call(Protocol):
    """What is used of a call."""

    def __next__(self) -> pb.StreamTracksResponse: ...

    def cancel(self) -> object:
        """End it."""


class Connection(Acknowledging):
    """One call of StreamTracks. gRPC draws its requests, the acknowledgements, in a thread.

    That thread also ends the call of a stream that nobody has any more.
    """

    def __init__(
        self,
        address: str,
        stub: tracking_pb2_grpc.TrackingServiceStub,
        follower: Follower,
        options: ClientOptions,
        owner: weakref.ref[object],
    ) -> None:
        """Call, and ask for what the follower wants next; ``owner`` is whose call it is.

        Raises:
            ConflictError: The client has been closed.
        """
        self._wake = threading.Event()
        super().__init__(self._wake)
        self._address = address
        self._follower = follower
        self._every_s = options.acknowledge_every_s
        self._owner = owner
        self._closed = False
        self._waiting_since_s: float | None = None
        self._gave_up: TipoffError | None = None
        # Asked here, and not when gRPC's thread comes to it: by then another call may be open.
        subscribe = follower.subscribe()
        try:
            self._responses: Call = stub.StreamTracks(self._requests(subscribe))
        except ValueError:
            raise client_closed(address) from None

    def _requests(self, subscribe: pb.StreamTracksRequest) -> Iterator[pb.StreamTracksRequest]:
        yield subscribe
        while not self._closed:
            self._wake.wait(self._every_s)
            self._wake.clear()
            if self._owner() is None:
                self.close()
            self._check_silence()
            if not self._closed:
                yield self._follower.acknowledge()

    def _check_silence(self) -> None:
        """Cancel the call where the caller waits and nothing has come for too long."""
        since_s, limit_s = self._waiting_since_s, self._follower.silence_s
        if since_s is not None and limit_s is not None and time.monotonic() - since_s > limit_s:
            self._give_up(fallen_silent(self._address, limit_s))

    def _give_up(self, error: TipoffError) -> None:
        self._gave_up = error
        self._responses.cancel()

    def open(self, within_s: float) -> pb.StreamTracksResponse:
        """Return the first message.

        Raises:
            TipoffError: There is none within ``within_s``.
        """
        error = no_answer(self._address, within_s)
        timer = threading.Timer(within_s, self._give_up, (error,))
        timer.daemon = True
        timer.start()
        try:
            response = self._next()
        finally:
            timer.cancel()
            timer.join()
        if response is None:
            raise ended_unopened(self._address)
        return response

    def receive(self) -> pb.StreamTracksResponse | None:
        """Return the next message; None at the stream's proper end.

        Raises:
            TipoffError: The call has broken, or nothing has come for too long.
        """
        self._waiting_since_s = time.monotonic()
        try:
            return self._next()
        finally:
            self._waiting_since_s = None

    def _next(self) -> pb.StreamTracksResponse | None:
        try:
            return next(self._responses)
        except StopIteration:
            return None
        except grpc.RpcError as error:
            raise self._gave_up or translate(self._address, error) from None

    def close(self) -> None:
        """End the call and its thread. Any thread may call it."""
        self._closed = True
        self._wake.set()
        self._responses.cancel()
