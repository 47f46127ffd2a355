"""What the streams of both clients have in common; how they wait is their own.

No network in here: :mod:`tipoff.track_stream` blocks, :mod:`tipoff.aio` awaits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tipoff.errors import ConflictError, TipoffError
from tipoff.follow import ACKNOWLEDGE_AT_ONCE, SHORTEST_TRY_S, ClientOptions, Follower, Patience
from tipoff.snapshot import Availability, End, Header, Heartbeat, Snapshot

if TYPE_CHECKING:
    from tipoff.v1 import tracking_pb2 as pb


class FollowedSession:
    """A session that is being followed: what has come of it, and how far its caller is."""

    def __init__(self, address: str, options: ClientOptions, follower: Follower) -> None:
        """Know nothing yet."""
        self._address = address
        self._options = options
        self._follower = follower
        self._patience: Patience | None = None
        self._given: Snapshot | None = None
        self.reconnects = 0
        """How often it was resumed."""
        self.outage: TipoffError | None = None
        """Why there is no connection now; None while there is one."""

    @property
    def header(self) -> Header:
        """The newest connection's header.

        Raises:
            ConflictError: The stream has never been open.
        """
        if self._follower.header is None:
            raise ConflictError(
                f"{self._address}: the stream has no header: it was closed, or not opened yet",
                address=self._address,
            )
        return self._follower.header

    @property
    def end(self) -> End | None:
        """How the session ended; None before, and where the stream was closed before."""
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

    def _wait_patiently(self) -> Patience:
        """Begin to count the time for connecting, if that has not begun."""
        self._patience = self._patience or Patience(self._options)
        return self._patience

    @property
    def _left_s(self) -> float:
        """Time that is left for the server to answer."""
        return max(self._wait_patiently().left_s, SHORTEST_TRY_S)

    def _opened(self, header: pb.StreamTracksResponse) -> None:
        again = self._follower.header is not None
        self._follower.receive(header)
        self._wait_patiently().opened()
        self.reconnects += again
        self.outage = None

    def _pause_s(self, error: TipoffError) -> float:
        """Say how long to wait before the next try, or raise ``error`` if there is none."""
        self.outage = error
        return self._wait_patiently().pause_s(error)

    def _take(self, response: pb.StreamTracksResponse) -> Snapshot | Heartbeat | None:
        event = self._follower.receive(response)
        if isinstance(event, Snapshot):
            self._wait_patiently().progressed()
            self._given = event
        return event

    def _use(self, connection: Acknowledging | None) -> None:
        # The caller comes back for the next one, so it has done with the one before.
        if self._given is not None:
            self._follower.used(self._given)
            self._given = None
            if connection is not None:
                connection.used_one()


class Wakes(Protocol):
    """A threading.Event or an asyncio.Event."""

    def set(self) -> None:
        """Wake who waits."""


class Acknowledging:
    """When the next acknowledgement is due: with its time, or after many snapshots."""

    def __init__(self, wake: Wakes) -> None:
        """Wake by ``wake`` whoever acknowledges."""
        self._wakes = wake
        self._used = 0

    def used_one(self) -> None:
        """Count a snapshot; after many of them an acknowledgement is due at once."""
        self._used += 1
        if self._used >= ACKNOWLEDGE_AT_ONCE:
            self.acknowledge_now()

    def acknowledge_now(self) -> None:
        """Do not wait until the next acknowledgement is due."""
        self._used = 0
        self._wakes.set()
