"""The client against a real server, through a network that breaks."""

from __future__ import annotations

import dataclasses
import gc
import random
import signal
import socket
import threading
import time
from typing import Any

import numpy as np
import pytest

import tipoff
from edge_node.availability import AvailabilityRules
from edge_node.description import EndReason, StreamKind
from edge_node.frames import Availability, AvailabilityState, NodeState
from edge_node.hub import Hub
from edge_node.ring import HubLimits
from tests.support.frames import CAMERAS, JOINTS, Walk, describe, make_frame, make_frames
from tests.support.proxy import proxying, random_lives_bytes
from tests.support.streams import (
    EAGER,
    PATIENCE_S,
    QUICK,
    make_ended_hub,
    make_hub,
    make_past,
    open_descriptors,
    serving,
    wait_until,
    writing,
)
from tipoff import track_stream
from tipoff.connection import Connection
from tipoff.errors import ConflictError, DeadlineError, NotFoundError, UnavailableError
from tipoff.follow import ClientOptions
from tipoff.stream_errors import SequenceOutOfRangeError, SessionFailedError

HASTY = ClientOptions(connect_timeout_s=0.4, resume_timeout_s=0.4, backoff_initial_s=0.01)
SOON_HOPELESS = dataclasses.replace(HASTY, connect_timeout_s=PATIENCE_S)
"""A client that waits for a server, and not long for one that has gone."""


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


def test_where_nobody_listens_the_client_gives_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tipoff.Client(f"127.0.0.1:{port}", HASTY) as client:
        with pytest.raises(UnavailableError, match="is it running"):
            client.stream_tracks()
        with pytest.raises(UnavailableError):
            client.describe()


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with (
        serving(make_hub(1)) as (_, address),
        proxying(address) as proxy,
        tipoff.Client(proxy.address, HASTY) as client,
    ):
        client.describe()
        proxy.hold()
        with pytest.raises(DeadlineError, match="did not open"):
            client.stream_tracks()


def test_a_server_that_starts_late_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
    late: list[int] = []

    def follow() -> None:
        with tipoff.Client(listen, EAGER) as client:
            late.append(next(client.stream_tracks()).sequence)

    follower = threading.Thread(target=follow)
    follower.start()
    time.sleep(0.3)
    with serving(make_hub(4), listen=listen):
        follower.join(20)
    assert late == [4]


def test_three_hundred_reconnects_at_random_places_miss_and_repeat_nothing() -> None:
    """Streams cut short by the client, each resumed behind what was used."""
    choice = random.Random(1)
    hub = make_ended_hub(1200)
    got: list[int] = []
    times = 0
    with serving(hub) as (_, address), tipoff.Client(address, EAGER) as client:
        while len(got) < 1200:
            with client.stream_tracks(from_sequence=len(got) + 1) as stream:
                for snapshot in stream:
                    got.append(snapshot.sequence)
                    if choice.random() < 0.25:
                        break
            times += 1
    assert got == list(range(1, 1201))
    assert times >= 250


def test_a_network_that_breaks_all_the_time_misses_and_repeats_nothing() -> None:
    """One stream over some hundred connections, cut by the network in mid-flight."""
    hub = make_hub()
    lives_bytes = random_lives_bytes(120, seed=2)
    with (
        serving(hub) as (_, address),
        proxying(address, lives_bytes) as proxy,
        tipoff.Client(proxy.address, EAGER) as client,
        writing(hub, make_frames(1500)),
    ):
        stream = client.stream_tracks(from_sequence=1)
        got = list(stream)
    assert [snapshot.sequence for snapshot in got] == list(range(1, 1501))
    assert all(snapshot.gap_before == () for snapshot in got)
    assert not proxy.cuts_left
    assert proxy.accepted > len(lives_bytes)
    assert stream.reconnects > 0


def test_a_server_that_starts_again_under_a_new_epoch_is_followed_and_told() -> None:
    walk_on = make_hub(3, epoch=2)
    with (
        serving(make_hub(20)) as (first, address),
        proxying(address) as proxy,
        tipoff.Client(proxy.address, EAGER) as client,
    ):
        stream = client.stream_tracks(from_sequence=11)
        got = [next(stream) for _ in range(10)]
        first.stop()
        with serving(walk_on) as (_, proxy.target):
            got += [next(stream) for _ in range(3)]
        assert stream.header.epoch == 2
        assert stream.reconnects >= 1
    places = [(snapshot.epoch, snapshot.sequence) for snapshot in got]
    assert places == [(1, n) for n in range(11, 21)] + [(2, n) for n in (1, 2, 3)]
    (gap,) = got[10].gap_before
    assert (gap.epoch, gap.first, gap.last, gap.reason) == (1, 21, None, "epoch_over")


def test_a_stream_is_resumed_where_the_header_takes_long() -> None:
    """What was used before must not be acknowledged before the new connection has brought any."""
    hub = make_hub(2)
    with (
        serving(hub) as (_, address),
        proxying(address) as proxy,
        tipoff.Client(proxy.address) as client,
    ):
        stream = client.stream_tracks(from_sequence=1)
        assert [next(stream).sequence, next(stream).sequence] == [1, 2]
        proxy.delay_s = 0.8
        proxy.cut()
        later = threading.Timer(2.0, hub.write, (make_frame(3),))
        later.start()
        assert next(stream).sequence == 3
        assert stream.reconnects == 1


def test_a_session_that_has_gone_is_not_waited_for() -> None:
    with (
        serving(make_hub(2)) as (first, address),
        proxying(address) as proxy,
        tipoff.Client(proxy.address, EAGER) as client,
    ):
        stream = client.stream_tracks()
        assert next(stream).sequence == 2
        with serving(make_hub(2, session="another")) as (_, proxy.target):
            first.stop()
            with pytest.raises(NotFoundError, match="served: another"):
                next(stream)


def test_a_server_that_is_far_away_is_reached() -> None:
    """A connection takes two round trips, and each takes longer than a new try waits."""
    with (
        serving(make_hub(2)) as (_, address),
        proxying(address) as proxy,
        tipoff.Client(proxy.address) as client,
    ):
        proxy.delay_s = 0.3
        assert client.describe().newest_sequence == 2
        assert next(client.stream_tracks()).sequence == 2
        assert proxy.accepted == 1


def test_an_outage_that_lasts_is_an_error_and_can_be_seen_meanwhile() -> None:
    with (
        serving(make_hub(2)) as (_, address),
        proxying(address) as proxy,
        tipoff.Client(proxy.address, SOON_HOPELESS) as client,
    ):
        stream = client.stream_tracks()
        assert next(stream).sequence == 2
        proxy.refusing = True
        proxy.cut()
        with pytest.raises((UnavailableError, DeadlineError)):
            next(stream)
        assert stream.outage is not None
        assert list(stream) == []


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


@pytest.mark.parametrize("which", ["stream", "client"])
def test_closing_wakes_the_one_that_waits(which: str) -> None:
    with serving(make_hub(1)) as (server, address):
        client = tipoff.Client(address)
        stream = client.stream_tracks()
        got: list[int] = []
        waiting = threading.Thread(target=lambda: got.extend(s.sequence for s in stream))
        waiting.start()
        wait_until(lambda: got == [1], "the first has come")
        (stream if which == "stream" else client).close()
        waiting.join(20)
        assert not waiting.is_alive()
        wait_until(lambda: server.subscribers == 0, "the server knows")
        client.close()


def test_a_stream_that_is_closed_while_it_connects_stays_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closed by another thread behind the last look, before it knows of the new connection."""
    made, go_on = threading.Event(), threading.Event()

    class SlowConnection(Connection):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.set()
            go_on.wait(20)

    limits = dataclasses.replace(QUICK, max_lag_s=60.0)
    with (
        serving(make_hub(1), limits=limits) as (server, address),
        proxying(address) as proxy,
        tipoff.Client(proxy.address, EAGER) as client,
    ):
        stream = client.stream_tracks(from_sequence=1)
        waiting = threading.Thread(target=lambda: list(stream))
        waiting.start()
        monkeypatch.setattr(track_stream, "Connection", SlowConnection)
        proxy.cut()
        assert made.wait(20)
        stream.close()
        go_on.set()
        waiting.join(20)
        assert not waiting.is_alive()
        wait_until(lambda: server.subscribers == 0, "the server knows")


def test_a_stream_that_is_left_is_closed() -> None:
    limits = dataclasses.replace(QUICK, max_lag_s=60.0)
    with (
        serving(make_hub(5), limits=limits) as (server, address),
        tipoff.Client(address, EAGER) as client,
    ):
        before = threading.active_count()
        for _ in range(5):
            for _ in client.stream_tracks(from_sequence=1):
                break
        wait_until(lambda: server.subscribers == 0, "the server knows")
        wait_until(lambda: threading.active_count() <= before, "its threads end")


@pytest.mark.parametrize("over", ["snapshots", "events"])
def test_an_interrupt_leaves_the_stream_where_it_was(over: str) -> None:
    hub = make_hub(2)
    with serving(hub) as (_, address), tipoff.Client(address, EAGER) as client:
        stream = client.stream_tracks(from_sequence=1)
        items = iter(stream) if over == "snapshots" else stream.events()
        got: list[int] = []

        def follow() -> None:
            for item in items:
                got.extend([item.sequence] if isinstance(item, tipoff.Snapshot) else [])

        def interrupt() -> None:
            wait_until(lambda: got == [1, 2], "it waits for the third")
            time.sleep(0.2)
            signal.raise_signal(signal.SIGINT)

        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            follow()
        interrupting.join()
        hub.write(make_frame(3))
        hub.end(EndReason.COMPLETED)
        follow()
        assert got == [1, 2, 3]
        assert stream.end is not None


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


def test_a_client_that_was_closed_says_so() -> None:
    with serving(make_hub(1)) as (_, address):
        client = tipoff.Client(address)
        stream = client.stream_tracks()
        client.close()
        client.close()
        stream.close()
        assert list(stream) == []
        with pytest.raises(ConflictError, match="has been closed"):
            client.stream_tracks()
        with pytest.raises(ConflictError, match="has been closed"):
            client.describe()


def test_a_client_that_is_closed_leaves_nothing_behind() -> None:
    with serving(make_hub(50)) as (server, address):

        def follow() -> None:
            with tipoff.Client(address, EAGER) as client:
                streams = [client.stream_tracks(from_sequence=1) for _ in range(3)]
                for stream in streams:
                    next(stream)

        follow()
        gc.collect()
        before = open_descriptors(), threading.active_count()
        for _ in range(15):
            follow()
        gc.collect()
        wait_until(lambda: threading.active_count() <= before[1], "its threads end")
        wait_until(lambda: open_descriptors() <= before[0], "its sockets close")
        wait_until(lambda: server.subscribers == 0, "the server forgets it")


JUDGED = NodeState(Availability(AvailabilityState.AVAILABLE, least_views=4, snapshot_age_ns=0))
BEATING = dataclasses.replace(QUICK, heartbeat_every_s=0.2, acknowledge_within_s=5.0)


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


def test_a_connection_that_falls_silent_is_left_and_the_stream_goes_on() -> None:
    """Nothing is reset and nothing refused: the packets go nowhere."""
    hub = make_hub(1)
    with (
        serving(hub, limits=BEATING) as (_, address),
        proxying(address) as silent,
        tipoff.Client(silent.address, EAGER) as client,
        client.stream_tracks(from_sequence=1) as stream,
    ):
        assert next(stream).sequence == 1
        silent.hold()
        hub.write(make_frame(2))
        timer = threading.Timer(1.5, silent.release)
        timer.start()
        assert next(stream).sequence == 2
        timer.join()
        assert stream.reconnects == 1


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


def test_a_server_that_starts_again_is_followed_over_the_gap() -> None:
    """The client holds its stream while the server goes and comes back in a new epoch."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
    past = make_past(5, epoch=2)
    with tipoff.Client(listen, EAGER) as client:
        first = Hub(describe(epoch=2))
        with serving(first, listen=listen):
            for frame in make_frames(5):
                first.write(frame)
            stream = client.stream_tracks(from_sequence=1)
            got = [next(stream) for _ in range(3)]
        second = Hub(describe(epoch=3), past=past)
        with serving(second, listen=listen):
            for frame in make_frames(2, first=60):
                second.write(frame)
            second.end(EndReason.COMPLETED)
            got += list(stream)
    assert [snapshot.key for snapshot in got] == [(2, n) for n in range(1, 6)] + [(3, 1), (3, 2)]
    (gap,) = got[5].gap_before
    assert (gap.reason, gap.epoch, gap.next_epoch, gap.missing) == ("restarted", 2, 3, 0)
    assert (gap.from_time_ns, gap.to_time_ns) == (got[4].time_ns, got[5].time_ns)
    assert all(not snapshot.gap_before for snapshot in got[:5])
