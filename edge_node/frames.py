"""What travels through the edge node, from a camera to a sink.

Times are int64 nanoseconds UTC; ``capture_time_ns`` is the mid-exposure of a frame's first row.
Pixels are source pixels of the upright image (rotation metadata already applied), u to the right
and v down, still with the lens' distortion.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from accel import Snapshot


class ImageHolder(Protocol):
    """A decoded picture that becomes RGB only when somebody needs the pixels.

    The decoder's planes (YUV) stay as they are, so that a frame is converted once, straight into
    the memory that the inference reads.
    """

    @property
    def width_px(self) -> int:
        """Width of the upright picture."""

    @property
    def height_px(self) -> int:
        """Height of the upright picture."""

    def rgb_into(self, out: NDArray[np.uint8]) -> None:
        """Write the upright picture as RGB into ``out``, uint8 (height, width, 3).

        An ``out`` of another size scales the picture to it, each pixel the mean of what it covers.
        """


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One frame of one camera."""

    camera: int
    """Index into ``rig.names``."""
    name: str
    """The camera's name in the rig."""
    capture_time_ns: int
    """Mid-exposure of the first row."""
    index: int
    """Number of the frame in its source, from 0."""
    image: ImageHolder
    """The picture, upright."""
    arrived_ns: int = 0
    """When it was there, decoded, in ns of `time.monotonic_ns`; 0 for a recording."""
    packet_ns: int = 0
    """When it was there, still encoded, in ns of `time.monotonic_ns`; 0 for a recording."""


@dataclass(frozen=True, slots=True)
class ObservedFrame:
    """One frame of one camera whose people were found before: a recorded observation."""

    camera: int
    """Index into ``rig.names``."""
    name: str
    """The camera's name in the rig."""
    capture_time_ns: int
    """Mid-exposure of the first row."""
    index: int
    """Number of the frame in its source, from 0."""
    keypoints: NDArray[np.float32]
    """(N, J, 3): u, v in the pixels of the calibration and confidence."""
    arrived_ns: int = 0
    """When it was there, in ns of `time.monotonic_ns`; 0 for a recording."""


class CameraState(StrEnum):
    """What a camera is doing."""

    WAITING = "waiting"
    """No frame has come yet."""
    LIVE = "live"
    """Frames come."""
    ENDED = "ended"
    """The source has ended as it should."""
    FAILED = "failed"
    """The source cannot be read any more; frames before that were used."""
    FROZEN = "frozen"
    """The same picture comes over and over."""
    BLACK = "black"
    """Nothing but darkness comes."""
    DUPLICATED = "duplicated"
    """What another camera shows comes."""
    DISCONNECTED = "disconnected"
    """It cannot be reached, or no frame comes; it is tried again."""
    LATE = "late"
    """Its frames are later than their capture times say."""
    SWAPPED = "swapped"
    """It stands where another camera of the rig should."""
    MOVED = "moved"
    """It has been knocked out of its calibration."""
    BLIND = "blind"
    """It sees nobody where people are."""


class CaptureClock(StrEnum):
    """What a camera's capture times rest on."""

    SENDER = "sender"
    """Its own clock, by its RTCP sender reports."""
    ARRIVAL = "arrival"
    """The times at which frames arrived here, smoothed."""
    RECORDING = "recording"
    """The times in a recording."""


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """How one camera does at the time of a tracked frame."""

    name: str
    """The camera's name in the rig."""
    state: CameraState
    """What it is doing."""
    frames: int
    """Frames given to the tracker so far."""
    dropped: int
    """Frames that were lost on the way (unreadable, refused as too late) so far."""
    last_capture_time_ns: int | None
    """Capture time of the newest frame given to the tracker; None before the first."""
    detail: str = ""
    """What is wrong, in words; empty where nothing is."""
    clock: CaptureClock = CaptureClock.RECORDING
    """What its capture times rest on."""
    clock_jitter_ns: int = 0
    """Standard deviation of its capture times around an even beat, lately; 0 where not known."""
    left_out: bool = False
    """Whether its frames are left out of the tracking now: withheld or, of a camera that is late,
    swapped or moved, counted for little."""


@dataclass(frozen=True, slots=True)
class ViewDetections:
    """What the inference saw in one camera frame, as the tracker was given it."""

    camera: int
    """Index into ``rig.names``."""
    capture_time_ns: int
    """Capture time of the frame."""
    frame_index: int
    """Number of the frame in its source, from 0."""
    keypoints: NDArray[np.float32]
    """(N, J, 3): u, v in source pixels and confidence."""
    assigned: NDArray[np.int64]
    """(N,): the track that each detection went to, -1 for none."""
    snapshot: Snapshot
    """All tracks at the frame's own capture time."""


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """Everybody at one time: what the sinks are given, in order of time.

    Its snapshots hold the tracks that are to be reported; ``assigned`` may name others.
    """

    time_ns: int
    """Time of the snapshot."""
    snapshot: Snapshot
    """All tracks at that time."""
    cameras: tuple[CameraHealth, ...]
    """Health of every camera of the rig, in the rig's order."""
    views: tuple[ViewDetections, ...] = ()
    """The camera frames since the last tracked frame that inference was asked about, by time."""
    frames: tuple[CameraFrame, ...] = ()
    """All camera frames since the last tracked frame, by time."""


class AvailabilityState(StrEnum):
    """Whether officials may rely on a stream."""

    AVAILABLE = "available"
    """All rules hold."""
    DEGRADED = "degraded"
    """Some rule failed."""
    OFF = "off"
    """By hand, or no snapshot came."""


class AvailabilityRule(StrEnum):
    """A rule of the availability."""

    VIEWS = "views"
    """Every person on court is seen by enough cameras."""
    STD = "std"
    """The standard deviations are small enough."""
    AGE = "age"
    """Snapshots are young enough."""
    CAMERAS = "cameras"
    """No camera fails without an explanation."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether officials may rely on a stream, and the values that decided."""

    state: AvailabilityState
    """State."""
    failed: tuple[AvailabilityRule, ...] = ()
    """Rules that failed."""
    least_views: int | None = None
    """Fewest cameras behind a person over the window; None: there was nobody."""
    std_p95_m: float | None = None
    """95th percentile of people's largest joint standard deviation; None: there was nobody."""
    snapshot_age_ns: int | None = None
    """Age of the newest snapshot; None: there is none."""
    unexplained_cameras: tuple[str, ...] = ()
    """Cameras that fail without an explanation."""
    detail: str = ""
    """Why it is off, or what the rules found, in words."""


class DegradationKind(StrEnum):
    """What a node may do less well than it should."""

    FEWER_DETECTIONS = "fewer detections"
    """Whole frames are searched less often."""
    FEWER_POSES = "fewer poses"
    """Fewer people are posed in each frame."""
    LOWER_RATE = "lower rate"
    """Snapshots are made at a lower rate."""
    JOURNAL_SLOW = "journal slow"
    """The disk is slow: snapshots wait for it."""
    JOURNAL_FAILED = "journal failed"
    """The disk takes nothing: nothing is sent until it does."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """Something that the node does less well than it should."""

    kind: DegradationKind
    """What."""
    detail: str
    """Why and by how much, in words."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """How things stand at a node, beside the tracks."""

    availability: Availability | None = None
    """For officials; None where nobody decides it."""
    degradations: tuple[Degradation, ...] = ()
    """What it does less well than it should."""


class Sink(Protocol):
    """Takes tracked frames. Called from one thread at a time, with rising ``time_ns``."""

    def write(self, frame: TrackedFrame) -> None:
        """Take one frame."""

    def close(self) -> None:
        """Finish: no frame comes after it. Called once, also when the run was interrupted."""
