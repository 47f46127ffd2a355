"""What is laid out by hand is, byte for byte, what protobuf would have written."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

from edge_node.availability import AvailabilityRules
from edge_node.description import (
    EndReason,
    Gap,
    GapReason,
    Player,
    StreamKind,
    Team,
    Terms,
    TimeBase,
)
from edge_node.encoding import (
    build_header,
    encode_end,
    encode_gap,
    encode_heartbeat,
    encode_snapshot,
)
from edge_node.frames import (
    Availability,
    AvailabilityRule,
    AvailabilityState,
    CameraHealth,
    CameraState,
    CaptureClock,
    Degradation,
    DegradationKind,
    NodeState,
    TrackedFrame,
)
from edge_node.wire import varints
from tests.support.frames import Walk, describe, make_frame
from tipoff.reading import read_header
from tipoff.v1 import tracking_pb2 as pb

AVAILABILITY = Availability(
    AvailabilityState.DEGRADED,
    failed=(AvailabilityRule.VIEWS, AvailabilityRule.CAMERAS),
    least_views=0,
    std_p95_m=0.5,
    snapshot_age_ns=-3,
    unexplained_cameras=("left", "right"),
    detail="as it is",
)
STATE = NodeState(AVAILABILITY, (Degradation(DegradationKind.LOWER_RATE, "one in two"),))
CAMERA = CameraHealth(
    "left", CameraState.MOVED, 7, 3, 123, "knocked", CaptureClock.ARRIVAL, 456, left_out=True
)


def _by_protobuf(frame: TrackedFrame, state: NodeState) -> bytes:
    """Encode a frame field by field, without any short cut."""
    tracks = frame.snapshot
    message = pb.Snapshot(epoch=3, sequence=300, time_ns=frame.time_ns, sent_ns=9)
    message.track_ids.extend(tracks.ids.tolist())
    for name in ("joints_m", "confidence", "views"):
        getattr(message, name).extend(getattr(tracks, name).ravel().tolist())
    for matrix in tracks.covariance_m2.reshape(-1, 3, 3):
        message.covariance_m2.extend(
            float(matrix[row, column]) for row in range(3) for column in range(row, 3)
        )
    for camera in frame.cameras:
        message.cameras.add(
            name=camera.name,
            state=f"CAMERA_STATE_{camera.state.name}",
            frames=camera.frames,
            dropped_frames=camera.dropped,
            last_capture_time_ns=camera.last_capture_time_ns,
            detail=camera.detail,
            clock=f"CAPTURE_CLOCK_{camera.clock.name}",
            clock_jitter_ns=camera.clock_jitter_ns,
            left_out=camera.left_out,
        )
    said = state.availability
    if said is not None:
        message.availability.state = pb.AvailabilityState.Value(
            f"AVAILABILITY_STATE_{said.state.name}"
        )
        message.availability.failed.extend(
            pb.AvailabilityRule.Value(f"AVAILABILITY_RULE_{rule.name}") for rule in said.failed
        )
        for name in ("least_views", "std_p95_m", "snapshot_age_ns"):
            if getattr(said, name) is not None:
                setattr(message.availability, name, getattr(said, name))
        message.availability.unexplained_cameras.extend(said.unexplained_cameras)
        message.availability.detail = said.detail
    for one in state.degradations:
        message.degradations.add(kind=f"DEGRADATION_KIND_{one.kind.name}", detail=one.detail)
    return pb.StreamTracksResponse(snapshot=message).SerializeToString(deterministic=True)


@pytest.mark.parametrize("people", [0, 1, 13, 40])
@pytest.mark.parametrize("state", [NodeState(), STATE])
def test_a_snapshot_is_what_protobuf_would_have_written(people: int, state: NodeState) -> None:
    frame = make_frame(people + 1, Walk(seed=people, people=people, missing=0.2))
    frame = dataclasses.replace(frame, cameras=(*frame.cameras, CAMERA))
    assert encode_snapshot(frame, 3, 300, 9, state) == _by_protobuf(frame, state)


@pytest.mark.parametrize("value", [127, 128, 300, 2**31 - 1])
def test_many_views_take_more_than_a_byte_each(value: int) -> None:
    frame = make_frame(1)
    frame.snapshot.views[0, 3] = value
    assert encode_snapshot(frame, 3, 300, 9) == _by_protobuf(frame, NodeState())


@pytest.mark.parametrize("values", [[-1], [-1, 200], [3, -(2**31)]])
def test_a_negative_number_of_views_is_refused_as_protobuf_does(values: list[int]) -> None:
    with pytest.raises(ValueError, match="range"):
        varints(np.array(values, np.int32))
    with pytest.raises(ValueError, match="range"):
        pb.Snapshot(views=values)


def test_strange_numbers_come_through() -> None:
    frame = make_frame(1)
    frame.snapshot.joints_m[0, 0] = [np.inf, -0.0, 1e-45]
    message = encode_snapshot(frame, 3, 300, 9)
    assert message == _by_protobuf(frame, NodeState())
    read = pb.StreamTracksResponse.FromString(message).snapshot.joints_m
    assert read[0] == np.inf
    assert np.signbit(read[1])


def test_arrays_that_are_no_block_of_memory_are_laid_out_alike() -> None:
    frame = make_frame(1)
    tracks = frame.snapshot
    turned = dataclasses.replace(
        tracks,
        joints_m=np.asfortranarray(tracks.joints_m),
        covariance_m2=np.asfortranarray(tracks.covariance_m2),
        views=np.asfortranarray(tracks.views),
    )
    other = dataclasses.replace(frame, snapshot=turned)
    assert encode_snapshot(other, 3, 300, 9) == encode_snapshot(frame, 3, 300, 9)


@dataclasses.dataclass(frozen=True)
class _Head:
    record: int = 12
    hash: bytes = b"h" * 32
    signed_ns: int = 34
    signature: bytes = b"s" * 64


def test_words_with_the_bytes_of_a_path_that_are_no_utf_8_can_be_said() -> None:
    path = os.fsdecode(b"/games/\xff/cam1.mp4")
    said = f"{path} cannot be read"
    camera = dataclasses.replace(CAMERA, detail=said)
    state = NodeState(
        dataclasses.replace(AVAILABILITY, detail=said),
        (Degradation(DegradationKind.JOURNAL_FAILED, said),),
    )
    frame = dataclasses.replace(make_frame(1), cameras=(camera,))
    encoded = (
        encode_snapshot(frame, 3, 300, 9, state),
        encode_heartbeat(3, 300, 9, state, None),
        encode_end(EndReason.FAILED, said, 3, 300),
    )
    snapshot, beat, end = (pb.StreamTracksResponse.FromString(one) for one in encoded)
    shown = "/games/\\udcff/cam1.mp4 cannot be read"
    assert snapshot.snapshot.cameras[0].detail == snapshot.snapshot.availability.detail == shown
    assert beat.heartbeat.degradations[0].detail == end.end.detail == shown


def test_a_heartbeat_says_how_things_stand() -> None:
    message = encode_heartbeat(2, 17, 99, STATE, _Head())
    heartbeat = pb.StreamTracksResponse.FromString(message).heartbeat
    assert (heartbeat.epoch, heartbeat.newest_sequence, heartbeat.sent_ns) == (2, 17, 99)
    said = heartbeat.availability
    assert said.state == pb.AVAILABILITY_STATE_DEGRADED
    assert list(said.failed) == [pb.AVAILABILITY_RULE_VIEWS, pb.AVAILABILITY_RULE_CAMERAS]
    assert said.HasField("least_views")
    assert (said.least_views, said.std_p95_m, said.snapshot_age_ns) == (0, 0.5, -3)
    assert list(said.unexplained_cameras) == ["left", "right"]
    (degradation,) = heartbeat.degradations
    assert degradation.kind == pb.DEGRADATION_KIND_LOWER_RATE
    assert degradation.detail == "one in two"
    head = heartbeat.journal_head
    assert (head.record, head.hash, head.signed_ns, head.signature) == (
        12,
        b"h" * 32,
        34,
        b"s" * 64,
    )


def test_what_nobody_judges_is_absent_from_a_heartbeat() -> None:
    message = encode_heartbeat(2, 0, 99, NodeState(), None)
    heartbeat = pb.StreamTracksResponse.FromString(message).heartbeat
    assert not heartbeat.HasField("availability")
    assert not heartbeat.HasField("journal_head")


def test_a_gap_names_its_times_and_the_epoch_behind_it() -> None:
    gap = Gap(4, 0, 0, GapReason.RESTARTED, from_time_ns=5, to_time_ns=9, next_epoch=6)
    read = pb.StreamTracksResponse.FromString(encode_gap(gap)).gap
    assert read == pb.Gap(
        epoch=4, reason=pb.GAP_REASON_RESTARTED, from_time_ns=5, to_time_ns=9, next_epoch=6
    )
    bare = encode_gap(Gap(4, 1, 2, GapReason.EXPIRED))
    assert not pb.StreamTracksResponse.FromString(bare).gap.HasField("from_time_ns")


def test_the_header_says_rules_terms_and_kind() -> None:
    description = dataclasses.replace(
        describe(),
        kind=StreamKind.SMOOTHED,
        lag_ns=5,
        availability_rules=AvailabilityRules(1, 2, 0.5, 4, 6),
        journal_public_key=b"k" * 32,
        node="court 3",
        replay=True,
        time_base=TimeBase.UTC,
        roster=(Team("Home", (Player("0", "Ann"), Player("00", "Bea"))),),
    )
    header = build_header(description, 1, 9, Terms(10, 20, 30))
    assert (header.kind, header.lag_ns) == (pb.STREAM_KIND_SMOOTHED, 5)
    terms = header.acknowledge_within_ns, header.max_lag_ns, header.heartbeat_every_ns
    assert terms == (10, 20, 30)
    assert header.availability_rules == pb.AvailabilityRules(
        window_ns=1, min_views=2, max_std_m=0.5, max_snapshot_age_ns=4, off_after_ns=6
    )
    assert (header.journal_public_key, header.node, header.replay) == (b"k" * 32, "court 3", True)
    assert [team.name for team in read_header(header).roster] == ["Home"]
    assert [(p.number, p.name) for p in read_header(header).roster[0].players] == [
        ("0", "Ann"),
        ("00", "Bea"),
    ]
    plain = build_header(describe(), 1, 9, Terms(10, 20, 30))
    assert not plain.HasField("availability_rules")
    assert plain.kind == pb.STREAM_KIND_LIVE


def test_every_word_of_ours_has_one_of_the_contract() -> None:
    """Each state, clock, rule and kind comes out as itself, none as unspecified."""
    for state in CameraState:
        frame = dataclasses.replace(
            make_frame(1), cameras=(dataclasses.replace(CAMERA, state=state),)
        )
        read = pb.StreamTracksResponse.FromString(encode_snapshot(frame, 1, 1, 1)).snapshot
        assert pb.CameraState.Name(read.cameras[0].state) == f"CAMERA_STATE_{state.name}"
    assert len(CameraState) + 1 == len(pb.CameraState.keys())
    assert len(CaptureClock) + 1 == len(pb.CaptureClock.keys())
    assert len(AvailabilityState) + 1 == len(pb.AvailabilityState.keys())
    assert len(AvailabilityRule) + 1 == len(pb.AvailabilityRule.keys())
    assert len(DegradationKind) + 1 == len(pb.DegradationKind.keys())
    assert len(GapReason) + 1 == len(pb.GapReason.keys())
