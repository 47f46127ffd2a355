"""Calls that end in every way there is leave nothing behind, and a planted leak is found.

Each way is taken again and again over real sockets; then tasks, descriptors, threads, places and
memory are counted. The same count must find a service that forgets to give something back.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

from edge_node import following
from edge_node.loop import run_in_loop
from edge_node.service import ServiceLimits
from tests.support.frames import Walk
from tests.support.leftovers import find_leaks
from tests.support.proxy import proxying
from tests.support.raw import Raw, talking
from tests.support.streams import make_hub, serving, wait_until
from tipoff.v1 import tracking_pb2 as pb
from tipoff.v1 import tracking_pb2_grpc

TURNS = 24
LIMITS = ServiceLimits(
    subscribe_within_s=0.2,
    acknowledge_within_s=0.3,
    max_lag_s=0.2,
    heartbeat_every_s=0.2,
    last_acknowledge_within_s=0.2,
)
LASTING = ServiceLimits(heartbeat_every_s=0.2)


def _cancel(address: str) -> None:
    with talking(address) as raw:
        raw.subscribe(from_sequence=1).header()
        raw.next()


def _cancel_before_subscribing(address: str) -> None:
    with talking(address):
        pass


def _deadline(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = tracking_pb2_grpc.TrackingServiceStub(channel)
        asked = threading.Event()

        def requests() -> Iterator[pb.StreamTracksRequest]:
            yield pb.StreamTracksRequest(subscribe=pb.Subscribe())
            asked.wait(10.0)

        with contextlib.suppress(grpc.RpcError):
            for _ in stub.StreamTracks(requests(), timeout=0.1):
                pass
        asked.set()


def _stall(address: str) -> None:
    with talking(address) as raw:
        raw.subscribe(from_sequence=1).header()
        code, _, trailers = raw.failure()
        assert code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert "tipoff-resume-sequence" in trailers


def _say_nothing(address: str) -> None:
    with talking(address) as raw:
        assert raw.failure()[0] == grpc.StatusCode.DEADLINE_EXCEEDED


def _ask_what_cannot_be(address: str) -> None:
    with talking(address) as raw:
        assert raw.subscribe(from_sequence=999).failure()[0] == grpc.StatusCode.OUT_OF_RANGE


def _lose_the_network(address: str) -> None:
    with proxying(address) as proxy, grpc.insecure_channel(proxy.address) as channel:
        raw = Raw(channel)
        raw.subscribe(from_sequence=1).header()
        proxy.cut()
        with contextlib.suppress(grpc.RpcError):
            while True:
                raw.next()
        raw.close()


def _describe(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = tracking_pb2_grpc.TrackingServiceStub(channel)
        stub.GetSession(pb.GetSessionRequest(), timeout=10)
        with contextlib.suppress(grpc.RpcError):
            stub.GetSession(pb.GetSessionRequest(session="other"), timeout=10)


def _cancel_a_description(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = tracking_pb2_grpc.TrackingServiceStub(channel)
        stub.GetSession.future(pb.GetSessionRequest(), timeout=10).cancel()
        with contextlib.suppress(grpc.RpcError):
            stub.GetSession(pb.GetSessionRequest(), timeout=1e-4)


Way = Callable[[str], None]
ENDED_BY_SERVER = (_stall, _say_nothing)


@pytest.mark.parametrize(
    "way",
    [
        _cancel,
        _cancel_before_subscribing,
        _deadline,
        _stall,
        _say_nothing,
        _ask_what_cannot_be,
        _lose_the_network,
        _describe,
        _cancel_a_description,
    ],
)
def test_a_call_leaves_nothing_behind_however_it_ends(way: Way) -> None:
    limits = LIMITS if way in ENDED_BY_SERVER else LASTING
    hub = make_hub(40, walk=Walk(people=13))
    with serving(hub, limits=limits) as (server, address):

        def turn() -> None:
            way(address)
            wait_until(lambda: server.subscribers == 0, "the stream is forgotten")

        assert find_leaks(turn, TURNS // 2 if way in ENDED_BY_SERVER else TURNS) == []


def test_a_server_that_shuts_down_under_its_streams_leaves_nothing_behind() -> None:
    def turn() -> None:
        with (
            serving(make_hub(5), drain_within_s=0.2) as (server, address),
            talking(address) as idle,
            talking(address) as stalled,
        ):
            idle.subscribe().header()
            stalled.subscribe(from_sequence=1).header()
            server.stop()
            assert idle.failure()[0] == grpc.StatusCode.UNAVAILABLE

    assert find_leaks(turn, 8) == []


def _leak_a_task(original: Callable[..., object]) -> Callable[..., object]:
    def follow(*arguments: object) -> object:
        task = asyncio.get_running_loop().create_task(asyncio.Event().wait())
        PLANTED.append(task)
        return original(*arguments)

    return follow


def _leak_memory(original: Callable[..., object]) -> Callable[..., object]:
    def follow(*arguments: object) -> object:
        PLANTED.append(bytearray(10_000))
        return original(*arguments)

    return follow


def _leak_a_place(original: Callable[..., object]) -> Callable[..., object]:
    def follow(*arguments: object) -> object:
        PLANTED.append(arguments[1])
        return original(*arguments)

    return follow


def _leak_a_descriptor(original: Callable[..., object]) -> Callable[..., object]:
    def follow(*arguments: object) -> object:
        PLANTED.append(open("/dev/null"))  # noqa: PTH123, SIM115
        return original(*arguments)

    return follow


PLANTED: list[object] = []
"""What a planted leak holds on to."""


@pytest.mark.parametrize(
    ("leak", "found"),
    [
        (_leak_a_task, "tasks"),
        (_leak_memory, "memory"),
        (_leak_a_place, "subscriptions"),
        (_leak_a_descriptor, "descriptors"),
    ],
)
def test_a_planted_leak_is_found(
    leak: Callable[..., object], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following.Follower, "follow", leak(following.Follower.follow))
    try:
        with serving(make_hub(40, walk=Walk(people=13)), limits=LASTING) as (server, address):

            def turn() -> None:
                _cancel(address)
                wait_until(lambda: server.subscribers == 0, "the stream is forgotten")

            leaks = find_leaks(turn, TURNS)
    finally:
        run_in_loop(_dig_up(), 5.0)
    assert any(one.startswith(found) for one in leaks), leaks


async def _dig_up() -> None:
    for planted in PLANTED:
        if isinstance(planted, asyncio.Task):
            planted.cancel()
        elif hasattr(planted, "close"):
            planted.close()
    PLANTED.clear()
