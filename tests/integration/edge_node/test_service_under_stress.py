"""Subscribers that stall, vanish or are cut off: nobody else notices, and nothing is left."""

from __future__ import annotations

import gc
import threading
import time

import grpc

from edge_node.ring import HubLimits
from edge_node.subscription import MAX_UNACKNOWLEDGED_BYTES
from tests.support.frames import Walk, make_frame, make_frames
from tests.support.raw import Raw, talking
from tests.support.streams import (
    EAGER,
    QUICK,
    make_ended_hub,
    make_hub,
    open_descriptors,
    serving,
    wait_until,
    writing,
)
from tipoff.client import Client

CROWD = Walk(people=13)


def _keep_alive(raw: Raw, stop: threading.Event) -> None:
    while not stop.wait(0.1):
        raw.acknowledge(0)


def test_a_client_that_stalls_is_ended_with_its_place_and_the_others_go_on() -> None:
    """It says that it lives, but reads nothing: the ring goes on without it."""
    frames = list(make_frames(1200, CROWD))
    hub = make_hub(limits=HubLimits(max_snapshots=300))
    stop = threading.Event()
    with serving(hub, limits=QUICK) as (server, address), talking(address) as stalled:
        stalled.subscribe(from_sequence=1).header()
        alive = threading.Thread(target=_keep_alive, args=(stalled, stop))
        alive.start()
        with Client(address, EAGER) as client, client.stream_tracks(from_sequence=1) as stream:
            with writing(hub, iter(frames), 0.001):
                sequences = [snapshot.sequence for snapshot in stream]
            assert stream.reconnects == 0
        wait_until(lambda: server.subscribers == 0, "the stalled stream is let go")
        stop.set()
        alive.join()
        code, words, trailers = stalled.failure()
    assert sequences == list(range(1, 1201))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "no longer held" in words
    assert trailers["tipoff-reason"] == "TOO_SLOW"
    assert trailers["tipoff-resume-sequence"] == "1"


def test_a_client_that_reads_nothing_is_sent_a_bounded_amount() -> None:
    hub = make_hub(1000, walk=CROWD)
    size = len(hub.read(1)[0].message)
    with serving(hub, limits=QUICK) as (_, address), talking(address) as stalled:
        stalled.subscribe(from_sequence=1).header()
        time.sleep(QUICK.acknowledge_within_s * 2)
        failure = stalled.fail()
    received = sum(response.ByteSize() for response in failure.before)
    assert failure.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert MAX_UNACKNOWLEDGED_BYTES <= received <= MAX_UNACKNOWLEDGED_BYTES + size


def test_a_client_that_fell_behind_resumes_and_is_told_the_gap() -> None:
    hub = make_hub(200, limits=HubLimits(max_snapshots=100), walk=CROWD)
    with (
        serving(hub) as (_, address),
        Client(address, EAGER) as client,
        client.stream_tracks(from_sequence=150) as stream,
    ):
        first = next(stream)
        for frame in make_frames(1000, CROWD, first=201):
            hub.write(frame)
        time.sleep(0.6)
        got = [first]
        while got[-1].sequence < 1200:
            got.append(next(stream))
        assert stream.reconnects == 1
    told = [n for s in got for gap in s.gap_before for n in range(gap.first, (gap.last or 0) + 1)]
    assert sorted([s.sequence for s in got] + told) == list(range(150, 1201))
    assert len(told) > 100


def test_streams_that_come_and_go_leave_nothing_behind() -> None:
    hub = make_hub(100)
    with serving(hub) as (server, address):

        def come_and_go(count: int) -> None:
            for turn in range(count):
                with talking(address) as raw:
                    raw.subscribe(from_sequence=1).header()
                    if turn % 2:
                        raw.next()
            wait_until(lambda: server.subscribers == 0, "every stream is forgotten")

        come_and_go(10)
        gc.collect()
        before = open_descriptors(), threading.active_count()
        come_and_go(60)
        gc.collect()
        wait_until(lambda: threading.active_count() <= before[1], "the clients' threads end")
        wait_until(lambda: open_descriptors() <= before[0], "the clients' sockets close")


def test_a_server_that_stops_leaves_nothing_behind() -> None:
    def serve_and_stop() -> None:
        hub = make_hub(10)
        with serving(hub) as (_, address), talking(address) as raw:
            raw.subscribe().header()
            hub.write(make_frame(11))
        hub.write(make_frame(12))

    serve_and_stop()
    gc.collect()
    before = open_descriptors(), threading.active_count()
    for _ in range(10):
        serve_and_stop()
    gc.collect()
    wait_until(lambda: threading.active_count() <= before[1], "the servers' threads end")
    wait_until(lambda: open_descriptors() <= before[0] + 2, "the servers' sockets close")


def test_shutting_down_sends_what_is_left_then_ends_with_the_place() -> None:
    hub = make_hub(50)
    with serving(hub) as (server, address), talking(address) as raw:
        raw.subscribe(from_sequence=1).header()
        raw.next()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        failure = raw.fail()
        stopping.join(20)
    assert [response.snapshot.sequence for response in failure.before] == list(range(2, 51))
    assert failure.code == grpc.StatusCode.UNAVAILABLE
    assert failure.trailers["tipoff-reason"] == "SHUTTING_DOWN"
    assert failure.trailers["tipoff-resume-sequence"] == "1"


def test_shutting_down_does_not_wait_for_a_client_that_stalls() -> None:
    hub = make_hub(1000, walk=CROWD)
    with serving(hub, drain_within_s=0.5) as (server, address), talking(address) as raw:
        raw.subscribe(from_sequence=1).header()
        time.sleep(0.2)
        server.stop()
        assert server.subscribers == 0
        code, _, trailers = raw.failure()
    assert code == grpc.StatusCode.UNAVAILABLE
    assert trailers["tipoff-reason"] == "SHUTTING_DOWN"


def test_the_end_waits_for_the_last_acknowledgement() -> None:
    with serving(make_ended_hub(5)) as (server, address), talking(address) as raw:
        raw.subscribe(from_sequence=1).header()
        responses = [raw.next() for _ in range(6)]
        assert responses[-1].HasField("end")
        assert server.subscribers == 1
        raw.acknowledge(5)
        assert list(raw.call) == []
        wait_until(lambda: server.subscribers == 0, "the stream is over")
