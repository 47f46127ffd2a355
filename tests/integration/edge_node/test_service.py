"""The track stream over real sockets, spoken to with the bare stubs as any language has them."""

from __future__ import annotations

import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from edge_node.description import EndReason
from edge_node.ring import HubLimits
from edge_node.server import ServerOptions, StreamServer
from edge_node.service import SERVICE, ServiceLimits
from tests.support.frames import CAMERAS, EDGES, JOINTS, make_frame
from tests.support.raw import DEADLINE_S, talking
from tests.support.streams import QUICK, make_ended_hub, make_hub, serving, wait_until
from tipoff.errors import ConflictError, InvalidInputError
from tipoff.v1 import tracking_pb2 as pb
from tipoff.v1 import tracking_pb2_grpc


def _sequences(responses: list[pb.StreamTracksResponse]) -> list[int]:
    return [r.snapshot.sequence for r in responses if r.HasField("snapshot")]


def test_the_header_says_all_that_is_needed_to_read_the_stream() -> None:
    with serving(make_hub(7, epoch=3)) as (_, address), talking(address) as raw:
        header = raw.subscribe().header()
    assert (header.session, header.epoch) == ("game", 3)
    assert (header.skeleton.name, tuple(header.skeleton.joints)) == ("chain17", JOINTS)
    assert [(edge.from_joint, edge.to_joint) for edge in header.skeleton.edges] == list(EDGES)
    assert header.conventions.length_unit == "m"
    assert header.conventions.world_frame == "metres; a court"
    assert header.conventions.time_base == pb.TIME_BASE_RECORDING
    assert (header.rig_digest, tuple(header.cameras)) == ("sha256:0123", CAMERAS)
    models = [(model.name, model.digest) for model in header.models]
    assert models == [("finder", "sha256:4567"), ("poser", "sha256:89ab")]
    assert (header.build, header.nominal_rate_hz) == ("tipoff 0 (test)", 60.0)
    assert (header.oldest_sequence, header.newest_sequence) == (1, 7)
    assert header.acknowledge_within_ns == 5_000_000_000


def test_a_session_is_described_without_following_it() -> None:
    with serving(make_hub(7)) as (_, address), grpc.insecure_channel(address) as channel:
        stub = tracking_pb2_grpc.TrackingServiceStub(channel)
        reply = stub.GetSession(pb.GetSessionRequest(), timeout=DEADLINE_S)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetSession(pb.GetSessionRequest(session="other"), timeout=DEADLINE_S)
    assert (reply.header.session, reply.header.newest_sequence) == ("game", 7)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert "served: game" in (caught.value.details() or "")


def test_a_whole_session_ends_with_its_reason_and_ok() -> None:
    with serving(make_ended_hub(30)) as (_, address), talking(address) as raw:
        raw.subscribe(from_sequence=1).header()
        responses = raw.rest()
        assert raw.call.code() == grpc.StatusCode.OK
    assert _sequences(responses) == list(range(1, 31))
    assert responses[-1].end == pb.End(
        reason=pb.END_REASON_COMPLETED, detail="the videos ended", epoch=1, last_sequence=30
    )


def test_a_live_session_is_pushed_as_it_comes() -> None:
    hub = make_hub(3)
    with serving(hub) as (_, address), talking(address) as raw:
        raw.subscribe().header()
        assert raw.next().snapshot.sequence == 3
        for number in (4, 5):
            hub.write(make_frame(number))
            assert raw.next().snapshot.sequence == number
        hub.end(EndReason.STOPPED, "by hand")
        assert raw.next().end.reason == pb.END_REASON_STOPPED


def test_every_subscriber_is_sent_the_same_bytes() -> None:
    hub = make_ended_hub(5)
    held = [one.message for one in hub.read(1)]
    with serving(hub) as (_, address), talking(address) as one, talking(address) as two:
        for raw in (one, two):
            raw.subscribe(from_sequence=1).header()
            responses = [r.SerializeToString() for r in raw.rest() if r.HasField("snapshot")]
            assert responses == held


def test_an_empty_session_opens_and_waits() -> None:
    hub = make_hub()
    with serving(hub) as (_, address), talking(address) as raw:
        header = raw.subscribe(from_sequence=1).header()
        assert (header.oldest_sequence, header.newest_sequence) == (0, 0)
        hub.write(make_frame(1))
        assert raw.next().snapshot.sequence == 1


def test_a_gap_names_what_is_no_longer_held() -> None:
    hub = make_ended_hub(50, limits=HubLimits(max_snapshots=10))
    with serving(hub) as (_, address), talking(address) as raw:
        header = raw.subscribe(from_sequence=5).header()
        assert (header.oldest_sequence, header.newest_sequence) == (41, 50)
        gap, *rest = raw.rest()
    assert gap.gap == pb.Gap(epoch=1, first=5, last=40, reason=pb.GAP_REASON_EXPIRED)
    assert _sequences(rest) == list(range(41, 51))


def test_a_decimated_stream_says_what_it_skipped() -> None:
    with serving(make_ended_hub(60)) as (_, address), talking(address) as raw:
        raw.subscribe(from_sequence=1, max_rate_hz=10.0).header()
        *snapshots, end = raw.rest()
    told: list[int] = []
    for response in (*snapshots, end):
        if response.HasField("skipped"):
            told += range(response.skipped.first, response.skipped.last + 1)
    assert len(snapshots) == 10
    assert sorted(told + _sequences(snapshots)) == list(range(1, 61))


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


def test_an_acknowledgement_now_and_then_is_enough() -> None:
    with serving(make_hub(7), limits=QUICK) as (_, address), talking(address) as raw:
        raw.subscribe().header()
        until_s = time.monotonic() + 3 * QUICK.acknowledge_within_s
        while time.monotonic() < until_s:
            raw.acknowledge(0)
            time.sleep(QUICK.acknowledge_within_s / 4)
        assert raw.call.is_active()


def test_a_client_that_says_no_more_may_read_until_its_time_is_over() -> None:
    with serving(make_ended_hub(7), limits=QUICK) as (_, address), talking(address) as raw:
        raw.subscribe(from_sequence=1).header()
        raw.say(None)  # type: ignore[arg-type]
        responses = list(raw.call)
        assert raw.call.code() == grpc.StatusCode.OK
    assert _sequences(responses) == list(range(1, 8))


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


def test_sessions_are_told_apart_by_name() -> None:
    hubs = make_hub(3, session="one"), make_hub(5, session="two")
    with serving(*hubs) as (_, address):
        with talking(address) as raw:
            assert raw.subscribe(session="two").header().newest_sequence == 5
        with talking(address) as raw:
            code, words, _ = raw.subscribe().failure()
    assert code == grpc.StatusCode.NOT_FOUND
    assert "one, two" in words


def test_health_is_false_until_ready_and_false_first_on_the_way_down() -> None:
    asked = health_pb2.HealthCheckRequest(service=SERVICE)
    states = health_pb2.HealthCheckResponse
    with serving(make_hub(1)) as (server, address), grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(asked, timeout=DEADLINE_S)
        assert next(watch).status == states.NOT_SERVING
        with talking(address) as raw:
            raw.subscribe().header()
            server.set_ready()
            assert next(watch).status == states.SERVING
            assert stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status == states.SERVING
            server.set_ready(False)
            assert next(watch).status == states.NOT_SERVING
            server.set_ready()
            assert next(watch).status == states.SERVING
            server.stop()
            assert next(watch).status == states.NOT_SERVING


def test_reflection_names_the_service_and_describes_it() -> None:
    with serving(make_hub(1)) as (_, address), grpc.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        ]
        listed, described = stub.ServerReflectionInfo(iter(requests), timeout=DEADLINE_S)
    names = {service.name for service in listed.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    assert b"StreamTracks" in b"".join(described.file_descriptor_response.file_descriptor_proto)


def test_a_taken_port_is_an_error_and_never_shared() -> None:
    with serving(make_hub(1)) as (_, address):
        second = StreamServer([make_hub(1)], ServerOptions(listen=address))
        with pytest.raises(ConflictError, match="the port is taken"):
            second.start()
        second.stop()


@pytest.mark.parametrize("listen", ["7400", "localhost", ":7400", "127.0.0.1:port", "[::1]:70000"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(InvalidInputError, match="no address to listen on"):
        StreamServer([make_hub(1)], ServerOptions(listen=listen)).start()
