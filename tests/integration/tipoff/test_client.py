"""The client against a real server: what it asks for, and what it gives."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np
import pytest

import tipoff
from edge_node.availability import AvailabilityRules
from edge_node.description import EndReason, StreamKind
from edge_node.frames import Availability, AvailabilityState, NodeState
from edge_node.hub import Hub
from edge_node.ring import HubLimits
from tests.support.frames import CAMERAS, JOINTS, Walk, describe, make_frame
from tests.support.proxy import proxying
from tests.support.streams import (
    BEATING,
    EAGER,
    QUICK,
    make_ended_hub,
    make_hub,
    serving,
    wait_until,
)
from tipoff.errors import NotFoundError
from tipoff.stream_errors import SequenceOutOfRangeError, SessionFailedError


def _close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_a_snapshot_is_the_frame_that_was_written() -> None:
    frame = make_frame(5)
    with serving(make_ended_hub(5)) as (_, address), tipoff.Client(address) as client:
        (snapshot,) = client.stream_tracks()
    tracks = frame.snapshot
    assert (snapshot.epoch, snapshot.sequence, snapshot.time_ns) == (1, 5, frame.time_ns)
    assert snapshot.ids.tolist() == tracks.ids.tolist()
    assert snapshot.joints_m.shape == (3, len(JOINTS), 3)
    assert snapshot.covariance_m2.shape == (3, len(JOINTS), 3, 3)
    assert np.isnan(snapshot.joints_m).any()
    _close(snapshot.joints_m, tracks.joints_m)
    _close(snapshot.covariance_m2, tracks.covariance_m2)
    _close(snapshot.confidence, tracks.confidence)
    _close(snapshot.views, tracks.views)
    assert tuple(camera.name for camera in snapshot.cameras) == CAMERAS
    states = [(camera.state, camera.last_capture_time_ns) for camera in snapshot.cameras]
    assert states == [("live", frame.time_ns), ("live", frame.time_ns), ("waiting", None)]
    with pytest.raises(ValueError, match="read-only"):
        snapshot.joints_m[:] = 0.0


def test_a_frame_with_nobody_in_it() -> None:
    with (
        serving(make_ended_hub(1, walk=Walk(people=0))) as (_, address),
        tipoff.Client(address) as client,
    ):
        (snapshot,) = client.stream_tracks()
    assert snapshot.ids.shape == (0,)
    assert snapshot.covariance_m2.shape == (0, len(JOINTS), 3, 3)


def test_the_header_is_there_as_soon_as_the_stream_is() -> None:
    with (
        serving(make_hub(9, epoch=2)) as (_, address),
        tipoff.Client(address) as client,
        client.stream_tracks("game") as stream,
    ):
        assert stream.header == client.describe()
        header = stream.header
    assert (header.session, header.epoch, header.time_base) == ("game", 2, "recording")
    assert (header.skeleton.joints, header.cameras) == (JOINTS, CAMERAS)
    assert (header.oldest_sequence, header.newest_sequence) == (1, 9)
    assert header.acknowledge_within_s == 5.0


def test_a_stream_ends_with_its_session() -> None:
    with serving(make_ended_hub(40)) as (_, address), tipoff.Client(address) as client:
        stream = client.stream_tracks(from_sequence=1)
        assert [snapshot.sequence for snapshot in stream] == list(range(1, 41))
        assert stream.end is not None
        assert (stream.end.reason, stream.end.last_sequence) == ("completed", 40)
        assert list(stream) == []


def test_a_session_that_failed_is_an_error_behind_its_last_snapshot() -> None:
    hub = make_hub(3)
    hub.end(EndReason.FAILED, "triton has gone")
    with serving(hub) as (_, address), tipoff.Client(address) as client:
        stream = client.stream_tracks(from_sequence=2)
        assert [next(stream).sequence, next(stream).sequence] == [2, 3]
        with pytest.raises(SessionFailedError, match="triton has gone"):
            next(stream)


def test_a_decimated_stream_keeps_the_numbers() -> None:
    with serving(make_ended_hub(60)) as (_, address), tipoff.Client(address) as client:
        stream = client.stream_tracks(from_sequence=1, max_rate_hz=10.0)
        snapshots = list(stream)
        assert stream.end is not None
        spans = [*(snapshot.skipped for snapshot in snapshots), stream.end.skipped]
    told = [n for span in spans if span for n in range(span[0], span[1] + 1)]
    got = [snapshot.sequence for snapshot in snapshots]
    assert len(got) == 10
    assert sorted(got + told) == list(range(1, 61))


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"session": "other"}, NotFoundError),
        ({"from_sequence": 42}, SequenceOutOfRangeError),
        ({"from_sequence": 1, "from_epoch": 9}, SequenceOutOfRangeError),
    ],
)
def test_a_wish_that_cannot_be_met_is_an_error_of_its_own(
    wish: dict[str, object], error: type[tipoff.TipoffError]
) -> None:
    with serving(make_hub(40)) as (_, address), tipoff.Client(address, EAGER) as client:
        with pytest.raises(error) as caught:
            client.stream_tracks(**wish)  # type: ignore[arg-type]
        assert caught.value.ids["address"] == address
        assert next(client.stream_tracks()).sequence == 40


def test_a_caller_that_takes_its_time_is_not_ended() -> None:
    hub = make_hub(3)
    limits = dataclasses.replace(QUICK, max_lag_s=20.0)
    with serving(hub, limits=limits) as (server, address), tipoff.Client(address, EAGER) as client:
        stream = client.stream_tracks(from_sequence=1)
        next(stream)
        time.sleep(3 * QUICK.acknowledge_within_s)
        assert server.subscribers == 1
        assert [next(stream).sequence, next(stream).sequence] == [2, 3]
        assert stream.reconnects == 0


def test_a_caller_that_takes_too_long_goes_on_where_it_was() -> None:
    hub = make_hub(3)
    limits = dataclasses.replace(QUICK, max_lag_s=0.5)
    with (
        serving(hub, limits=limits) as (server, address),
        tipoff.Client(address, EAGER) as client,
        client.stream_tracks(from_sequence=1) as stream,
    ):
        next(stream)
        wait_until(lambda: server.subscribers == 0, "the server lets it go")
        hub.write(make_frame(4))
        hub.end(EndReason.COMPLETED)
        assert [snapshot.sequence for snapshot in stream] == [2, 3, 4]
        assert stream.reconnects == 1


def test_what_is_no_longer_held_stands_before_the_next() -> None:
    hub = make_ended_hub(50, limits=HubLimits(max_snapshots=10))
    with serving(hub) as (_, address), tipoff.Client(address) as client:
        first, *rest = client.stream_tracks(from_sequence=5)
    (gap,) = first.gap_before
    assert (gap.epoch, gap.first, gap.last, gap.reason) == (1, 5, 40, "expired")
    assert first.sequence == 41
    assert all(snapshot.gap_before == () for snapshot in rest)


def test_threads_share_a_streams_snapshots() -> None:
    got: list[int] = []
    with serving(make_ended_hub(200)) as (_, address), tipoff.Client(address) as client:
        stream = client.stream_tracks(from_sequence=1)
        follow = [
            threading.Thread(target=lambda: got.extend(s.sequence for s in stream))
            for _ in range(3)
        ]
        for thread in follow:
            thread.start()
        for thread in follow:
            thread.join(20)
    assert sorted(got) == list(range(1, 201))


JUDGED = NodeState(Availability(AvailabilityState.AVAILABLE, least_views=4, snapshot_age_ns=0))


def _judged_hub() -> Hub:
    rules = AvailabilityRules(max_snapshot_age_ns=400_000_000)
    return Hub(dataclasses.replace(describe(), availability_rules=rules))


def test_heartbeats_come_among_the_events_and_not_among_the_snapshots() -> None:
    hub = make_hub(2)
    with (
        serving(hub, limits=BEATING) as (_, address),
        tipoff.Client(address, EAGER) as client,
        client.stream_tracks(from_sequence=1) as stream,
    ):
        assert next(stream).sequence == 1
        assert stream.heartbeat is not None
        events = stream.events()
        kinds = [type(next(events)).__name__ for _ in range(4)]
        assert sorted(kinds) == ["Heartbeat"] * 3 + ["Snapshot"]
        assert stream.heartbeat.newest_sequence == 2
        hub.write(make_frame(3))
        hub.end(EndReason.COMPLETED)
        assert [snapshot.sequence for snapshot in stream] == [3]


def test_the_availability_is_that_of_now_also_while_the_network_is_gone() -> None:
    hub = _judged_hub()
    hub.publish(hub.prepare(make_frame(1), JUDGED))
    with (
        serving(hub, limits=BEATING) as (_, address),
        proxying(address) as proxy,
        tipoff.Client(proxy.address, EAGER) as client,
        client.stream_tracks() as stream,
    ):
        snapshot = next(stream)
        assert snapshot.availability is not None
        assert (snapshot.availability.state, snapshot.availability.least_views) == ("available", 4)
        rules = stream.header.availability_rules
        assert rules is not None
        assert (rules.min_views, rules.max_snapshot_age_s) == (3, 0.4)
        proxy.hold()
        wait_until(lambda: not _available(stream), "the last word runs out")
        wait_until(lambda: _state(stream) == "off", "it is off")
        proxy.release()
        events = stream.events()
        hub.publish(hub.prepare(make_frame(2), JUDGED))
        while not _available(stream):
            next(events)


def _state(stream: tipoff.TrackStream) -> str | None:
    return stream.availability.state if stream.availability else None


def _available(stream: tipoff.TrackStream) -> bool:
    return _state(stream) == "available"


def test_a_smoothed_stream_is_followed_by_its_kind() -> None:
    smoothed = Hub(dataclasses.replace(describe(), kind=StreamKind.SMOOTHED, lag_ns=250_000_000))
    smoothed.write(make_frame(1))
    with (
        serving(make_hub(4), smoothed) as (_, address),
        tipoff.Client(address, EAGER) as client,
    ):
        stream = client.stream_tracks(kind="smoothed")
        assert (stream.header.kind, stream.header.lag_s) == ("smoothed", 0.25)
        assert next(stream).sequence == 1
        assert client.stream_tracks().header.kind == "live"
    with (
        serving(make_hub(4)) as (_, address),
        tipoff.Client(address, EAGER) as client,
        pytest.raises(NotFoundError, match="no smoothed stream"),
    ):
        client.stream_tracks(kind="smoothed")
