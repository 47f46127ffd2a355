"""Following a session over connections that come and go.

What to ask for, what to keep, how long to go on trying. No network in here; :mod:`tipoff.client`
and :mod:`tipoff.aio` drive it.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tipoff.errors import (
    ConflictError,
    DeadlineError,
    InternalError,
    InvalidInputError,
    TipoffError,
    UnavailableError,
)
from tipoff.reading import (
    read_end,
    read_gap,
    read_header,
    read_heartbeat,
    read_skipped,
    read_snapshot,
)
from tipoff.snapshot import Availability, End, Gap, Header, Heartbeat, Snapshot
from tipoff.stream_errors import SessionFailedError
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

STEADY_AFTER_S = 5.0
"""A connection that held so long was a good one: an outage after it is a new one."""
SHORTEST_TRY_S = 0.1
"""No try is given less: it would say that time was short, and not what is wrong."""
ACKNOWLEDGE_AT_ONCE = 64
"""Snapshots after which an acknowledgement does not wait for its time."""
SILENT_BEATS = 3
"""Heartbeats that may be missing before a connection counts as dead."""
KINDS = {"live": pb.STREAM_KIND_LIVE, "smoothed": pb.STREAM_KIND_SMOOTHED}
"""The streams of a session, by what a caller calls them."""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How patient a client is."""

    connect_timeout_s: float = 10.0
    """How long the first answer may take, tries included."""
    resume_timeout_s: float = 30.0
    """How long a broken stream is tried again before its error is raised."""
    call_timeout_s: float = 10.0
    """How long a call that is no stream may take."""
    backoff_initial_s: float = 0.1
    """Pause before the first new try; doubled for every further one."""
    backoff_max_s: float = 2.0
    """Longest pause between tries."""
    acknowledge_every_s: float = 0.5
    """How often the server is told how far we are; it wants to hear at least once a second."""

    def __post_init__(self) -> None:
        """Refuse times that are none."""
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise InvalidInputError(f"{name} must be positive, it is {getattr(self, name)}")


class Patience:
    """How long to go on trying, and when to try next."""

    def __init__(
        self,
        options: ClientOptions,
        clock_s: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Begin with the time for connecting."""
        self._options = options
        self._clock_s = clock_s
        self._jitter = jitter
        self._tries = 0
        self._limit_s = options.connect_timeout_s
        self._since_s: float | None = clock_s()
        self._opened_s: float | None = None

    @property
    def left_s(self) -> float:
        """Time that is left for getting an answer."""
        if self._since_s is None:
            return self._limit_s
        return self._since_s + self._limit_s - self._clock_s()

    def opened(self) -> None:
        """A stream has answered."""
        self._opened_s = self._clock_s()
        self._limit_s = self._options.resume_timeout_s

    def progressed(self) -> None:
        """Something new was received: the next outage is a new one."""
        self._tries = 0
        self._since_s = None

    def pause_s(self, error: TipoffError) -> float:
        """Return how long to wait before the next try, or raise ``error`` if there is none."""
        now_s = self._clock_s()
        if self._opened_s is not None and now_s - self._opened_s > STEADY_AFTER_S:
            self.progressed()
        self._opened_s = None
        if self._since_s is None:
            self._since_s = now_s
        left_s = self.left_s - SHORTEST_TRY_S
        if not error.retryable or left_s <= 0:
            raise error
        # The exponent is bounded too: a long outage must not make it overflow.
        pause = self._options.backoff_initial_s * 2.0 ** min(self._tries, 30)
        self._tries += 1
        return min(pause, self._options.backoff_max_s, left_s) * (0.5 + self._jitter() / 2)


class Standing:
    """Whether officials may rely on a stream now, by what was said last and how long ago that was.

    A heartbeat says how things stand now. A snapshot that was held says how they stood when it was
    made, so one that was made before the newest message that counted does not count. Heartbeats are
    not asked when they were made: a server's clock may be set back, and a server that takes over
    may have a clock that is behind. Where nothing comes any more, its age runs out by the rules of
    the header: nobody needs a live server to stop relying on it.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet."""
        self._clock_s = clock_s
        self._said: Availability | None = None
        self._sent_ns = -1
        self._heard_s = 0.0

    def hear(self, message: Snapshot | Heartbeat) -> None:
        """Take in what a message says."""
        if isinstance(message, Heartbeat) or message.sent_ns >= self._sent_ns:
            self._said, self._sent_ns = message.availability, message.sent_ns
            self._heard_s = self._clock_s()

    def now(self, header: Header | None) -> Availability | None:
        """Say how it stands now; None where nobody decides it."""
        rules = header.availability_rules if header else None
        # Taken once, and its time before it: while somebody asks, the stream's thread hears more.
        heard_s, said = self._heard_s, self._said
        if said is None or rules is None or said.state == "off":
            return said
        silent_s = self._clock_s() - heard_s
        age_s = (said.snapshot_age_s or 0.0) + silent_s
        older = replace(said, snapshot_age_s=age_s)
        if age_s > rules.off_after_s:
            detail = f"nothing was heard for {silent_s:.1f} s"
            return replace(older, state="off", failed=(), detail=detail)
        if age_s > rules.max_snapshot_age_s and "age" not in older.failed:
            detail = f"nothing was heard for {silent_s * 1e3:.0f} ms"
            return replace(older, state="degraded", failed=(*older.failed, "age"), detail=detail)
        return older


class Follower:
    """What has been received, so that the next connection goes on right behind it."""

    def __init__(
        self,
        session: str | None = None,
        from_sequence: int = 0,
        max_rate_hz: float | None = None,
        from_epoch: int = 0,
        kind: str = "live",
    ) -> None:
        """Ask for a session.

        Raises:
            InvalidInputError: A number is negative, the rate is not positive, or the kind is none.
        """
        if from_sequence < 0 or from_epoch < 0:
            raise InvalidInputError(
                f"from_sequence is {from_sequence} and from_epoch {from_epoch}: neither may be "
                "negative"
            )
        if max_rate_hz is not None and not 0 < max_rate_hz < float("inf"):
            raise InvalidInputError(
                f"max_rate_hz is {max_rate_hz}: it must be positive, or None for every snapshot"
            )
        if kind not in KINDS:
            raise InvalidInputError(f"kind is {kind!r}: a stream is one of {', '.join(KINDS)}")
        self._session = session or ""
        self._max_rate_hz = max_rate_hz or 0.0
        self._kind = KINDS[kind]
        self._next = from_sequence
        self._epoch = from_epoch
        self._gaps: list[Gap] = []
        self._standing = Standing()
        self.header: Header | None = None
        self.heartbeat: Heartbeat | None = None
        self.end: End | None = None
        self._given = (0, 0)
        self._opening = True

    @property
    def availability(self) -> Availability | None:
        """Whether officials may rely on the stream now; None where nobody decides it."""
        return self._standing.now(self.header)

    @property
    def silence_s(self) -> float | None:
        """How long a connection may be silent; None where the server does not say."""
        every_s = self.header.heartbeat_every_s if self.header else 0.0
        return SILENT_BEATS * every_s if every_s > 0 else None

    def subscribe(self) -> pb.StreamTracksRequest:
        """Return the first message of the next connection.

        What belongs to a connection begins anew: what was acknowledged in the last one was never
        sent in this one, and a gap before which it broke is told again.
        """
        self._opening = True
        self._given = (0, 0)
        self._gaps.clear()
        return pb.StreamTracksRequest(
            subscribe=pb.Subscribe(
                session=self._session,
                from_sequence=self._next,
                from_epoch=self._epoch if self._next else 0,
                max_rate_hz=self._max_rate_hz,
                kind=self._kind,
            )
        )

    def acknowledge(self) -> pb.StreamTracksRequest:
        """Return a message that says how far we are in the present connection."""
        epoch, sequence = self._given
        acknowledge = pb.Acknowledge(sequence=sequence, epoch=epoch)
        return pb.StreamTracksRequest(acknowledge=acknowledge)

    def receive(self, response: pb.StreamTracksResponse) -> Snapshot | Heartbeat | None:
        """Take a message; return it if it is a new snapshot or a heartbeat.

        Raises:
            InternalError: The server breaks the contract.
            SessionFailedError: The session ended because the tracking failed.
        """
        kind = response.WhichOneof("message")
        if self._opening and kind != "header":
            raise InternalError("the server's first message is no header")
        if kind == "header":
            self._open(read_header(response.header))
        elif kind == "snapshot":
            return self._take(response)
        elif kind == "gap":
            self._gaps.append(read_gap(response.gap, read_skipped(response)))
        elif kind == "heartbeat":
            self.heartbeat = read_heartbeat(response.heartbeat)
            self._standing.hear(self.heartbeat)
            return self.heartbeat
        elif kind == "end":
            self._finish(response)
        # Anything else came with a later version of the contract.
        return None

    def _open(self, header: Header) -> None:
        self._opening = False
        self.header = header
        # From now on it is this session, from this place on, whoever answers next.
        self._session = header.session
        if not self._next:
            self._next = max(header.newest_sequence, 1)
        if not self._epoch:
            self._epoch = header.epoch

    def _take(self, response: pb.StreamTracksResponse) -> Snapshot | None:
        assert self.header is not None
        message = response.snapshot
        if (message.epoch, message.sequence) < (self._epoch, self._next):
            return None
        joints = len(self.header.skeleton.joints)
        skipped = read_skipped(response)
        snapshot = read_snapshot(message, joints, skipped, tuple(self._gaps))
        self._gaps.clear()
        self._standing.hear(snapshot)
        self._epoch, self._next = snapshot.epoch, snapshot.sequence + 1
        return snapshot

    def used(self, snapshot: Snapshot) -> None:
        """Note that a snapshot has been used: only then it is acknowledged."""
        self._given = snapshot.key

    def _finish(self, response: pb.StreamTracksResponse) -> None:
        self.end = read_end(response.end, read_skipped(response), tuple(self._gaps))
        self._gaps.clear()
        if self.end.reason == "failed":
            raise SessionFailedError(
                f"session {self._session!r} failed: {self.end.detail}",
                session=self._session,
                last_sequence=self.end.last_sequence,
            )


def fallen_silent(address: str, silence_s: float) -> DeadlineError:
    """Return the error for a connection on which nothing comes any more, heartbeats neither."""
    return DeadlineError(
        f"{address}: nothing was heard for {silence_s:g} s, and a heartbeat is due every "
        f"{silence_s / SILENT_BEATS:g} s",
        address=address,
    )


def no_answer(address: str, within_s: float) -> DeadlineError:
    """Return the error for a server that takes a stream and does not answer."""
    return DeadlineError(
        f"{address}: connected, but the stream did not open within {within_s:.1f} s",
        address=address,
    )


def ended_unopened(address: str) -> UnavailableError:
    """Return the error for a server that ends a stream before its first message."""
    return UnavailableError(
        f"{address}: the stream ended before it had begun: is this a Tipoff server?",
        address=address,
    )


def client_closed(address: str) -> ConflictError:
    """Return the error for a call by a client that has been closed."""
    return ConflictError(
        f"{address}: the client has been closed: make another one", address=address
    )


def stream_closed() -> ConflictError:
    """Say that a stream is followed no longer."""
    return ConflictError("the stream was closed: ask the client for another one")
