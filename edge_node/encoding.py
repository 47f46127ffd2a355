"""From what the edge node knows to the messages of :mod:`tipoff.v1`.

The only module of the stream that builds protobuf messages of the server's side: the hub and the
service pass their bytes on. A snapshot is encoded without anything of a subscriber in it, so that
all of them share one ``bytes`` object.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from edge_node.frames import CameraState
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_node.frames import CameraHealth, TrackedFrame

UPPER_TRIANGLE = (0, 1, 2, 4, 5, 8)
"""Where xx, xy, xz, yy, yz and zz lie in a flattened 3 x 3 matrix."""

_STATES = {
    CameraState.WAITING: pb.CAMERA_STATE_WAITING,
    CameraState.LIVE: pb.CAMERA_STATE_LIVE,
    CameraState.ENDED: pb.CAMERA_STATE_ENDED,
    CameraState.FAILED: pb.CAMERA_STATE_FAILED,
}


class EndReason(StrEnum):
    """Why a session is over."""

    COMPLETED = "completed"
    """Every camera came to its end."""
    FAILED = "failed"
    """The tracking failed."""
    STOPPED = "stopped"
    """Somebody ended it."""


_END_REASONS = {
    EndReason.COMPLETED: pb.END_REASON_COMPLETED,
    EndReason.FAILED: pb.END_REASON_FAILED,
    EndReason.STOPPED: pb.END_REASON_STOPPED,
}


class GapReason(StrEnum):
    """Why snapshots cannot be had."""

    EXPIRED = "expired"
    """They are older than the oldest held."""
    EPOCH_OVER = "epoch over"
    """They belong to an epoch that is over."""


_GAP_REASONS = {
    GapReason.EXPIRED: pb.GAP_REASON_EXPIRED,
    GapReason.EPOCH_OVER: pb.GAP_REASON_EPOCH_OVER,
}


class TimeBase(StrEnum):
    """What ``time_ns`` counts from."""

    UTC = "utc"
    """Since 1970-01-01 UTC."""
    RECORDING = "recording"
    """Since the first frame of a recording that carries no wall clock."""


_TIME_BASES = {
    TimeBase.UTC: pb.TIME_BASE_UTC,
    TimeBase.RECORDING: pb.TIME_BASE_RECORDING,
}


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """What does not change while a session is followed: the fixed part of the header."""

    session: str
    """Name of the session, not empty."""
    epoch: int
    """Fencing number of this writer, from 1."""
    skeleton_name: str
    """Name of the skeleton, such as ``coco17``."""
    joints: tuple[str, ...]
    """Names of the J joints."""
    edges: tuple[tuple[int, int], ...]
    """Pairs of joint indices that a bone connects."""
    cameras: tuple[str, ...]
    """Names of the rig's cameras, in its order."""
    rig_digest: str
    """``sha256:<hex>`` of the calibration."""
    models: tuple[tuple[str, str], ...] = ()
    """Name and ``sha256:<hex>`` of each model that takes part."""
    build: str = ""
    """Software that makes the tracks: name, version, revision."""
    nominal_rate_hz: float = 0.0
    """Snapshots per second of ``time_ns``; 0 where it is not known."""
    world_frame: str = "metres; the calibration's own frame"
    """The world frame in words."""
    time_base: TimeBase = TimeBase.RECORDING
    """What ``time_ns`` counts from."""


def encode_snapshot(frame: TrackedFrame, epoch: int, sequence: int, sent_ns: int) -> bytes:
    """Encode a tracked frame as the response that every subscriber is sent.

    Args:
        frame: The tracks, with the health of the cameras.
        epoch: Epoch of the writer.
        sequence: Number of the snapshot in the epoch, from 1.
        sent_ns: Now, in ns UTC.
    """
    tracks = frame.snapshot
    message = pb.Snapshot(
        epoch=epoch,
        sequence=sequence,
        time_ns=frame.time_ns,
        sent_ns=sent_ns,
        track_ids=tracks.ids.tolist(),
        joints_m=tracks.joints_m.ravel().tolist(),
        covariance_m2=_upper_triangles(tracks.covariance_m2).tolist(),
        confidence=tracks.confidence.ravel().tolist(),
        views=tracks.views.ravel().tolist(),
        cameras=[_camera(health) for health in frame.cameras],
    )
    return pb.StreamTracksResponse(snapshot=message).SerializeToString()


def _upper_triangles(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    return matrices.reshape(-1, 9)[:, UPPER_TRIANGLE].ravel()


def _camera(health: CameraHealth) -> pb.CameraHealth:
    return pb.CameraHealth(
        name=health.name,
        state=_STATES.get(health.state, pb.CAMERA_STATE_UNSPECIFIED),
        frames=health.frames,
        dropped_frames=health.dropped,
        last_capture_time_ns=health.last_capture_time_ns,
    )


def encode_skipped(first: int, last: int) -> bytes:
    """Encode what a decimated stream left out, to be put behind a snapshot's bytes.

    Two encoded messages of one type, one behind the other, are their merge: that is how protobuf
    is defined. So the shared bytes stay as they are.
    """
    skipped = pb.SequenceRange(first=first, last=last)
    return pb.StreamTracksResponse(skipped=skipped).SerializeToString()


def encode_gap(epoch: int, first: int, last: int, reason: GapReason) -> bytes:
    """Encode a gap; ``last`` is 0 where it is not known."""
    gap = pb.Gap(epoch=epoch, first=first, last=last, reason=_GAP_REASONS[reason])
    return pb.StreamTracksResponse(gap=gap).SerializeToString()


def encode_end(reason: EndReason, detail: str, epoch: int, last_sequence: int) -> bytes:
    """Encode the session's end."""
    end = pb.End(
        reason=_END_REASONS[reason], detail=detail, epoch=epoch, last_sequence=last_sequence
    )
    return pb.StreamTracksResponse(end=end).SerializeToString()


def build_header(
    description: SessionDescription, oldest: int, newest: int, acknowledge_within_ns: int
) -> pb.Header:
    """Build the header of a stream that opens now.

    Args:
        description: What does not change.
        oldest: Oldest sequence held; 0 where none is.
        newest: Newest sequence held; 0 where none is.
        acknowledge_within_ns: Longest silence that the server bears.
    """
    return pb.Header(
        session=description.session,
        epoch=description.epoch,
        skeleton=pb.Skeleton(
            name=description.skeleton_name,
            joints=description.joints,
            edges=[pb.Edge(from_joint=a, to_joint=b) for a, b in description.edges],
        ),
        conventions=pb.Conventions(
            length_unit="m",
            world_frame=description.world_frame,
            time_base=_TIME_BASES[description.time_base],
        ),
        rig_digest=description.rig_digest,
        cameras=description.cameras,
        models=[pb.Model(name=name, digest=digest) for name, digest in description.models],
        build=description.build,
        nominal_rate_hz=description.nominal_rate_hz,
        oldest_sequence=oldest,
        newest_sequence=newest,
        acknowledge_within_ns=acknowledge_within_ns,
    )
