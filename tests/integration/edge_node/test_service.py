"""The track stream over real sockets, spoken to with the bare stubs as any language has them."""

from __future__ import annotations

import dataclasses
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from edge_node.availability import AvailabilityRules
from edge_node.description import EndReason, StreamKind
from edge_node.frames import Availability, AvailabilityState, NodeState
from edge_node.hub import Hub
from edge_node.ring import HubLimits
from edge_node.server import ServerOptions, StreamServer
from edge_node.service import SERVICE
from tests.support.frames import CAMERAS, EDGES, JOINTS, describe, make_frame, make_frames
from tests.support.raw import DEADLINE_S, talking
from tests.support.streams import (
    QUICK,
    make_ended_hub,
    make_hub,
    make_restarted_hub,
    serving,
    wait_until,
)
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


def test_a_client_that_says_no_more_may_read_until_its_time_is_over() -> None:
    with serving(make_ended_hub(7), limits=QUICK) as (_, address), talking(address) as raw:
        raw.subscribe(from_sequence=1).header()
        raw.say(None)  # type: ignore[arg-type]
        responses = list(raw.call)
        assert raw.call.code() == grpc.StatusCode.OK
    assert _sequences(responses) == list(range(1, 8))


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


LIVELY = dataclasses.replace(QUICK, heartbeat_every_s=0.2, acknowledge_within_s=5.0)


def _judged(state: AvailabilityState, age_ns: int = 50_000_000) -> NodeState:
    return NodeState(Availability(state, snapshot_age_ns=age_ns, detail=f"it is {state}"))


def test_heartbeats_come_while_nothing_moves_and_say_how_things_stand() -> None:
    hub = make_hub(7)
    hub.beat(_judged(AvailabilityState.DEGRADED))
    with serving(hub, limits=LIVELY) as (_, address), talking(address) as raw:
        header = raw.subscribe(from_sequence=8).header()
        assert header.heartbeat_every_ns == 200_000_000
        began_s = time.monotonic()
        beats = [raw.beat() for _ in range(6)]
        took_s = time.monotonic() - began_s
    assert [beat.newest_sequence for beat in beats] == [7] * 6
    assert all(beat.availability.detail == "it is degraded" for beat in beats)
    sent = [beat.sent_ns for beat in beats]
    assert sent == sorted(sent)
    # The first comes with the header, the others one after another.
    assert took_s > 0.4


def test_the_header_says_what_server_and_client_owe_each_other() -> None:
    with serving(make_hub(7)) as (_, address), talking(address) as raw:
        header = raw.subscribe().header()
    assert header.max_lag_ns == 2_000_000_000
    assert header.heartbeat_every_ns == 1_000_000_000
    assert header.kind == pb.STREAM_KIND_LIVE


@pytest.mark.parametrize("how", ["said", "silent"])
def test_a_change_of_availability_is_pushed_while_no_snapshot_comes(how: str) -> None:
    """Long before the next heartbeat is due, whether the node says it or has fallen silent."""
    rules = AvailabilityRules(max_snapshot_age_ns=300_000_000, off_after_ns=3_000_000_000)
    description = describe()
    if how == "silent":
        description = dataclasses.replace(description, availability_rules=rules)
    hub = Hub(description)
    limits = dataclasses.replace(LIVELY, heartbeat_every_s=60.0, acknowledge_within_s=60.0)
    with serving(hub, limits=limits) as (_, address), talking(address) as raw:
        raw.subscribe().header()
        assert not raw.beat().HasField("availability")
        hub.beat(_judged(AvailabilityState.AVAILABLE))
        assert raw.beat().availability.state == pb.AVAILABILITY_STATE_AVAILABLE
        if how == "said":
            hub.beat(_judged(AvailabilityState.OFF))
            assert raw.beat().availability.detail == "it is off"
        else:
            degraded, off = raw.beat().availability, raw.beat().availability
            assert degraded.state == pb.AVAILABILITY_STATE_DEGRADED
            assert list(degraded.failed) == [pb.AVAILABILITY_RULE_AGE]
            assert degraded.snapshot_age_ns < 3_000_000_000
            assert off.state == pb.AVAILABILITY_STATE_OFF


def _two_kinds() -> tuple[Hub, Hub]:
    smoothed = Hub(dataclasses.replace(describe(), kind=StreamKind.SMOOTHED, lag_ns=500_000_000))
    for frame in make_frames(3):
        smoothed.write(frame)
    return make_hub(5), smoothed


def test_a_session_has_a_stream_of_each_kind_with_a_sequence_of_its_own() -> None:
    live, smoothed = _two_kinds()
    with serving(live, smoothed) as (_, address):
        for kind, newest in (("LIVE", 5), ("SMOOTHED", 3), ("UNSPECIFIED", 5)):
            with talking(address) as raw:
                header = raw.subscribe(kind=f"STREAM_KIND_{kind}").header()
                assert header.newest_sequence == newest
                assert header.lag_ns == (500_000_000 if kind == "SMOOTHED" else 0)
                assert raw.next().snapshot.sequence == newest
        with talking(address) as raw:
            raw.subscribe(session="game", kind=pb.STREAM_KIND_SMOOTHED, from_sequence=4).header()
            live.write(make_frame(6))
            smoothed.write(make_frame(4))
            assert raw.next().snapshot.sequence == 4


def test_a_kind_that_is_not_served_is_not_found() -> None:
    with serving(make_hub(5)) as (_, address):
        with talking(address) as raw:
            code, words, _ = raw.subscribe(kind=pb.STREAM_KIND_SMOOTHED).failure()
        with talking(address) as raw:
            strange, _, _ = raw.subscribe(kind=77).failure()
    assert code == grpc.StatusCode.NOT_FOUND
    assert "no smoothed stream" in words
    assert strange == grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_over_a_restart_tells_the_time_without_frames() -> None:
    hub = make_restarted_hub(3, 2)
    hub.end(EndReason.COMPLETED)
    with serving(hub) as (_, address), talking(address) as raw:
        header = raw.subscribe(from_sequence=2, from_epoch=2).header()
        assert (header.epoch, header.oldest_sequence, header.newest_sequence) == (3, 1, 2)
        responses = raw.rest()
        assert raw.call.code() == grpc.StatusCode.OK
    kinds = [response.WhichOneof("message") for response in responses]
    assert kinds == ["snapshot", "snapshot", "gap", "snapshot", "snapshot", "end"]
    gap = responses[2].gap
    assert (gap.reason, gap.next_epoch) == (pb.GAP_REASON_RESTARTED, 3)
    assert gap.from_time_ns == responses[1].snapshot.time_ns
    assert gap.to_time_ns == responses[3].snapshot.time_ns > gap.from_time_ns


def test_a_client_behind_by_more_than_the_lag_is_ended_with_its_place() -> None:
    """It lives and acknowledges, but not what it was sent; the token goes into Subscribe as is."""
    limits = dataclasses.replace(QUICK, max_lag_s=0.4, acknowledge_within_s=20.0)
    _, smoothed = _two_kinds()
    with serving(smoothed, limits=limits) as (server, address):
        with talking(address) as raw:
            raw.subscribe(from_sequence=1, kind=pb.STREAM_KIND_SMOOTHED).header()
            raw.acknowledge(0)
            assert raw.next().snapshot.sequence == 1
            raw.acknowledge(1)
            code, words, trailers = raw.failure()
            wait_until(lambda: server.subscribers == 0, "the stream is forgotten")
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "not acknowledged" in words
        assert trailers["tipoff-reason"] == "TOO_FAR_BEHIND"
        token = {name: trailers[f"tipoff-resume-{name}"] for name in ("session", "kind")}
        numbers = {
            f"from_{name}": int(trailers[f"tipoff-resume-{name}"]) for name in ("epoch", "sequence")
        }
        assert token == {"session": "game", "kind": "STREAM_KIND_SMOOTHED"}
        with talking(address) as raw:
            raw.subscribe(**token, **numbers).header()
            assert raw.next().snapshot.sequence == 2
