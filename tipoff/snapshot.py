"""What a subscriber is given: snapshots and what surrounds them, as frozen dataclasses.

World frame, metres, nanoseconds; T tracks, J joints; what is not known is NaN. Arrays cannot be
written to, so that a snapshot may be shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tipoff.errors import InternalError
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

_FULL_FROM_TRIANGLE = (0, 1, 2, 1, 3, 4, 2, 4, 5)
"""Which of xx, xy, xz, yy, yz, zz stands at each place of a flattened 3 x 3 matrix."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joints and the bones between them."""

    name: str
    """Such as ``coco17``."""
    joints: tuple[str, ...]
    """Names of the J joints, in the order of every joint array."""
    edges: tuple[tuple[int, int], ...]
    """Pairs of joint indices that a bone connects."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that took part in the tracking."""

    name: str
    """Its name in the model repository."""
    digest: str
    """``sha256:<hex>`` of its weights."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a stream holds and how to read it."""

    session: str
    """The session that is followed."""
    epoch: int
    """Fencing number of whoever writes the session; sequences count within it."""
    skeleton: Skeleton
    """Joints and bones."""
    length_unit: str
    """Unit of positions: ``m``."""
    world_frame: str
    """The world frame in words."""
    time_base: str
    """``utc``: times are ns since 1970; ``recording``: since the recording's first frame."""
    rig_digest: str
    """``sha256:<hex>`` of the cameras' calibration."""
    cameras: tuple[str, ...]
    """Names of the rig's cameras, in its order."""
    models: tuple[Model, ...]
    """Models that took part."""
    build: str
    """Software that made the tracks."""
    nominal_rate_hz: float
    """Snapshots per second of ``time_ns``; 0 where it is not known."""
    oldest_sequence: int
    """Oldest sequence held when the stream opened; 0 where none was."""
    newest_sequence: int
    """Newest sequence held when the stream opened; 0 where none was."""
    acknowledge_within_s: float
    """Longest silence of a client that the server bears."""


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """How a camera does."""

    name: str
    """Its name in the rig."""
    state: str
    """``waiting``, ``live``, ``ended``, ``failed``, or ``unspecified``."""
    frames: int
    """Frames taken from it so far."""
    dropped_frames: int
    """Frames of it that were dropped so far."""
    last_capture_time_ns: int | None
    """Capture time of its newest frame; None where it has given none."""
    detail: str
    """What is wrong, in words; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Snapshots that cannot be had."""

    epoch: int
    """Epoch in which the sequences count."""
    first: int
    """First sequence that is missing."""
    last: int | None
    """Last sequence that is missing; None where it is not known where the epoch ended."""
    reason: str
    """``expired``: no longer held; ``epoch_over``: of an earlier epoch; or ``unspecified``."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All tracks at one time."""

    epoch: int
    """Epoch in which the sequence counts."""
    sequence: int
    """Its number in the epoch, from 1."""
    time_ns: int
    """Time that the tracks belong to."""
    sent_ns: int
    """When the server first sent it, in ns UTC."""
    ids: NDArray[np.int64]
    """(T,): identities."""
    joints_m: NDArray[np.float64]
    """(T, J, 3): positions."""
    covariance_m2: NDArray[np.float64]
    """(T, J, 3, 3): their covariances."""
    confidence: NDArray[np.float32]
    """(T, J): 0 to 1."""
    views: NDArray[np.int32]
    """(T, J): cameras behind each joint, 0 where it is inferred."""
    cameras: tuple[CameraHealth, ...]
    """Health of every camera."""
    skipped: tuple[int, int] | None = None
    """First and last sequence left out before it because of ``max_rate_hz``."""
    gap_before: tuple[Gap, ...] = ()
    """What cannot be had between the snapshot before and this one."""


@dataclass(frozen=True, slots=True)
class End:
    """The session's end."""

    reason: str
    """``completed``, ``failed``, ``stopped``, or ``unspecified``."""
    detail: str
    """Why, in words."""
    epoch: int
    """Epoch in which the last sequence counts."""
    last_sequence: int
    """Last sequence of the session; 0 where it had none."""
    skipped: tuple[int, int] | None = None
    """First and last sequence left out before it because of ``max_rate_hz``."""
    gap_before: tuple[Gap, ...] = ()
    """What cannot be had between the last snapshot given and the end."""


def _word(enum: Any, value: int, prefix: str) -> str:
    """Name an enum's value; one that came with a later version is unspecified."""
    name: str = enum.Name(value) if value in enum.values() else f"{prefix}UNSPECIFIED"
    return name.removeprefix(prefix).lower()


def read_header(message: pb.Header) -> Header:
    """Turn the wire's header into ours."""
    skeleton = message.skeleton
    return Header(
        session=message.session,
        epoch=message.epoch,
        skeleton=Skeleton(
            skeleton.name,
            tuple(skeleton.joints),
            tuple((edge.from_joint, edge.to_joint) for edge in skeleton.edges),
        ),
        length_unit=message.conventions.length_unit,
        world_frame=message.conventions.world_frame,
        time_base=_word(pb.TimeBase, message.conventions.time_base, "TIME_BASE_"),
        rig_digest=message.rig_digest,
        cameras=tuple(message.cameras),
        models=tuple(Model(model.name, model.digest) for model in message.models),
        build=message.build,
        nominal_rate_hz=message.nominal_rate_hz,
        oldest_sequence=message.oldest_sequence,
        newest_sequence=message.newest_sequence,
        acknowledge_within_s=message.acknowledge_within_ns / 1e9,
    )


def read_snapshot(
    message: pb.Snapshot,
    joint_count: int,
    skipped: tuple[int, int] | None = None,
    gap_before: tuple[Gap, ...] = (),
) -> Snapshot:
    """Turn the wire's snapshot into ours.

    Args:
        message: As it came.
        joint_count: J, from the header's skeleton.
        skipped: What was left out before it.
        gap_before: What cannot be had before it.

    Raises:
        InternalError: Its arrays do not fit together.
    """
    tracks = len(message.track_ids)
    cells = (tracks, joint_count)
    triangles = _array(message.covariance_m2, np.float64, (tracks, joint_count, 6))
    return Snapshot(
        epoch=message.epoch,
        sequence=message.sequence,
        time_ns=message.time_ns,
        sent_ns=message.sent_ns,
        ids=_array(message.track_ids, np.int64, (tracks,)),
        joints_m=_array(message.joints_m, np.float64, (*cells, 3)),
        covariance_m2=_full(triangles),
        confidence=_array(message.confidence, np.float32, cells),
        views=_array(message.views, np.int32, cells),
        cameras=tuple(_read_camera(camera) for camera in message.cameras),
        skipped=skipped,
        gap_before=gap_before,
    )


def _array(values: Collection[float], dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    if len(values) != int(np.prod(shape)):
        raise InternalError(
            f"a snapshot holds {len(values)} numbers where {shape} were due: client and server do "
            "not fit together; report it with both versions"
        )
    array = np.fromiter(values, dtype, len(values)).reshape(shape)
    array.setflags(write=False)
    return array


def _full(triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    full = triangles[..., _FULL_FROM_TRIANGLE].reshape(*triangles.shape[:-1], 3, 3)
    full.setflags(write=False)
    return full


def _read_camera(message: pb.CameraHealth) -> CameraHealth:
    known = message.HasField("last_capture_time_ns")
    return CameraHealth(
        name=message.name,
        state=_word(pb.CameraState, message.state, "CAMERA_STATE_"),
        frames=message.frames,
        dropped_frames=message.dropped_frames,
        last_capture_time_ns=message.last_capture_time_ns if known else None,
        detail=message.detail,
    )


def read_gap(message: pb.Gap) -> Gap:
    """Turn the wire's gap into ours."""
    return Gap(
        epoch=message.epoch,
        first=message.first,
        last=message.last or None,
        reason=_word(pb.GapReason, message.reason, "GAP_REASON_"),
    )


def read_end(message: pb.End, skipped: tuple[int, int] | None, gap_before: tuple[Gap, ...]) -> End:
    """Turn the wire's end into ours."""
    return End(
        reason=_word(pb.EndReason, message.reason, "END_REASON_"),
        detail=message.detail,
        epoch=message.epoch,
        last_sequence=message.last_sequence,
        skipped=skipped,
        gap_before=gap_before,
    )


def read_skipped(response: pb.StreamTracksResponse) -> tuple[int, int] | None:
    """Return what was left out before a message, if anything."""
    if not response.HasField("skipped"):
        return None
    return response.skipped.first, response.skipped.last
