"""From messages as they were sent back to what they say."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from accel import Snapshot
from edge_node.frames import (
    Availability,
    AvailabilityRule,
    AvailabilityState,
    Degradation,
    DegradationKind,
    NodeState,
)
from edge_node.journal.errors import JournalDamagedError
from edge_node.sinks.parquet import UPPER
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_node.journal.chain import Record
    from edge_node.journal.entries import Snapped

_E = TypeVar("_E", bound=StrEnum)


def read_message(message: bytes) -> pb.Snapshot:
    """Read a response that holds a snapshot.

    Raises:
        ValueError: It is no message.
    """
    try:
        return pb.StreamTracksResponse.FromString(message).snapshot
    except DecodeError as error:
        raise ValueError(str(error)) from error


def sent_in(record: Record, entry: Snapped) -> pb.Snapshot:
    """Read the message of a record.

    Raises:
        JournalDamagedError: It holds none.
    """
    try:
        return read_message(entry.message)
    except ValueError as error:
        raise _no_message(record, error) from error


def tracks_in(record: Record, entry: Snapped) -> Snapshot:
    """Give the tracks in the message of a record.

    Raises:
        JournalDamagedError: It holds none.
    """
    sent = sent_in(record, entry)
    try:
        return snapshot_of(sent)
    except (ValueError, OverflowError) as error:
        raise _no_message(record, error) from error


def _no_message(record: Record, error: Exception) -> JournalDamagedError:
    return JournalDamagedError(
        f"record {record.record} holds no message: {error}; `tipoff verify` says more",
        record=record.record,
    )


def snapshot_of(sent: pb.Snapshot) -> Snapshot:
    """Give the tracks as they were sent: single precision."""
    ids = np.array(sent.track_ids, np.int64)
    people = len(ids)
    joints = len(sent.confidence) // people if people else 0
    return Snapshot(
        time_ns=sent.time_ns,
        ids=ids,
        joints_m=np.array(sent.joints_m, np.float64).reshape(people, joints, 3),
        covariance_m2=_matrices(np.array(sent.covariance_m2, np.float64), people, joints),
        confidence=np.array(sent.confidence, np.float32).reshape(people, joints),
        views=np.array(sent.views, np.int32).reshape(people, joints),
    )


def _matrices(triangles: NDArray[np.float64], people: int, joints: int) -> NDArray[np.float64]:
    upper = triangles.reshape(people, joints, 6)
    full = np.empty((people, joints, 3, 3))
    full[..., UPPER[0], UPPER[1]] = upper
    full[..., UPPER[1], UPPER[0]] = upper
    return full


def state_of(sent: pb.Snapshot) -> NodeState:
    """Give what a snapshot says of its node; what this version has no name for is left out."""
    said = sent.availability if sent.HasField("availability") else None
    kinds = [
        (_named(DegradationKind, pb.DegradationKind, each.kind), each.detail)
        for each in sent.degradations
    ]
    degradations = tuple(Degradation(kind, detail) for kind, detail in kinds if kind is not None)
    return NodeState(None if said is None else _availability(said), degradations)


def _availability(said: pb.Availability) -> Availability:
    state = _named(AvailabilityState, pb.AvailabilityState, said.state)
    rules = [_named(AvailabilityRule, pb.AvailabilityRule, rule) for rule in said.failed]
    return Availability(
        state=state or AvailabilityState.DEGRADED,
        failed=tuple(rule for rule in rules if rule is not None),
        least_views=said.least_views if said.HasField("least_views") else None,
        std_p95_m=said.std_p95_m if said.HasField("std_p95_m") else None,
        snapshot_age_ns=said.snapshot_age_ns if said.HasField("snapshot_age_ns") else None,
        unexplained_cameras=tuple(said.unexplained_cameras),
        detail=said.detail,
    )


def _named(kind: type[_E], wire: Any, value: int) -> _E | None:
    """Give the member that is called on the wire as this value is; None: there is none."""
    if value not in wire.values():
        return None
    name = wire.Name(value)
    return next((member for member in kind if name.endswith(f"_{member.name}")), None)
