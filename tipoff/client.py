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

import threading
import weakref
from typing import TYPE_CHECKING

import grpc

from tipoff.address import check_address
from tipoff.follow import ClientOptions, Follower, client_closed
from tipoff.reading import read_header
from tipoff.status import translate
from tipoff.track_stream import TrackStream
from tipoff.v1 import tracking_pb2 as pb
from tipoff.v1 import tracking_pb2_grpc

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from tipoff.snapshot import Header

__all__ = ["CHANNEL_OPTIONS", "Client", "TrackStream"]

CHANNEL_OPTIONS = (
    # A connection is made anew soon; how often is for our own back-off to say.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
    # Despite its name it is how long a connection may take to be made, several round trips.
    ("grpc.min_reconnect_backoff_ms", 5_000),
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
        """Prepare to talk to ``address`` (host:port); nothing is sent yet.

        Raises:
            InvalidInputError: The address is none.
        """
        self.address = check_address(address)
        self.options = options or ClientOptions()
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = tracking_pb2_grpc.TrackingServiceStub(self._channel)
        self._lock = threading.Lock()
        self._closed = False
        # Whoever leaves a stream without closing it has it closed, and not kept.
        self._streams: weakref.WeakSet[TrackStream] = weakref.WeakSet()

    def describe(self, session: str | None = None) -> Header:
        """Return the header that a stream would open with now.

        Args:
            session: Session to describe; None: the only one there.

        Raises:
            TipoffError: The server does not answer in time, or has no such session.
            ConflictError: The client has been closed.
        """
        request = pb.GetSessionRequest(session=session or "")
        try:
            reply = self._stub.GetSession(request, timeout=self.options.call_timeout_s)
        except grpc.RpcError as error:
            raise translate(self.address, error) from None
        except ValueError:
            raise client_closed(self.address) from None
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
            ConflictError: The client has been closed.
        """
        follower = Follower(session, from_sequence, max_rate_hz, from_epoch, kind)
        stream = TrackStream(self, self._stub, follower)
        with self._lock:
            if self._closed:
                raise client_closed(self.address)
            self._streams.add(stream)
        try:
            stream.open()
            if self._closed:
                raise client_closed(self.address)
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
            self._closed = True
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
