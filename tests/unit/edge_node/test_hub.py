"""The hub numbers, encodes once, holds within its bounds, and is safe between threads."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from edge_node.availability import AvailabilityRules
from edge_node.description import EndReason
from edge_node.frames import (
    Availability,
    AvailabilityRule,
    AvailabilityState,
    Degradation,
    DegradationKind,
    NodeState,
)
from edge_node.hub import Clocks, Hub
from edge_node.ring import READ_AHEAD, HubLimits
from tests.support.frames import CAMERAS, describe, make_frame, make_frames
from tests.support.streams import make_hub, make_past, make_restarted_hub
from tipoff.v1 import tracking_pb2 as pb


def test_an_empty_hub_holds_nothing() -> None:
    hub = Hub(describe())
    assert hub.held_range() == (0, 0)
    assert hub.read(1) == []
    assert hub.ended is None


def test_sequences_begin_at_one_and_have_no_holes() -> None:
    hub = make_hub(10)
    assert hub.held_range() == (1, 10)
    assert [held.sequence for held in hub.read(1)] == list(range(1, 11))
    assert [held.sequence for held in hub.read(8, 2)] == [8, 9]
    assert hub.read(11) == []


def test_everybody_reads_the_same_bytes_object() -> None:
    hub = make_hub(3)
    assert hub.read(2)[0].message is hub.read(1)[1].message


def test_a_read_is_bounded() -> None:
    hub = make_hub(READ_AHEAD + 10)
    assert len(hub.read(1)) == READ_AHEAD


def test_the_oldest_go_by_count() -> None:
    hub = make_hub(10, limits=HubLimits(max_snapshots=4))
    assert hub.held_range() == (7, 10)
    assert [held.sequence for held in hub.read(2)] == [7, 8, 9, 10]


def test_the_oldest_go_by_bytes() -> None:
    size = make_hub(1).held_bytes
    hub = make_hub(20, limits=HubLimits(max_bytes=5 * size + size // 2))
    held = hub.read(1)
    assert 4 <= len(held) <= 6
    assert hub.held_bytes == sum(len(one.message) for one in held) <= 5.5 * size


def test_the_newest_is_held_whatever_its_size() -> None:
    hub = make_hub(3, limits=HubLimits(max_bytes=1))
    assert hub.held_range() == (3, 3)


def test_a_snapshot_holds_every_number_of_its_frame() -> None:
    hub = Hub(describe(epoch=4), clocks=Clocks(wall_ns=lambda: 123))
    frame = make_frame(5)
    hub.write(frame)
    snapshot = pb.StreamTracksResponse.FromString(hub.read(1)[0].message).snapshot
    tracks = frame.snapshot
    assert (snapshot.epoch, snapshot.sequence) == (4, 1)
    assert (snapshot.time_ns, snapshot.sent_ns) == (frame.time_ns, 123)
    assert list(snapshot.track_ids) == tracks.ids.tolist()
    np.testing.assert_array_equal(snapshot.joints_m, tracks.joints_m.ravel().astype(np.float32))
    rows, columns = np.triu_indices(3)
    triangle = tracks.covariance_m2[..., rows, columns].ravel().astype(np.float32)
    np.testing.assert_array_equal(snapshot.covariance_m2, triangle)
    np.testing.assert_array_equal(snapshot.confidence, tracks.confidence.ravel())
    np.testing.assert_array_equal(snapshot.views, tracks.views.ravel())


def test_a_snapshot_names_the_health_of_every_camera() -> None:
    hub = make_hub(6)
    snapshot = pb.StreamTracksResponse.FromString(hub.read(6)[0].message).snapshot
    assert tuple(camera.name for camera in snapshot.cameras) == CAMERAS
    live, lossy, waiting = snapshot.cameras
    assert (live.state, live.frames, live.dropped_frames) == (pb.CAMERA_STATE_LIVE, 6, 0)
    assert live.last_capture_time_ns == snapshot.time_ns
    assert lossy.dropped_frames == 3
    assert waiting.state == pb.CAMERA_STATE_WAITING
    assert not waiting.HasField("last_capture_time_ns")


def test_the_end_names_the_reason_and_the_last_sequence() -> None:
    hub = make_hub(3)
    hub.end(EndReason.FAILED, "a camera fell down")
    hub.end(EndReason.COMPLETED)
    assert hub.ended is not None
    end = pb.StreamTracksResponse.FromString(hub.ended.message).end
    assert (end.reason, end.detail) == (pb.END_REASON_FAILED, "a camera fell down")
    assert (end.epoch, end.last_sequence) == (1, 3)


@pytest.mark.parametrize("finish", ["close", "end"])
def test_nothing_is_written_behind_the_end(finish: str) -> None:
    hub = make_hub(1)
    if finish == "close":
        hub.close()
    else:
        hub.end(EndReason.STOPPED)
    with pytest.raises(RuntimeError, match="after its end"):
        hub.write(make_frame(2))
    assert hub.newest == 1


def test_closing_as_a_sink_does_not_end_the_session() -> None:
    hub = make_hub(1)
    hub.close()
    assert hub.ended is None


def test_listeners_hear_of_every_write_and_of_the_end() -> None:
    hub = make_hub()
    heard: list[int] = []

    def listen() -> None:
        heard.append(hub.newest)

    hub.add_listener(listen)
    for frame in make_frames(2):
        hub.write(frame)
    hub.end(EndReason.COMPLETED)
    hub.remove_listener(listen)
    assert heard == [1, 2, 2]


def test_readers_never_see_a_hole_while_a_writer_writes() -> None:
    hub = make_hub(limits=HubLimits(max_snapshots=16))
    done = threading.Event()
    wrong: list[list[int]] = []

    def read() -> None:
        place = 1
        while not done.is_set() or place <= hub.newest:
            sequences = [held.sequence for held in hub.read(place)]
            if sequences and sequences != list(range(sequences[0], sequences[-1] + 1)):
                wrong.append(sequences)
            if sequences and sequences[0] < place:
                wrong.append([place, *sequences])
            place = sequences[-1] + 1 if sequences else place

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for frame in make_frames(400):
        hub.write(frame)
    done.set()
    for reader in readers:
        reader.join(20)
    assert wrong == []
    assert hub.held_range() == (385, 400)


def test_what_is_prepared_is_seen_by_nobody_before_it_is_published() -> None:
    hub = make_hub(2)
    heard: list[int] = []
    hub.add_listener(lambda: heard.append(hub.newest))
    prepared = [hub.prepare(frame) for frame in make_frames(3, first=3)]
    assert [held.sequence for held in prepared] == [3, 4, 5]
    assert (hub.held_range(), hub.read(3), heard) == ((1, 2), [], [])
    for held in prepared:
        hub.publish(held)
    assert hub.read(3) == prepared
    assert heard == [3, 4, 5]


@pytest.mark.parametrize("which", [1, 2])
def test_nothing_is_published_out_of_order(which: int) -> None:
    hub = make_hub(1)
    prepared = [hub.prepare(frame) for frame in make_frames(3, first=2)]
    if which == 2:
        hub.publish(prepared[0])
        prepared[which] = prepared[0]
    with pytest.raises(RuntimeError, match="is due"):
        hub.publish(prepared[which])


def test_the_past_lies_before_the_new_epoch() -> None:
    hub = make_restarted_hub(3, 2)
    assert hub.held_range() == (1, 2)
    assert hub.oldest_place == -2
    assert [held.key for held in hub.read(-9)] == [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2)]
    assert [held.restart is not None for held in hub.read(-9)] == [False] * 3 + [True, False]
    assert [hub.find(2, n) for n in (0, 1, 3, 4, 99)] == [-2, -2, 0, 1, 1]
    assert [hub.find(3, n) for n in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert hub.find(1, 5) == -2


def test_a_past_of_several_epochs_has_a_gap_before_each() -> None:
    past = [*make_past(2, 2, first=7), *make_past(2, 4), *make_past(1, 5)]
    hub = Hub(describe(epoch=8), past=past)
    hub.write(make_frame(50))
    held = hub.read(-9)
    last = [(one.restart.last_epoch, one.restart.last_sequence) for one in held if one.restart]
    assert last == [(2, 8), (4, 2), (5, 1)]
    gaps = [
        pb.StreamTracksResponse.FromString(one.restart.message).gap for one in held if one.restart
    ]
    assert [(gap.epoch, gap.next_epoch) for gap in gaps] == [(2, 4), (4, 5), (5, 8)]


def test_the_past_is_bounded_as_the_rest_is() -> None:
    hub = make_restarted_hub(10, 0, limits=HubLimits(max_snapshots=4))
    assert [held.key for held in hub.read(-99)] == [(2, 7), (2, 8), (2, 9), (2, 10)]
    for frame in make_frames(3, first=100):
        hub.write(frame)
    assert [held.key for held in hub.read(-99)] == [(2, 10), (3, 1), (3, 2), (3, 3)]
    assert hub.held_bytes == sum(len(held.message) for held in hub.read(-99))
    hub.write(make_frame(200))
    assert hub.held_range() == (1, 4)
    hub.write(make_frame(201))
    assert hub.held_range() == (2, 5)


def test_a_past_that_cannot_be_is_refused() -> None:
    good = make_past(3)
    for past in (
        [good[0], good[2]],
        [good[1], good[0]],
        [good[0], good[0]],
        make_past(3, epoch=3),
        [*make_past(2), *make_past(1, epoch=2)],
        [*make_past(1), *make_past(1, epoch=1)],
        [*make_past(1, epoch=1), *make_past(1, first=2)],
    ):
        with pytest.raises(ValueError, match="cannot be held"):
            Hub(describe(epoch=3), past=past)


RULES = AvailabilityRules()
GOOD = NodeState(
    Availability(AvailabilityState.AVAILABLE, least_views=4, snapshot_age_ns=50_000_000)
)
BAD = dataclasses.replace(GOOD, degradations=(Degradation(DegradationKind.LOWER_RATE, "half"),))


class _Clock:
    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns


def _judged_hub(clock: _Clock) -> Hub:
    description = dataclasses.replace(describe(), availability_rules=RULES)
    return Hub(description, clocks=Clocks(clock, clock))


def _beat(hub: Hub) -> pb.Heartbeat:
    return pb.StreamTracksResponse.FromString(hub.heartbeat()).heartbeat


def test_a_heartbeat_says_what_was_said_last() -> None:
    clock = _Clock()
    hub = _judged_hub(clock)
    assert not _beat(hub).HasField("availability")
    hub.publish(hub.prepare(make_frame(1), GOOD))
    clock.now_ns += 10_000_000
    heartbeat = _beat(hub)
    assert (heartbeat.epoch, heartbeat.newest_sequence) == (1, 1)
    assert heartbeat.sent_ns == clock.now_ns
    assert heartbeat.availability.state == pb.AVAILABILITY_STATE_AVAILABLE
    assert heartbeat.availability.snapshot_age_ns == 60_000_000
    hub.beat(BAD)
    assert len(_beat(hub).degradations) == 1


def test_a_snapshot_says_how_the_node_does() -> None:
    hub = _judged_hub(_Clock())
    held = hub.prepare(make_frame(1), BAD)
    snapshot = pb.StreamTracksResponse.FromString(held.message).snapshot
    assert snapshot.availability.state == pb.AVAILABILITY_STATE_AVAILABLE
    assert snapshot.degradations[0].kind == pb.DEGRADATION_KIND_LOWER_RATE


def test_listeners_hear_of_a_change_and_not_of_every_beat() -> None:
    hub = _judged_hub(_Clock())
    heard: list[int] = []
    hub.add_listener(lambda: heard.append(hub.look()))
    for state in (GOOD, GOOD, BAD, BAD, GOOD):
        hub.beat(state)
    assert heard == [1, 2, 3]
    named = dataclasses.replace(
        GOOD,
        availability=Availability(
            AvailabilityState.DEGRADED, (AvailabilityRule.CAMERAS,), unexplained_cameras=("left",)
        ),
    )
    hub.beat(named)
    assert len(heard) == 4


def test_a_node_that_says_nothing_more_is_not_vouched_for() -> None:
    clock = _Clock()
    hub = _judged_hub(clock)
    hub.publish(hub.prepare(make_frame(1), GOOD))
    before = hub.look()
    clock.now_ns += 200_000_000
    assert hub.look() == before
    clock.now_ns += 1_000_000
    assert hub.look() == before + 1
    assert _beat(hub).availability.state == pb.AVAILABILITY_STATE_DEGRADED
    assert list(_beat(hub).availability.failed) == [pb.AVAILABILITY_RULE_AGE]
    clock.now_ns += 749_000_000
    assert hub.look() == before + 1
    clock.now_ns += 1_000_000
    assert hub.look() == before + 2
    said = _beat(hub).availability
    assert (said.state, list(said.failed)) == (pb.AVAILABILITY_STATE_OFF, [])
    assert said.snapshot_age_ns == 1_001_000_000
    hub.beat(GOOD)
    assert hub.look() == before + 3


def test_what_nobody_renews_runs_out_also_while_the_walls_clock_is_set_back() -> None:
    wall, steady = _Clock(), _Clock()
    description = dataclasses.replace(describe(), availability_rules=RULES)
    hub = Hub(description, clocks=Clocks(wall, steady))
    hub.publish(hub.prepare(make_frame(1), GOOD))
    wall.now_ns -= 60_000_000_000
    steady.now_ns += 951_000_000
    said = _beat(hub)
    assert said.sent_ns == wall.now_ns
    assert said.availability.state == pb.AVAILABILITY_STATE_OFF


def test_the_head_of_the_journal_stays_until_a_newer_one_comes() -> None:
    @dataclasses.dataclass(frozen=True)
    class Head:
        record: int
        hash: bytes = b""
        signed_ns: int = 0
        signature: bytes = b""

    hub = make_hub(1)
    hub.beat(NodeState(), Head(5))
    hub.beat(NodeState())
    assert _beat(hub).journal_head.record == 5
    hub.beat(NodeState(), Head(6))
    assert _beat(hub).journal_head.record == 6
