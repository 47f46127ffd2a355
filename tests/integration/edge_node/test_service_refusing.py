"""Whom the track stream refuses or ends, spoken to with the bare stubs, and what it tells them."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from edge_node.service import SERVICE, STREAM_TRACKS, ServiceLimits
from tests.support.frames import make_frame
from tests.support.raw import DEADLINE_S, Raw, talking
from tests.support.streams import QUICK, make_hub, serving, wait_until
from tipoff.v1 import tracking_pb2 as pb


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"session": "other"}, grpc.StatusCode.NOT_FOUND),
        ({"session": "x" * 5000}, grpc.StatusCode.NOT_FOUND),
        ({"from_sequence": 9}, grpc.StatusCode.OUT_OF_RANGE),
        ({"from_sequence": 1, "from_epoch": 2}, grpc.StatusCode.OUT_OF_RANGE),
        ({"max_rate_hz": -1.0}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"max_rate_hz": float("nan")}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(
    wish: dict[str, object], status: grpc.StatusCode
) -> None:
    with serving(make_hub(7)) as (_, address):
        with talking(address) as raw:
            code, words, trailers = raw.subscribe(**wish).failure()
        with talking(address) as raw:
            assert raw.subscribe(from_sequence=8).header().session == "game"
    assert code == status
    assert 0 < len(words) < 500
    assert "tipoff-resume-sequence" not in trailers


def test_an_acknowledgement_of_what_was_not_sent_is_refused() -> None:
    with serving(make_hub(7)) as (_, address), talking(address) as raw:
        raw.subscribe().header()
        raw.acknowledge(8)
        code, words, _ = raw.failure()
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "the last one sent is 7" in words


@pytest.mark.parametrize("second", [pb.StreamTracksRequest(), None])
def test_only_acknowledgements_follow_the_first_message(
    second: pb.StreamTracksRequest | None,
) -> None:
    again = pb.StreamTracksRequest(subscribe=pb.Subscribe())
    with serving(make_hub(7)) as (_, address), talking(address) as raw:
        raw.subscribe().header()
        raw.say(second or again)
        code, _, _ = raw.failure()
    assert code == grpc.StatusCode.INVALID_ARGUMENT


def test_the_first_message_must_subscribe() -> None:
    with serving(make_hub(7)) as (_, address), talking(address) as raw:
        raw.acknowledge(0)
        code, words, _ = raw.failure()
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "Subscribe" in words


NO_MESSAGE = b"\xff\xff\xff"


@pytest.mark.parametrize("before", [[], [pb.StreamTracksRequest(subscribe=pb.Subscribe())]])
def test_bytes_that_are_no_message_are_the_clients_mistake(
    before: list[pb.StreamTracksRequest],
) -> None:
    raw = [*(request.SerializeToString() for request in before), NO_MESSAGE]
    with serving(make_hub(5)) as (_, address), grpc.insecure_channel(address) as channel:
        stream: Any = channel.stream_stream(STREAM_TRACKS)
        call = stream(iter(raw), timeout=DEADLINE_S)
        with pytest.raises(grpc.RpcError):
            list(call)
        assert call.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "3 bytes came that are no tipoff.v1.StreamTracksRequest" in call.details()
        describe_session: Any = channel.unary_unary(f"/{SERVICE}/GetSession")
        with pytest.raises(grpc.RpcError) as caught:
            describe_session(NO_MESSAGE, timeout=DEADLINE_S)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_client_that_does_not_read_the_header_loses_its_place() -> None:
    """Its window takes nothing: there is no sending to it, and no hearing that it stalls."""
    tiny = (("grpc.http2.lookahead_bytes", 5), ("grpc.http2.bdp_probe", 0))
    with (
        serving(make_hub(5), limits=QUICK) as (server, address),
        grpc.insecure_channel(
            address, options=(*tiny, ("grpc.use_local_subchannel_pool", 1))
        ) as channel,
    ):
        raw = Raw(channel).subscribe(from_sequence=1)
        wait_until(lambda: server.subscribers == 1, "it has a place")
        wait_until(lambda: server.subscribers == 0, "it has lost it")
        raw.close()


def test_a_client_that_never_subscribes_is_ended() -> None:
    with serving(make_hub(7), limits=QUICK) as (_, address), talking(address) as raw:
        code, _, trailers = raw.failure()
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert trailers["tipoff-reason"] == "NOT_SUBSCRIBED"


def test_a_client_that_never_acknowledges_is_ended_with_its_place() -> None:
    with serving(make_hub(7), limits=QUICK) as (server, address), talking(address) as raw:
        raw.subscribe(from_sequence=3).header()
        code, _, trailers = raw.failure()
        wait_until(lambda: server.subscribers == 0, "the stream is forgotten")
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert trailers["tipoff-reason"] == "NOT_ACKNOWLEDGED"
    assert trailers["tipoff-resume-session"] == "game"
    assert trailers["tipoff-resume-epoch"] == "1"
    assert trailers["tipoff-resume-sequence"] == "3"


def test_a_place_is_told_whatever_the_session_is_called() -> None:
    name = "Süd 2"
    hub = make_hub(7, session=name)
    with serving(hub, limits=QUICK) as (_, address), talking(address) as raw:
        raw.subscribe(from_sequence=3).header()
        code, _, trailers = raw.failure()
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert trailers["tipoff-reason"] == "NOT_ACKNOWLEDGED"
    assert trailers["tipoff-resume-session-bin"] == str(name.encode())
    assert trailers["tipoff-resume-sequence"] == "3"


def test_an_acknowledgement_now_and_then_is_enough() -> None:
    with serving(make_hub(7), limits=QUICK) as (_, address), talking(address) as raw:
        raw.subscribe().header()
        until_s = time.monotonic() + 3 * QUICK.acknowledge_within_s
        while time.monotonic() < until_s:
            raw.acknowledge(0)
            time.sleep(QUICK.acknowledge_within_s / 4)
        assert raw.call.is_active()


def test_one_subscriber_too_many_is_refused_and_the_others_go_on() -> None:
    limits = ServiceLimits(max_subscribers=2)
    hub = make_hub(7)
    with serving(hub, limits=limits) as (server, address):
        with talking(address) as one, talking(address) as two:
            one.subscribe().header()
            two.subscribe().header()
            with talking(address) as three:
                code, _, trailers = three.subscribe().failure()
            hub.write(make_frame(8))
            assert [one.next().snapshot.sequence for _ in range(2)] == [7, 8]
        wait_until(lambda: server.subscribers == 0, "the two have gone")
        with talking(address) as four:
            assert four.subscribe().header().session == "game"
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailers["tipoff-reason"] == "TOO_MANY_SUBSCRIBERS"
