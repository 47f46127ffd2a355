"""From the messages of :mod:`tipoff.v1` to the dataclasses of :mod:`tipoff.snapshot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tipoff.errors import InternalError
from tipoff.snapshot import (
    Availability,
    AvailabilityRules,
    CameraHealth,
    Degradation,
    End,
    Gap,
    Header,
    Heartbeat,
    JournalHead,
    Model,
    Player,
    Skeleton,
    Snapshot,
    Team,
)
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

_FULL_FROM_TRIANGLE = (0, 1, 2, 1, 3, 4, 2, 4, 5)
"""Which of xx, xy, xz, yy, yz, zz stands at each place of a flattened 3 x 3 matrix."""
_NS = 1e9


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
        acknowledge_within_s=message.acknowledge_within_ns / _NS,
        max_lag_s=message.max_lag_ns / _NS,
        heartbeat_every_s=message.heartbeat_every_ns / _NS,
        kind="smoothed" if message.kind == pb.STREAM_KIND_SMOOTHED else "live",
        lag_s=message.lag_ns / _NS,
        availability_rules=_read_rules(message),
        journal_public_key=message.journal_public_key,
        node=message.node,
        replay=message.replay,
        roster=tuple(
            Team(team.name, tuple(Player(p.number, p.name) for p in team.players))
            for team in message.roster
        ),
    )


def _read_rules(message: pb.Header) -> AvailabilityRules | None:
    if not message.HasField("availability_rules"):
        return None
    rules = message.availability_rules
    return AvailabilityRules(
        window_s=rules.window_ns / _NS,
        min_views=rules.min_views,
        max_std_m=rules.max_std_m,
        max_snapshot_age_s=rules.max_snapshot_age_ns / _NS,
        off_after_s=rules.off_after_ns / _NS,
    )


def _read_availability(message: pb.Snapshot | pb.Heartbeat) -> Availability | None:
    if not message.HasField("availability"):
        return None
    said = message.availability
    age_ns = said.snapshot_age_ns if said.HasField("snapshot_age_ns") else None
    return Availability(
        state=_word(pb.AvailabilityState, said.state, "AVAILABILITY_STATE_"),
        failed=tuple(
            _word(pb.AvailabilityRule, rule, "AVAILABILITY_RULE_") for rule in said.failed
        ),
        least_views=said.least_views if said.HasField("least_views") else None,
        std_p95_m=said.std_p95_m if said.HasField("std_p95_m") else None,
        snapshot_age_s=None if age_ns is None else age_ns / _NS,
        unexplained_cameras=tuple(said.unexplained_cameras),
        detail=said.detail,
    )


def _read_degradations(messages: Iterable[pb.Degradation]) -> tuple[Degradation, ...]:
    return tuple(
        Degradation(_word(pb.DegradationKind, one.kind, "DEGRADATION_KIND_"), one.detail)
        for one in messages
    )


def read_heartbeat(message: pb.Heartbeat) -> Heartbeat:
    """Turn the wire's heartbeat into ours."""
    head = message.journal_head
    return Heartbeat(
        epoch=message.epoch,
        newest_sequence=message.newest_sequence,
        sent_ns=message.sent_ns,
        availability=_read_availability(message),
        degradations=_read_degradations(message.degradations),
        journal_head=JournalHead(head.record, head.hash, head.signed_ns, head.signature)
        if message.HasField("journal_head")
        else None,
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
        availability=_read_availability(message),
        degradations=_read_degradations(message.degradations),
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
        clock=_word(pb.CaptureClock, message.clock, "CAPTURE_CLOCK_"),
        clock_jitter_ns=message.clock_jitter_ns,
        left_out=message.left_out,
    )


def read_gap(message: pb.Gap, skipped: tuple[int, int] | None = None) -> Gap:
    """Turn the wire's gap into ours, with what was left out before it."""
    return Gap(
        epoch=message.epoch,
        first=message.first,
        last=message.last or None,
        reason=_word(pb.GapReason, message.reason, "GAP_REASON_"),
        from_time_ns=message.from_time_ns if message.HasField("from_time_ns") else None,
        to_time_ns=message.to_time_ns if message.HasField("to_time_ns") else None,
        next_epoch=message.next_epoch,
        skipped=skipped,
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
