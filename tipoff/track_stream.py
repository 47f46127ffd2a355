"""A session that is being followed, for programs that block."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from tipoff.connection import Connection
from tipoff.errors import TipoffError
from tipoff.followed import FollowedSession
from tipoff.snapshot import Heartbeat, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from tipoff.client import Client
    from tipoff.follow import Follower
    from tipoff.v1 import tracking_pb2 as pb
    from tipoff.v1 import tracking_pb2_grpc


class TrackStream(FollowedSession):
    """A session that is being followed: an iterator of snapshots.

    It ends when the session ends; then :attr:`end` says how. Close it when you leave earlier. An
    interrupt (Ctrl-C) leaves it where it was, and the next call goes on there. Threads that iterate
    over one stream share its snapshots: each goes to one of them.
    """

    def __init__(
        self, client: Client, stub: tracking_pb2_grpc.TrackingServiceStub, follower: Follower
    ) -> None:
        """Prepare; :meth:`Client.stream_tracks` opens it."""
        super().__init__(client.address, client.options, follower)
        self._client = client
        self._stub = stub
        self._connection: Connection | None = None
        self._closed = threading.Event()
        self._iterating = threading.Lock()

    def open(self) -> None:
        """Connect and wait for the header, trying again as long as the options allow."""
        while self._connection is None and not self._closed.is_set():
            try:
                header = self._connect().open(self._left_s)
            except TipoffError as error:
                self._hang_up()
                self._pause(error)
            else:
                self._opened(header)

    def _connect(self) -> Connection:
        self._connection = connection = Connection(
            self._address, self._stub, self._follower, self._options, weakref.ref(self)
        )
        if self._closed.is_set():
            # Whoever closed it in the meantime did not see this connection.
            connection.close()
        return connection

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _pause(self, error: TipoffError) -> None:
        if not self._closed.is_set():
            self._closed.wait(self._pause_s(error))

    def __iter__(self) -> Iterator[Snapshot]:
        return self

    def __next__(self) -> Snapshot:
        while (event := self._advance()) is not None:
            if isinstance(event, Snapshot):
                return event
        raise StopIteration

    def events(self) -> Iterator[Snapshot | Heartbeat]:
        """Iterate over snapshots and heartbeats, in the order in which they come.

        A heartbeat comes at least every ``header.heartbeat_every_s``, and at once when the
        availability changes while no snapshot comes.
        """
        # No generator: that would be over for good after an interrupt.
        return iter(self._advance, None)

    def _advance(self) -> Snapshot | Heartbeat | None:
        """Return the next snapshot or heartbeat; None at the end."""
        with self._iterating:
            self._use(self._connection)
            try:
                while (response := self._receive()) is not None:
                    event = self._take(response)
                    if self.end is not None and self._connection is not None:
                        self._connection.acknowledge_now()
                    if event is not None:
                        return event
            except Exception:
                self.close()
                raise
            except BaseException:
                # Interrupted: gRPC bears no second wait for what the first one waited for.
                self._hang_up()
                raise
            self.close()
            return None

    def _receive(self) -> pb.StreamTracksResponse | None:
        """Return the next message, over connections that break; None at the end."""
        while not self._closed.is_set():
            self.open()
            if self._connection is None:
                break
            try:
                return self._connection.receive()
            except TipoffError as error:
                self._hang_up()
                if self.end is not None:
                    # Everything had come before the connection broke.
                    break
                self._pause(error)
        return None

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
