"""Many subscribers, bad ones among them: what each is owed, and who must not notice.

How fast it all goes is measured by `bench suite=streams`; here is what must come out.
"""

from __future__ import annotations

import dataclasses
import random
import threading

import grpc

import tipoff
from edge_node.description import EndReason
from edge_node.hub import Hub
from edge_node.ring import HubLimits
from edge_node.service import ServiceLimits
from tests.support.frames import Walk, describe, make_frames
from tests.support.proxy import proxying
from tests.support.raw import Raw, talking
from tests.support.streams import EAGER, make_hub, make_past, serving, wait_until, writing
from tipoff.client import Client
from tipoff.errors import TipoffError
from tipoff.v1 import tracking_pb2 as pb

CROWD = Walk(people=13)
LAGGING = ServiceLimits(max_lag_s=0.5)
GOOD = 6


class Good:
    """A subscriber of the client library in a thread of its own."""

    def __init__(self, address: str) -> None:
        self.sequences: list[int] = []
        self.reconnects = 0
        self.error: TipoffError | None = None
        self._address = address
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            with (
                Client(self._address, EAGER) as client,
                client.stream_tracks(from_sequence=1) as stream,
            ):
                self.sequences = [snapshot.sequence for snapshot in stream]
                self.reconnects = stream.reconnects
        except TipoffError as error:
            self.error = error


def test_one_whose_network_takes_nothing_is_let_go_and_finds_its_place_later() -> None:
    """Its packets go nowhere while the others follow; when it reads again the end is there."""
    frames = list(make_frames(900, CROWD))
    hub = make_hub()
    with (
        serving(hub, limits=LAGGING) as (server, address),
        proxying(address) as proxy,
        grpc.insecure_channel(proxy.address) as channel,
    ):
        stalled = Raw(channel)
        stalled.subscribe(from_sequence=1).header()
        wait_until(lambda: server.subscribers == 1, "it follows")
        proxy.hold()
        good = [Good(address) for _ in range(GOOD)]
        with writing(hub, iter(frames), 0.002):
            wait_until(lambda: server.subscribers == GOOD + 1, "all are there")
            wait_until(lambda: server.subscribers == GOOD, "the stalled one is let go")
            # The others are in the middle of it.
            assert hub.newest < len(frames)
            for one in good:
                one.thread.join(60)
        proxy.release()
        failure = stalled.fail()
        stalled.close()
    assert [one.sequences for one in good] == [list(range(1, 901))] * GOOD
    assert [(one.reconnects, one.error) for one in good] == [(0, None)] * GOOD
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.trailers["tipoff-reason"] == "TOO_FAR_BEHIND"
    assert failure.trailers["tipoff-resume-sequence"] == "1"
    got = [response.snapshot.sequence for response in failure.before]
    assert got == list(range(1, len(got) + 1))


def test_a_thousand_reconnects_at_random_sequences_miss_and_repeat_nothing() -> None:
    """Over a restart too: every stream is what the session holds from its place on."""
    choice = random.Random(4)
    small = Walk(people=1)
    past = make_past(400, epoch=2, walk=small)
    hub = Hub(describe(epoch=3), HubLimits(max_snapshots=700), past=past)
    for frame in make_frames(400, small, first=500):
        hub.write(frame)
    hub.end(EndReason.COMPLETED)
    held = [one.key for one in hub.read(-1000, 1000)]
    assert len(held) == 700
    with serving(hub) as (_, address), grpc.insecure_channel(address) as channel:
        for _ in range(1000):
            place = choice.randrange(len(held))
            epoch, sequence = held[place]
            raw = Raw(channel)
            raw.subscribe(from_epoch=epoch, from_sequence=sequence).header()
            wanted = held[place : place + choice.randrange(1, 8)]
            told = list(_read(raw, len(wanted)))
            assert told == wanted
            raw.close()


def _read(raw: Raw, count: int) -> list[tuple[int, int]]:
    got: list[tuple[int, int]] = []
    while len(got) < count:
        response = raw.next()
        if response.HasField("snapshot"):
            got.append((response.snapshot.epoch, response.snapshot.sequence))
            raw.acknowledge(response.snapshot.sequence, response.snapshot.epoch)
            continue
        assert response.gap.reason == pb.GAP_REASON_RESTARTED
        assert not got or got[-1][0] == response.gap.epoch
    return got


def test_a_crowd_is_refused_while_the_admitted_miss_nothing_and_then_gets_in() -> None:
    """Three times as many as are taken: whoever is refused tries again by itself."""
    limits = dataclasses.replace(ServiceLimits(), max_subscribers=GOOD)
    hub = make_hub()
    refused = threading.Event()
    with serving(hub, limits=limits) as (server, address):
        admitted = [Good(address) for _ in range(GOOD)]
        wait_until(lambda: server.subscribers == GOOD, "the house is full")
        with talking(address) as late:
            code, _, trailers = late.subscribe().failure()
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert trailers["tipoff-reason"] == "TOO_MANY_SUBSCRIBERS"
            assert "tipoff-resume-sequence" not in trailers
        crowd = [Good(address) for _ in range(2 * GOOD)]
        with writing(hub, make_frames(200), 0.005):
            refused.wait(0.5)
            for one in (*admitted, *crowd):
                one.thread.join(60)
    assert [one.sequences for one in admitted] == [list(range(1, 201))] * GOOD
    # All of it is still held when there is room.
    assert [one.error for one in crowd] == [None] * len(crowd)
    assert [one.sequences for one in crowd] == [list(range(1, 201))] * len(crowd)


def test_a_token_from_the_trailers_is_enough_to_miss_nothing() -> None:
    """A client without any help falls behind again and again, and goes on as it is told."""
    limits = ServiceLimits(max_lag_s=0.2)
    hub = make_hub(300)
    hub.end(EndReason.COMPLETED)
    got: list[int] = []
    token: dict[str, object] = {"from_sequence": 1}
    with serving(hub, limits=limits) as (_, address):
        for _ in range(6):
            with talking(address) as raw:
                raw.subscribe(**token).header()
                for _ in range(10):
                    got.append(raw.next().snapshot.sequence)
                    raw.acknowledge(got[-1])
                code, _, trailers = raw.failure()
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
            token = {
                "session": trailers["tipoff-resume-session"],
                "kind": trailers["tipoff-resume-kind"],
                "from_epoch": int(trailers["tipoff-resume-epoch"]),
                "from_sequence": int(trailers["tipoff-resume-sequence"]),
            }
        with tipoff.Client(address) as client:
            got += [s.sequence for s in client.stream_tracks(from_sequence=token["from_sequence"])]  # type: ignore[arg-type]
    assert got == list(range(1, 301))
