"""The client through a network that breaks, and with servers that come and go."""

from __future__ import annotations

import random
import socket
import threading
import time

import pytest

import tipoff
from edge_node.description import EndReason
from edge_node.hub import Hub
from tests.support.frames import describe, make_frame, make_frames
from tests.support.proxy import proxying, random_lives_bytes
from tests.support.streams import (
    BEATING,
    EAGER,
    HASTY,
    SOON_HOPELESS,
    make_ended_hub,
    make_hub,
    make_past,
    serving,
    writing,
)
from tipoff.errors import DeadlineError, NotFoundError, UnavailableError


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
