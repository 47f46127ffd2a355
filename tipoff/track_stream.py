"""A session that is being followed, for programs that block."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc

from tipoff.connection import Connection, translate
from tipoff.follow import Follower, Patience, fallen_silent, no_answer
from tipoff.snapshot import Availability, End, Header, Heartbeat, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from tipoff.client import Client
    from tipoff.errors import TipoffError
    from tipoff.v1 import tracking_pb2_grpc


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
        self._connection: Connection | None = None
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
        connection = Connection(self._stub, self._follower, self._client.options)
        self._connection = connection
        with connection.opening_within(self._patience.left_s):
            self._follower.receive(next(connection.responses))
        self._patience.opened()
        self.outage = None

    def _hang_up(self, error: grpc.RpcError) -> TipoffError:
        connection, self._connection = self._connection, None
        if connection is None:
            return translate(self._client.address, error)
        connection.close()
        if connection.timed_out:
            return no_answer(self._client.address, connection.within_s)
        if connection.silent_s:
            return fallen_silent(self._client.address, connection.silent_s)
        return translate(self._client.address, error)

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
