"""One call of StreamTracks, for programs that block."""

from __future__ import annotations

import contextlib
import threading
from queue import Empty, SimpleQueue
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

READ_AHEAD = 16
"""Messages that are read before their caller asks for them, at most."""
READER, ENDER = "tipoff-reader", "tipoff-ender"
"""Names of threads."""
LONGEST_WAIT_S = 1e9
"""A longer one counts as this: 30 years, near the longest that a thread can wait."""


class Call(Protocol):
    """What is used of a call."""

    def __next__(self) -> pb.StreamTracksResponse: ...

    def cancel(self) -> object:
        """End it."""


class _Bell:
    """An event whose setting holds no lock that an interrupt could leave behind."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Wake who waits."""
        self._rung.put(None)

    def wait(self, timeout_s: float) -> None:
        """Wait until it is set, once for each time."""
        with contextlib.suppress(Empty):
            self._rung.get(timeout=min(timeout_s, LONGEST_WAIT_S))


class Connection(Acknowledging):
    """One call of StreamTracks, with a thread that calls and reads and gRPC's own, which sends.

    An interrupt (Ctrl-C) comes between any two steps of the main thread: within gRPC it left locks
    behind that everybody then waited for, for ever. So the caller's thread never enters gRPC; it
    waits where nothing is locked. The thread that sends the acknowledgements also ends the call of
    a stream that nobody has any more.
    """

    def __init__(
        self,
        address: str,
        stub: tracking_pb2_grpc.TrackingServiceStub,
        follower: Follower,
        options: ClientOptions,
        owner: weakref.ref[object],
    ) -> None:
        """Call, and ask for what the follower wants next; ``owner`` is whose call it is."""
        self._wake = _Bell()
        super().__init__(self._wake)
        self._address = address
        self._follower = follower
        self._every_s = options.acknowledge_every_s
        self._owner = owner
        self._closed = False
        self._came: SimpleQueue[pb.StreamTracksResponse | Exception | None] = SimpleQueue()
        self._room: SimpleQueue[bool] = SimpleQueue()
        self._call: Call | None = None
        for _ in range(READ_AHEAD):
            self._room.put(True)
        # Asked here, and not when a thread comes to it: by then another call may be open.
        arguments = (stub, follower.subscribe())
        try:
            threading.Thread(target=self._read, args=arguments, name=READER, daemon=True).start()
        except BaseException:
            self.close()
            raise

    def _requests(self, subscribe: pb.StreamTracksRequest) -> Iterator[pb.StreamTracksRequest]:
        yield subscribe
        while not self._closed:
            self._wake.wait(self._every_s)
            if self._owner() is None:
                self.close()
            if not self._closed:
                yield self._follower.acknowledge()

    def _read(
        self, stub: tracking_pb2_grpc.TrackingServiceStub, subscribe: pb.StreamTracksRequest
    ) -> None:
        """Call, and read while there is room, to the end or an error."""
        try:
            call: Call = stub.StreamTracks(self._requests(subscribe))
            self._call = call
            if self._closed:
                # Whoever closed it in the meantime did not see the call.
                call.cancel()
            while self._room.get():
                self._came.put(next(call))
        except StopIteration:
            self._came.put(None)
        except grpc.RpcError as error:
            self._came.put(translate(self._address, error))
        except ValueError:
            self._came.put(client_closed(self._address))
        except Exception as error:
            self._came.put(error)

    def open(self, within_s: float) -> pb.StreamTracksResponse:
        """Return the first message.

        Raises:
            ConflictError: The client has been closed.
            TipoffError: There is none within ``within_s``.
        """
        response = self._next(within_s, no_answer(self._address, within_s))
        if response is None:
            raise ended_unopened(self._address)
        return response

    def receive(self) -> pb.StreamTracksResponse | None:
        """Return the next message; None at the stream's proper end.

        Raises:
            TipoffError: The call has broken, or nothing has come for too long.
        """
        silence_s = self._follower.silence_s
        if silence_s is None:
            return self._next(None, None)
        return self._next(silence_s, fallen_silent(self._address, silence_s))

    def _next(
        self, within_s: float | None, too_late: TipoffError | None
    ) -> pb.StreamTracksResponse | None:
        timeout_s = None if within_s is None else min(within_s, LONGEST_WAIT_S)
        try:
            came = self._came.get(timeout=timeout_s)
        except Empty:
            assert too_late is not None
            raise too_late from None
        self._room.put(True)
        if isinstance(came, Exception):
            raise came
        return came

    def close(self) -> None:
        """End the call and its threads. Any thread may call it."""
        self._closed = True
        self._wake.set()
        self._room.put(False)
        call = self._call
        if call is None:
            return
        try:
            threading.Thread(target=call.cancel, name=ENDER, daemon=True).start()
        except RuntimeError:
            # The machine has no thread left.
            call.cancel()
