"""Health as orchestrators ask for it, also beside those who read nothing and those who stay."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from edge_node.health import MAX_WATCHES
from edge_node.server import CALLS_BESIDE_STREAMS
from edge_node.service import SERVICE, ServiceLimits
from tests.support.raw import DEADLINE_S, talking
from tests.support.streams import make_hub, serving, wait_until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
ALONE = ("grpc.use_local_subchannel_pool", 1)
TINY = (("grpc.http2.lookahead_bytes", 5), ("grpc.http2.bdp_probe", 0), ALONE)
"""A window that no message fits into: whoever does not read is sent nothing."""


@contextlib.contextmanager
def asking(address: str, *options: tuple[str, int]) -> Iterator[health_pb2_grpc.HealthStub]:
    """Ask over a connection of its own."""
    with grpc.insecure_channel(address, options=(ALONE, *options)) as channel:
        yield health_pb2_grpc.HealthStub(channel)


def check(address: str) -> int:
    """Ask how things stand."""
    with asking(address) as stub:
        return int(stub.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S).status)


def how_it_begins(watch: Any) -> object:
    """Give the first state that a watch is told, or the code that it ends with."""
    try:
        return next(watch).status
    except grpc.RpcError:
        return watch.code()


def test_a_watcher_hears_of_changes_also_after_another_one_has_left() -> None:
    asked = health_pb2.HealthCheckRequest(service=SERVICE)
    with (
        serving(make_hub(1)) as (server, address),
        asking(address) as one,
        asking(address) as two,
    ):
        leaves, stays = one.Watch(asked, timeout=DEADLINE_S), two.Watch(asked, timeout=DEADLINE_S)
        assert next(leaves).status == next(stays).status == NOT_SERVING
        leaves.cancel()
        with pytest.raises(grpc.RpcError):
            next(leaves)
        server.set_ready()
        assert next(stays).status == SERVING
        server.set_ready(False)
        assert next(stays).status == NOT_SERVING


def test_a_watcher_that_reads_nothing_keeps_nobody_waiting() -> None:
    with serving(make_hub(5)) as (server, address), asking(address, *TINY) as deaf:
        watches = [
            deaf.Watch(health_pb2.HealthCheckRequest(service=name), timeout=DEADLINE_S)
            for name in ("", SERVICE)
        ]
        wait_until(lambda: len(server._health._watchers) == len(watches), "they watch")
        server.set_ready()
        assert check(address) == SERVING
        with talking(address) as raw:
            raw.subscribe(from_sequence=1).header()
            for sequence in range(1, 6):
                raw.next()
                raw.acknowledge(sequence)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            code, _, trailers = raw.failure()
            assert code == grpc.StatusCode.UNAVAILABLE
            assert trailers["tipoff-reason"] == "SHUTTING_DOWN"
            stopping.join(DEADLINE_S)


def test_a_name_that_is_not_served_is_unknown() -> None:
    asked = health_pb2.HealthCheckRequest(service="other")
    with serving(make_hub(1)) as (_, address), asking(address) as stub:
        assert next(stub.Watch(asked, timeout=DEADLINE_S)).status == 3
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(asked, timeout=DEADLINE_S)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_those_who_watch_take_nobody_elses_place() -> None:
    limits = ServiceLimits(max_subscribers=2)
    with serving(make_hub(1), limits=limits) as (server, address), asking(address) as stub:
        server.set_ready()
        request = health_pb2.HealthCheckRequest()
        many = limits.max_subscribers + CALLS_BESIDE_STREAMS
        watches = [stub.Watch(request, timeout=DEADLINE_S) for _ in range(many)]
        told = [how_it_begins(watch) for watch in watches]
        assert told.count(SERVING) == MAX_WATCHES
        assert told.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == many - MAX_WATCHES
        assert check(address) == SERVING
        with talking(address) as raw:
            raw.subscribe(from_sequence=1).header()
            assert raw.next().snapshot.sequence == 1
