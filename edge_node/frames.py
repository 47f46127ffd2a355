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


class Sink(Protocol):
    """Takes tracked frames. Called from one thread at a time, with rising ``time_ns``."""

    def write(self, frame: TrackedFrame) -> None:
        """Take one frame."""

    def close(self) -> None:
        """Finish: no frame comes after it. Called once, also when the run was interrupted."""
