"""The client for programs that block; :mod:`tipoff.aio` is the one for asyncio.

    with tipoff.Client("127.0.0.1:7400") as client:
        for snapshot in client.stream_tracks(from_sequence=1):
            print(snapshot.time_ns, snapshot.ids, snapshot.joints_m)

A stream acknowledges by itself, and resumes by itself when its connection breaks or falls silent,
over restarts of the server too: what has been given is not given again, and what cannot be had any
more stands in ``gap_before``. Officials look at ``stream.availability``, or follow the heartbeats
between the snapshots as well:

    for event in stream.events():
        if not stream.availability.available: ...
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Protocol

import grpc

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
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from tipoff.errors import TipoffError


CHANNEL_OPTIONS = (
    # A connection is made anew soon; how often is for our own back-off to say.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
    # A stream that falls silent is left by its own rule; the dead connection below it goes within
    # 7 s, so that the next try has a new one.
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),
)
"""How every channel of ours behaves."""


class Client:
    """A connection to a server of tracks. Threads may share it; close it, or use ``with``."""

    def __init__(self, address: str, options: ClientOptions | None = None) -> None:
        """Prepare to talk to ``address`` (host:port); nothing is sent yet."""
        self.address = address
        self.options = options or ClientOptions()
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = tracking_pb2_grpc.TrackingServiceStub(self._channel)
        self._lock = threading.Lock()
        self._streams: set[TrackStream] = set()

    def describe(self, session: str | None = None) -> Header:
        """Return the header that a stream would open with now.

        Args:
            session: Session to describe; None: the only one there.

        Raises:
            TipoffError: The server does not answer in time, or has no such session.
        """
        request = pb.GetSessionRequest(session=session or "")
        try:
            reply = self._stub.GetSession(request, timeout=self.options.call_timeout_s)
        except grpc.RpcError as error:
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
    ) -> TrackStream:
        """Follow a session.

        Args:
            session: Session to follow; None: the only one there.
            from_sequence: First snapshot wanted; 0: the newest, and on from there.
            max_rate_hz: Highest rate wanted, per second of ``time_ns``; None: every snapshot.
            from_epoch: Epoch of ``from_sequence``; 0: the present one. What is held of an older one
                comes first, then the epochs behind it.
            kind: ``live``, or ``smoothed``: the same times later and more accurate.

        Returns:
            An open stream, whose header has come.

        Raises:
            NotFoundError: No such session there, or it has no stream of that kind.
            SequenceOutOfRangeError: The sequence lies beyond the next one to come.
            UnavailableError: No answer within ``connect_timeout_s``.
        """
        follower = Follower(session, from_sequence, max_rate_hz, from_epoch, kind)
        stream = TrackStream(self, self._stub, follower)
        with self._lock:
            self._streams.add(stream)
        try:
            stream.open()
        except BaseException:
            stream.close()
            raise
        return stream

    def _forget(self, stream: TrackStream) -> None:
        with self._lock:
            self._streams.discard(stream)

    def close(self) -> None:
        """End every stream and close the connection."""
        with self._lock:
            streams = tuple(self._streams)
        for stream in streams:
            stream.close()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class TrackStream:
    """A session that is being followed: an iterator of snapshots. One thread iterates.

    It ends when the session ends; then :attr:`end` says how. Close it when you leave earlier.
    """

    def __init__(
        self, client: Client, stub: tracking_pb2_grpc.TrackingServiceStub, follower: Follower
    ) -> None:
        """Prepare; :meth:`Client.stream_tracks` opens it."""
        self._client = client
        self._stub = stub
        self._follower = follower
        self._patience = Patience(client.options)
        self._connection: _Connection | None = None
        self._closed = threading.Event()
        self._given: Snapshot | None = None
        self.reconnects = 0
        self.outage: TipoffError | None = None

    @property
    def header(self) -> Header:
        """The newest connection's header."""
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
        """Whether officials may rely on the stream now; None where nobody decides it.

        By what the server said last, made worse by the time since, so that it is right also while
        the connection is broken. Any thread may ask.
        """
        return self._follower.availability

    def open(self) -> None:
        """Connect and wait for the header, trying again as long as the options allow."""
        while not self._closed.is_set():
            try:
                self._connect()
                return
            except grpc.RpcError as error:
                self._pause(self._hang_up(error))

    def _connect(self) -> None:
        connection = _Connection(self._stub, self._follower, self._client.options)
        self._connection = connection
        with connection.opening_within(self._patience.left_s):
            self._follower.receive(next(connection.responses))
        self._patience.opened()
        self.outage = None

    def _hang_up(self, error: grpc.RpcError) -> TipoffError:
        connection, self._connection = self._connection, None
        if connection is None:
            return _translate(self._client.address, error)
        connection.close()
        if connection.timed_out:
            return no_answer(self._client.address, connection.within_s)
        if connection.silent_s:
            return fallen_silent(self._client.address, connection.silent_s)
        return _translate(self._client.address, error)

    def _pause(self, error: TipoffError) -> None:
        if self._closed.is_set():
            return
        self.outage = error
        self._closed.wait(self._patience.pause_s(error))

    def __iter__(self) -> Iterator[Snapshot]:
        return self

    def __next__(self) -> Snapshot:
        while (event := self._advance()) is not None:
            if isinstance(event, Snapshot):
                return event
        raise StopIteration

    def events(self) -> Iterator[Snapshot | Heartbeat]:
        """Iterate over snapshots and heartbeats, as they come.

        A heartbeat comes at least every ``header.heartbeat_every_s``, and at once when the
        availability changes while no snapshot comes.
        """
        while (event := self._advance()) is not None:
            yield event

    def _advance(self) -> Snapshot | Heartbeat | None:
        """Return the next snapshot or heartbeat; None at the end."""
        self._use()
        while not self._closed.is_set():
            try:
                event = self._receive()
            except grpc.RpcError as error:
                self._resume(error)
                continue
            except BaseException:
                self.close()
                raise
            if isinstance(event, Snapshot):
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

    def _receive(self) -> Snapshot | Heartbeat | None:
        assert self._connection is not None
        try:
            response = self._connection.receive()
        except StopIteration:
            self.close()
            return None
        event = self._follower.receive(response)
        if self._follower.end is not None:
            self._connection.acknowledge_now()
        return event

    def _resume(self, error: grpc.RpcError) -> None:
        translated = self._hang_up(error)
        if self._closed.is_set() or self._follower.end is not None:
            # It was closed meanwhile, or everything had come before the connection broke.
            self.close()
            return
        try:
            self._pause(translated)
            self.reconnects += 1
            self.open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Follow no longer. Any thread may call it; it wakes the one that waits."""
        self._closed.set()
        connection = self._connection
        if connection is not None:
            connection.close()
        self._client._forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Call(Protocol):
    """What is used of a call."""

    def __next__(self) -> pb.StreamTracksResponse: ...

    def cancel(self) -> object: ...


class _Connection:
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
        self.responses: _Call = stub.StreamTracks(self._requests())

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


def _translate(address: str, error: grpc.RpcError) -> TipoffError:
    trailers = [(item.key, item.value) for item in error.trailing_metadata() or ()]
    return error_from(address, error.code(), error.details(), trailers)
