"""What a camera's thread reads: an iterator of frames with the times at which they were taken."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from edge_node.cameras.address import SourceKind
from edge_node.cameras.errors import SourceError
from edge_node.frames import CaptureClock
from edge_node.utc import utc_ns

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    import av
    import numpy as np
    from numpy.typing import NDArray

    from edge_node.cameras.address import Address
    from edge_node.cameras.slot import Tally
    from edge_node.pictures import DecodedPicture

    Payload = DecodedPicture | NDArray[np.float32]

_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a camera's source is read."""

    loop: bool = False
    """Whether a file or a recording begins anew at its end, for rehearsals."""
    transport: str = "tcp"
    """How RTP comes: ``tcp`` (inside the RTSP connection) or ``udp``."""
    use_sender_clock: bool = True
    """Whether RTCP sender reports are believed where they agree with this machine's clock."""
    latency_ns: int = 0
    """Shortest way from exposure to arrival, where it is known; taken off times of arrival."""
    shift: bool = True
    """Whether a recording's times are moved to now; else they stay what they were."""
    open_timeout_s: float = 5.0
    """How long a camera may take to answer."""
    read_timeout_s: float = 2.0
    """How long a camera may be silent before it is asked anew."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.transport not in ("tcp", "udp"):
            raise SourceError(f"the transport {self.transport!r} is neither tcp nor udp")
        if self.latency_ns < 0 or not (self.open_timeout_s > 0 and self.read_timeout_s > 0):
            raise SourceError("a latency is 0 or more, and time limits are above 0")


@dataclass(frozen=True, slots=True)
class Taken:
    """A frame as its source gives it."""

    payload: Payload
    """The picture, or people as (N, J, 3)."""
    capture_time_ns: int
    """When it was taken, ns UTC (or as the recording says, where it is not shifted)."""
    packet_ns: int
    """When it was here as it came, still encoded, in ns of `time.monotonic_ns`."""


class Jitter(Protocol):
    """Measures how uneven times are."""

    @property
    def jitter_ns(self) -> int:
        """Standard deviation around an even beat."""


class PacketTap(Protocol):
    """Is given encoded packets as they come. Called from the thread that reads: never wait."""

    def packet(self, stream: av.VideoStream, packet: av.Packet[Any], capture_time_ns: int) -> None:
        """Take a packet, as it is, and when its frame was taken, ns UTC."""


@dataclass(slots=True)
class SourceClock:
    """What a source's capture times rest on, as it says while it runs."""

    clock: CaptureClock = CaptureClock.RECORDING
    """What."""
    detail: str = ""
    """What is wrong with the camera's own clock, in words."""
    jitter: Jitter | None = None
    """Measures how uneven they are; None where they are not."""

    @property
    def jitter_ns(self) -> int:
        """Standard deviation around an even beat; 0 where nothing is known."""
        return self.jitter.jitter_ns if self.jitter is not None else 0


class LiveSource(Protocol):
    """One connection to a camera."""

    clock: SourceClock
    """Kept up to date while frames are given."""

    def frames(self, stop: threading.Event) -> Iterator[Taken]:
        """Give frames until the source ends, or ``stop`` is set.

        Raises:
            SourceError: the source is none; trying again does not help.
            CameraLostError: the camera does not answer, or not any more.
        """


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the played game began; all cameras of a group play by one."""

    began_ns: int = field(default_factory=utc_ns)
    """Its beginning, ns UTC."""
    began_monotonic_ns: int = field(default_factory=time.monotonic_ns)
    """The same moment by `time.monotonic_ns`."""

    @classmethod
    def since(cls, began_ns: int) -> Schedule:
        """Go on with a game that began before this process did, ns UTC."""
        return cls(began_ns, time.monotonic_ns() - (utc_ns() - began_ns))

    def position_ns(self) -> int:
        """Say how far the game is."""
        return time.monotonic_ns() - self.began_monotonic_ns

    def utc_ns(self, position_ns: int) -> int:
        """Give the time of a place in the game."""
        return self.began_ns + position_ns

    def wait_for(self, position_ns: int, stop: threading.Event) -> None:
        """Wait until the game is so far, or ``stop`` is set."""
        left_ns = position_ns - self.position_ns()
        if left_ns > 0:
            stop.wait(left_ns / _S)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a source works with beside its address."""

    camera: str
    """Name of its camera."""
    schedule: Schedule
    """When the played game began."""
    tally: Tally
    """Counts what is lost."""
    options: SourceOptions
    """How it is read."""
    tap: PacketTap | None = None
    """Given its encoded packets."""


def open_source(address: Address, around: Surroundings) -> LiveSource:
    """Make the source of an address; nothing is opened before its frames are asked for."""
    from edge_node.cameras.files import ObservationsSource, VideoFileSource
    from edge_node.cameras.rtsp import RtspSource

    if address.kind is SourceKind.VIDEO:
        return VideoFileSource(address.path, around)
    if address.kind is SourceKind.OBSERVATIONS:
        return ObservationsSource(address.path, around)
    return RtspSource(address, around)
