"""A subscriber's place: where it begins, what it is sent, when it must wait, when it is lost."""

from __future__ import annotations

import random

import pytest

from edge_node.description import EndReason
from edge_node.hub import Hub
from edge_node.ring import HubLimits
from edge_node.subscription import Decimator, Patience, Subscription, Wish
from tests.support.frames import PERIOD_NS, Walk, describe, make_frame
from tests.support.streams import make_hub, make_restarted_hub
from tipoff.errors import InvalidInputError
from tipoff.stream_errors import OverloadedError, SequenceOutOfRangeError
from tipoff.v1 import tracking_pb2 as pb


def _read(messages: list[bytes]) -> list[pb.StreamTracksResponse]:
    return [pb.StreamTracksResponse.FromString(message) for message in messages]


def _sequences(messages: list[bytes]) -> list[int]:
    return [response.snapshot.sequence for response in _read(messages)]


def _follow(subscription: Subscription, first: int, last: int) -> None:
    for number in range(first, last + 1):
        subscription.take()
        subscription.acknowledge(number)


def test_zero_begins_with_the_newest() -> None:
    hub = make_hub(5)
    subscription = Subscription(hub, Wish())
    hub.write(make_frame(6))
    assert _sequences(subscription.take()) == [5, 6]


def test_zero_on_an_empty_hub_begins_with_the_first() -> None:
    hub = make_hub()
    subscription = Subscription(hub, Wish())
    assert subscription.take() == []
    hub.write(make_frame(1))
    assert _sequences(subscription.take()) == [1]


@pytest.mark.parametrize("first", [1, 3, 5])
def test_it_begins_where_it_is_asked_to(first: int) -> None:
    subscription = Subscription(make_hub(5), Wish(first))
    assert _sequences(subscription.take()) == list(range(first, 6))


def test_the_next_to_come_is_waited_for() -> None:
    hub = make_hub(5)
    subscription = Subscription(hub, Wish(6))
    assert subscription.take() == []
    assert subscription.caught_up
    hub.write(make_frame(6))
    assert _sequences(subscription.take()) == [6]


@pytest.mark.parametrize("wish", [Wish(7), Wish(1, from_epoch=3), Wish(2**63)])
def test_what_lies_beyond_the_head_is_out_of_range(wish: Wish) -> None:
    with pytest.raises(SequenceOutOfRangeError, match="the next to come is 6 of epoch 2"):
        Subscription(make_hub(5, epoch=2), wish)


def test_what_is_no_longer_held_is_a_gap() -> None:
    hub = make_hub(10, limits=HubLimits(max_snapshots=4))
    gap, *snapshots = _read(Subscription(hub, Wish(3)).take())
    assert gap.gap == pb.Gap(epoch=1, first=3, last=6, reason=pb.GAP_REASON_EXPIRED)
    assert [response.snapshot.sequence for response in snapshots] == [7, 8, 9, 10]


def test_the_gap_grows_with_what_goes_before_the_first_is_sent() -> None:
    hub = make_hub(10, limits=HubLimits(max_snapshots=4))
    subscription = Subscription(hub, Wish(7))
    hub.write(make_frame(11))
    gap, first, *_ = _read(subscription.take())
    assert (gap.gap.first, gap.gap.last) == (7, 7)
    assert first.snapshot.sequence == 8


def test_an_epoch_that_is_over_is_a_gap_with_an_open_end() -> None:
    hub = make_hub(2, epoch=3)
    gap, *snapshots = _read(Subscription(hub, Wish(700, from_epoch=2)).take())
    assert gap.gap == pb.Gap(
        epoch=2, first=700, last=0, reason=pb.GAP_REASON_EPOCH_OVER, next_epoch=3
    )
    assert [response.snapshot.sequence for response in snapshots] == [1, 2]


def test_both_gaps_where_the_new_epoch_has_lost_its_first() -> None:
    hub = make_hub(10, epoch=3, limits=HubLimits(max_snapshots=4))
    over, expired, first, *_ = _read(Subscription(hub, Wish(700, from_epoch=2)).take())
    assert over.gap.reason == pb.GAP_REASON_EPOCH_OVER
    assert expired.gap == pb.Gap(epoch=3, first=1, last=6, reason=pb.GAP_REASON_EXPIRED)
    assert first.snapshot.sequence == 7


def test_the_shared_bytes_are_sent_as_they_are() -> None:
    hub = make_hub(3)
    taken = Subscription(hub, Wish(1)).take()
    assert all(message is held.message for message, held in zip(taken, hub.read(1), strict=True))


def test_what_is_on_the_way_is_bounded_until_it_is_acknowledged() -> None:
    hub = make_hub(40)
    size = len(hub.read(1)[0].message)
    subscription = Subscription(hub, Wish(1), Patience(max_unacknowledged_bytes=4 * size))
    first = _sequences(subscription.take())
    assert 4 <= len(first) <= 5
    assert subscription.full
    assert subscription.take() == []
    subscription.acknowledge(2)
    second = _sequences(subscription.take())
    assert 1 <= len(second) <= 3
    assert first + second == list(range(1, second[-1] + 1))


def test_one_snapshot_is_sent_whatever_its_size() -> None:
    subscription = Subscription(make_hub(3), Wish(1), Patience(max_unacknowledged_bytes=1))
    assert _sequences(subscription.take()) == [1]
    subscription.acknowledge(1)
    assert _sequences(subscription.take()) == [2]


def test_a_place_that_is_lost_is_told_and_not_skipped() -> None:
    hub = make_hub(4, limits=HubLimits(max_snapshots=4))
    subscription = Subscription(hub, Wish(1), Patience(max_unacknowledged_bytes=1))
    subscription.take()
    for number in range(5, 80):
        hub.write(make_frame(number))
    with pytest.raises(OverloadedError, match="no longer held"):
        subscription.check()
    assert subscription.resume == (1, 1)
    subscription.acknowledge(1)
    assert subscription.resume == (1, 2)
    with pytest.raises(OverloadedError):
        _follow(subscription, 2, 80)


def test_what_was_not_sent_cannot_be_acknowledged() -> None:
    subscription = Subscription(make_hub(3), Wish(2))
    subscription.take()
    with pytest.raises(InvalidInputError, match="the last one sent is 3"):
        subscription.acknowledge(4)
    subscription.acknowledge(3)
    subscription.acknowledge(0)
    assert subscription.acknowledged == (1, 3)
    assert subscription.settled


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf"), 1e9])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(InvalidInputError, match="max_rate_hz"):
        Wish(max_rate_hz=rate)


def test_a_decimated_stream_says_what_it_skipped() -> None:
    hub = make_hub(20, walk=Walk(period_ns=20_000_000))
    hub.end(EndReason.COMPLETED)
    subscription = Subscription(hub, Wish(1, max_rate_hz=10.0))
    responses = _read(subscription.take())
    assert [response.snapshot.sequence for response in responses] == [1, 6, 11, 16]
    skipped = [(response.skipped.first, response.skipped.last) for response in responses]
    assert skipped == [(0, 0), (2, 5), (7, 10), (12, 15)]
    assert hub.ended is not None
    end = pb.StreamTracksResponse.FromString(subscription.finish(hub.ended.message))
    assert end.end.last_sequence == 20
    assert (end.skipped.first, end.skipped.last) == (17, 20)


def test_the_numbers_of_a_decimated_stream_are_those_of_the_whole() -> None:
    hub = make_hub(20)
    whole = {r.snapshot.sequence: r.snapshot for r in _read(Subscription(hub, Wish(1)).take())}
    for response in _read(Subscription(hub, Wish(1, max_rate_hz=15.0)).take()):
        assert response.snapshot == whole[response.snapshot.sequence]


@pytest.mark.parametrize("seed", range(5))
def test_a_rate_of_the_stream_itself_loses_nothing_to_jitter(seed: int) -> None:
    jitter = random.Random(seed)
    decimator = Decimator(60.0)
    times = [round(number * PERIOD_NS + jitter.uniform(-3e6, 3e6)) for number in range(600)]
    kept = sum(decimator.keep(time_ns) for time_ns in times)
    assert kept >= 598


@pytest.mark.parametrize("rate", [0.5, 7.0, 24.0, 59.0])
def test_a_lower_rate_is_kept_to(rate: float) -> None:
    decimator = Decimator(rate)
    kept = sum(decimator.keep(number * PERIOD_NS) for number in range(6000))
    assert kept == pytest.approx(6000 / 60 * rate, abs=2)


def test_a_rate_however_low_is_a_rate() -> None:
    for rate_hz in (1e-300, 5e-324):
        decimator = Decimator(rate_hz)
        assert [decimator.keep(second * 10**9) for second in range(3)] == [True, False, False]


def test_a_pause_buys_no_burst() -> None:
    decimator = Decimator(10.0)
    assert decimator.keep(0)
    after = [decimator.keep(3_600_000_000_000 + n * 1_000_000) for n in range(50)]
    assert sum(after) <= 2


def _keys(messages: list[bytes]) -> list[tuple[int, int]]:
    """Name what comes: (epoch, sequence) of a snapshot, (-reason, first) of a gap."""
    keys = []
    for response in _read(messages):
        if response.HasField("gap"):
            keys.append((-response.gap.reason, response.gap.first))
        else:
            keys.append((response.snapshot.epoch, response.snapshot.sequence))
    return keys


RESTART, EXPIRED, OVER = (
    -reason for reason in (pb.GAP_REASON_RESTARTED, pb.GAP_REASON_EXPIRED, pb.GAP_REASON_EPOCH_OVER)
)
NEW = [(RESTART, 0), (3, 1), (3, 2)]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        # Held are 4 to 6 of epoch 2, and 1 and 2 of epoch 3.
        (Wish(4, 2), [(2, 4), (2, 5), (2, 6), *NEW]),
        (Wish(6, 2), [(2, 6), *NEW]),
        (Wish(7, 2), NEW),
        (Wish(2, 2), [(EXPIRED, 2), (2, 4), (2, 5), (2, 6), *NEW]),
        (Wish(9, 2), [(OVER, 9), *NEW]),
        (Wish(3, 1), [(OVER, 3), (EXPIRED, 1), (2, 4), (2, 5), (2, 6), *NEW]),
        (Wish(1), NEW),
        (Wish(2), [(3, 2)]),
        (Wish(), [(3, 2)]),
    ],
)
def test_a_stream_goes_on_over_a_restart(wish: Wish, expected: list[tuple[int, int]]) -> None:
    hub = make_restarted_hub(3, 2, first=4)
    assert _keys(Subscription(hub, wish).take()) == expected


def test_the_gap_of_a_restart_names_the_time_without_frames() -> None:
    hub = make_restarted_hub(3, 1)
    gap, snapshot = _read(Subscription(hub, Wish(4, 2)).take())
    before = _read([hub.read(0)[0].message])[0].snapshot
    assert gap.gap == pb.Gap(
        epoch=2,
        reason=pb.GAP_REASON_RESTARTED,
        from_time_ns=before.time_ns,
        to_time_ns=snapshot.snapshot.time_ns,
        next_epoch=3,
    )


def test_who_had_all_of_the_old_epoch_waits_for_the_new_one() -> None:
    hub = make_restarted_hub(3, 0)
    subscription = Subscription(hub, Wish(4, 2))
    assert subscription.take() == []
    assert subscription.caught_up
    hub.write(make_frame(10))
    assert _keys(subscription.take()) == [(RESTART, 0), (3, 1)]


def test_who_begins_anew_before_the_first_is_told_of_the_restart_too() -> None:
    hub = make_restarted_hub(3, 0)
    subscription = Subscription(hub, Wish())
    assert subscription.take() == []
    hub.write(make_frame(10))
    assert _keys(subscription.take()) == [(RESTART, 0), (3, 1)]


def test_an_epoch_without_snapshots_has_nothing_that_is_missing() -> None:
    """Epoch 3 was opened and wrote nothing: whoever waited for its first goes on."""
    hub = make_restarted_hub(3, 1, epoch=4)
    assert _keys(Subscription(hub, Wish(1, 3)).take()) == [(RESTART, 0), (4, 1)]


def test_an_epoch_that_went_while_its_rest_was_wanted_is_told() -> None:
    """The ring keeps only the new epoch: of the old one it knows where it ended."""
    hub = make_restarted_hub(3, 2, limits=HubLimits(max_snapshots=2))
    assert _keys(Subscription(hub, Wish(2, 2)).take()) == [(EXPIRED, 2), *NEW]
    gap = _read(Subscription(hub, Wish(2, 2)).take())[0].gap
    assert (gap.epoch, gap.first, gap.last) == (2, 2, 3)


def test_a_decimated_stream_over_a_restart_says_what_it_skipped_in_each_epoch() -> None:
    hub = make_restarted_hub(5, 3)
    responses = _read(Subscription(hub, Wish(1, 2, max_rate_hz=10.0)).take())
    told = []
    for response in responses:
        if response.HasField("skipped"):
            told.append((response.WhichOneof("message"), response.skipped.first))
    assert told[0] == ("gap", 2)
    sequences = [r.snapshot.sequence for r in responses if r.HasField("snapshot")]
    assert sequences[0] == 1


def test_acknowledgements_name_their_epoch() -> None:
    hub = make_restarted_hub(3, 2)
    subscription = Subscription(hub, Wish(1, 2))
    subscription.take()
    subscription.acknowledge(3, 2)
    assert subscription.resume == (2, 4)
    assert not subscription.settled
    subscription.acknowledge(1)
    assert subscription.resume == (3, 2)
    subscription.acknowledge(3, 2)
    assert subscription.resume == (3, 2)
    with pytest.raises(InvalidInputError, match="the last one sent is 2 of epoch 3"):
        subscription.acknowledge(3)
    subscription.acknowledge(2)
    assert subscription.settled


def test_in_an_old_epoch_nothing_of_the_new_one_can_be_acknowledged() -> None:
    hub = make_restarted_hub(3, 0)
    subscription = Subscription(hub, Wish(1, 2))
    subscription.take()
    subscription.acknowledge(0)
    with pytest.raises(InvalidInputError, match="3 of epoch 2"):
        subscription.acknowledge(1)


class _Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_lag_is_the_age_of_the_oldest_thing_not_acknowledged() -> None:
    clock = _Clock()
    hub = make_hub(1)
    subscription = Subscription(hub, Wish(1), Patience(max_lag_s=2.0, clock_s=clock))
    clock.now_s += 100.0
    subscription.check()
    subscription.take()
    clock.now_s += 1.5
    hub.write(make_frame(2))
    subscription.take()
    clock.now_s += 0.5
    assert subscription.lag_s == pytest.approx(2.0)
    subscription.check()
    clock.now_s += 0.01
    with pytest.raises(OverloadedError, match=r"sent 2\.0 s ago") as caught:
        subscription.check()
    assert caught.value.ids["reason"] == "TOO_FAR_BEHIND"
    assert subscription.resume == (1, 1)
    subscription.acknowledge(1)
    subscription.check()
    assert subscription.resume == (1, 2)
    clock.now_s += 1.6
    with pytest.raises(OverloadedError):
        subscription.check()
    subscription.acknowledge(2)
    clock.now_s += 1000.0
    subscription.check()


def test_a_game_that_is_served_again_from_its_middle_begins_without_a_gap() -> None:
    hub = Hub(describe(), first=500)
    subscription = Subscription(hub, Wish())
    assert subscription.take() == []
    hub.write(make_frame(1))
    assert _keys(subscription.take()) == [(1, 500)]
    assert _keys(Subscription(hub, Wish(1)).take()) == [(EXPIRED, 1), (1, 500)]
