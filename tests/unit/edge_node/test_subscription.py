"""A subscriber's place: where it begins, what it is sent, when it must wait, when it is lost."""

from __future__ import annotations

import random

import pytest

from edge_node.encoding import EndReason
from edge_node.hub import HubLimits
from edge_node.subscription import Decimator, Subscription, Wish
from tests.support.frames import PERIOD_NS, Walk, make_frame
from tests.support.streams import make_hub
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
    assert gap.gap == pb.Gap(epoch=2, first=700, last=0, reason=pb.GAP_REASON_EPOCH_OVER)
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
    subscription = Subscription(hub, Wish(1), max_unacknowledged_bytes=4 * size)
    first = _sequences(subscription.take())
    assert 4 <= len(first) <= 5
    assert subscription.full
    assert subscription.take() == []
    subscription.acknowledge(2)
    second = _sequences(subscription.take())
    assert 1 <= len(second) <= 3
    assert first + second == list(range(1, second[-1] + 1))


def test_one_snapshot_is_sent_whatever_its_size() -> None:
    subscription = Subscription(make_hub(3), Wish(1), max_unacknowledged_bytes=1)
    assert _sequences(subscription.take()) == [1]
    subscription.acknowledge(1)
    assert _sequences(subscription.take()) == [2]


def test_a_place_that_is_lost_is_told_and_not_skipped() -> None:
    hub = make_hub(4, limits=HubLimits(max_snapshots=4))
    subscription = Subscription(hub, Wish(1), max_unacknowledged_bytes=1)
    subscription.take()
    for number in range(5, 80):
        hub.write(make_frame(number))
    with pytest.raises(OverloadedError, match="no longer held"):
        subscription.check()
    assert subscription.resume_sequence == 1
    subscription.acknowledge(1)
    assert subscription.resume_sequence == 2
    with pytest.raises(OverloadedError):
        _follow(subscription, 2, 80)


def test_what_was_not_sent_cannot_be_acknowledged() -> None:
    subscription = Subscription(make_hub(3), Wish(2))
    subscription.take()
    with pytest.raises(InvalidInputError, match="the last one sent is 3"):
        subscription.acknowledge(4)
    subscription.acknowledge(3)
    subscription.acknowledge(0)
    assert subscription.acknowledged == 3
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


def test_a_pause_buys_no_burst() -> None:
    decimator = Decimator(10.0)
    assert decimator.keep(0)
    after = [decimator.keep(3_600_000_000_000 + n * 1_000_000) for n in range(50)]
    assert sum(after) <= 2
