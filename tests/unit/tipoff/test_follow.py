"""What a client asks for, keeps and waits for, without a network."""

from __future__ import annotations

import pytest

from tests.support.frames import JOINTS
from tipoff.errors import InternalError, InvalidInputError, NotFoundError, UnavailableError
from tipoff.follow import (
    SHORTEST_TRY_S,
    STEADY_AFTER_S,
    ClientOptions,
    Follower,
    Patience,
    Standing,
)
from tipoff.snapshot import Snapshot
from tipoff.stream_errors import SessionFailedError
from tipoff.v1 import tracking_pb2 as pb


def _header(session: str = "game", epoch: int = 1, newest: int = 0) -> pb.StreamTracksResponse:
    skeleton = pb.Skeleton(joints=JOINTS)
    header = pb.Header(session=session, epoch=epoch, skeleton=skeleton, newest_sequence=newest)
    return pb.StreamTracksResponse(header=header)


def _snapshot(sequence: int, epoch: int = 1) -> pb.StreamTracksResponse:
    return pb.StreamTracksResponse(snapshot=pb.Snapshot(epoch=epoch, sequence=sequence))


def _given(follower: Follower, response: pb.StreamTracksResponse) -> Snapshot:
    event = follower.receive(response)
    assert isinstance(event, Snapshot)
    return event


def test_it_asks_for_what_the_caller_asked_for() -> None:
    follower = Follower("game", 7, 12.5, 3)
    asked = follower.subscribe().subscribe
    assert asked == pb.Subscribe(
        session="game",
        from_sequence=7,
        from_epoch=3,
        max_rate_hz=12.5,
        kind=pb.STREAM_KIND_LIVE,
    )
    asked = Follower(kind="smoothed").subscribe().subscribe
    assert asked.kind == pb.STREAM_KIND_SMOOTHED
    with pytest.raises(InvalidInputError, match="live, smoothed"):
        Follower(kind="rough")


def test_it_resumes_behind_what_it_has_given() -> None:
    follower = Follower()
    follower.receive(_header(newest=40))
    for sequence in (40, 41, 42):
        assert follower.receive(_snapshot(sequence)) is not None
    assert follower.subscribe().subscribe == pb.Subscribe(
        session="game", from_sequence=43, from_epoch=1, kind=pb.STREAM_KIND_LIVE
    )


@pytest.mark.parametrize(("newest", "first"), [(0, 1), (40, 40)])
def test_once_opened_it_keeps_its_place_also_before_the_first(newest: int, first: int) -> None:
    follower = Follower()
    follower.receive(_header(newest=newest))
    assert follower.subscribe().subscribe.from_sequence == first
    assert follower.subscribe().subscribe.from_epoch == 1


def test_what_was_given_is_not_given_again() -> None:
    follower = Follower(from_sequence=5)
    follower.receive(_header())
    assert follower.receive(_snapshot(5)) is not None
    follower.subscribe()
    follower.receive(_header())
    assert follower.receive(_snapshot(5)) is None
    assert follower.receive(_snapshot(6)) is not None


def test_a_new_epoch_begins_anew() -> None:
    follower = Follower(from_sequence=1)
    follower.receive(_header())
    follower.receive(_snapshot(1))
    follower.subscribe()
    follower.receive(_header(epoch=2))
    snapshot = _given(follower, _snapshot(1, epoch=2))
    assert (snapshot.epoch, snapshot.sequence) == (2, 1)
    assert follower.subscribe().subscribe.from_epoch == 2


def test_gaps_stand_before_the_next_snapshot() -> None:
    follower = Follower(from_sequence=2)
    follower.receive(_header())
    gap = pb.Gap(epoch=1, first=2, last=8, reason=pb.GAP_REASON_EXPIRED)
    assert follower.receive(pb.StreamTracksResponse(gap=gap)) is None
    first, second = _given(follower, _snapshot(9)), _given(follower, _snapshot(10))
    (before,) = first.gap_before
    assert (before.epoch, before.first, before.last, before.reason) == (1, 2, 8, "expired")
    assert second.gap_before == ()


def test_only_what_was_used_is_acknowledged_and_per_connection() -> None:
    follower = Follower(from_sequence=1)
    follower.receive(_header())
    snapshot = _given(follower, _snapshot(1))
    assert follower.acknowledge().acknowledge.sequence == 0
    follower.used(snapshot)
    assert follower.acknowledge().acknowledge.sequence == 1
    follower.subscribe()
    follower.receive(_header())
    assert follower.acknowledge().acknowledge.sequence == 0


def test_what_was_used_before_is_not_acknowledged_while_a_connection_opens() -> None:
    """A server ends a stream in which something is acknowledged that it has not sent."""
    follower = Follower(from_sequence=1)
    follower.receive(_header())
    follower.used(_given(follower, _snapshot(1)))
    follower.subscribe()
    assert follower.acknowledge().acknowledge == pb.Acknowledge()


def test_a_gap_behind_which_the_connection_breaks_is_given_once() -> None:
    follower = Follower(from_sequence=2)
    gap = pb.Gap(epoch=1, first=2, last=8, reason=pb.GAP_REASON_EXPIRED)
    for _ in range(2):
        follower.subscribe()
        follower.receive(_header())
        follower.receive(pb.StreamTracksResponse(gap=gap))
    assert len(_given(follower, _snapshot(9)).gap_before) == 1


def test_a_later_servers_messages_are_passed_over() -> None:
    follower = Follower()
    follower.receive(_header())
    assert follower.receive(pb.StreamTracksResponse()) is None
    end = pb.End(reason=99)  # type: ignore[arg-type]
    follower.receive(pb.StreamTracksResponse(end=end))
    assert follower.end is not None
    assert follower.end.reason == "unspecified"


def test_a_stream_without_a_header_breaks_the_contract() -> None:
    with pytest.raises(InternalError, match="no header"):
        Follower().receive(_snapshot(1))


def test_arrays_that_do_not_fit_break_the_contract() -> None:
    follower = Follower()
    follower.receive(_header())
    short = pb.Snapshot(epoch=1, sequence=1, track_ids=[1], joints_m=[0.0] * 5)
    with pytest.raises(InternalError, match="were due"):
        follower.receive(pb.StreamTracksResponse(snapshot=short))


def test_a_session_that_failed_is_an_error() -> None:
    follower = Follower()
    follower.receive(_header())
    end = pb.End(reason=pb.END_REASON_FAILED, detail="no disk", epoch=1, last_sequence=4)
    with pytest.raises(SessionFailedError, match="no disk"):
        follower.receive(pb.StreamTracksResponse(end=end))


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(InvalidInputError, match="max_rate_hz"):
        Follower(max_rate_hz=rate)


@pytest.mark.parametrize("numbers", [{"from_sequence": -1}, {"from_epoch": -1}])
def test_negative_numbers_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match="negative"):
        Follower(**numbers)  # type: ignore[arg-type]


def test_options_without_patience_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="backoff_max_s"):
        ClientOptions(backoff_max_s=0.0)


class _Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _patience(clock: _Clock) -> Patience:
    options = ClientOptions(
        connect_timeout_s=4.0, resume_timeout_s=20.0, backoff_initial_s=1.0, backoff_max_s=3.0
    )
    return Patience(options, clock, jitter=lambda: 1.0)


ERROR = UnavailableError("gone")


def _try_for_ever(
    patience: Patience, clock: _Clock, pauses: list[float], *, opens: bool = False
) -> None:
    while True:
        pauses.append(patience.pause_s(ERROR))
        clock.now_s += pauses[-1]
        if opens:
            patience.opened()


def test_pauses_double_up_to_their_cap_and_end_at_the_deadline() -> None:
    clock = _Clock()
    patience = _patience(clock)
    pauses: list[float] = []
    with pytest.raises(UnavailableError, match="gone"):
        _try_for_ever(patience, clock, pauses)
    # The last try is left time enough to find out what is wrong.
    assert pauses == pytest.approx([1.0, 2.0, 1.0 - SHORTEST_TRY_S])
    assert clock.now_s == pytest.approx(104.0 - SHORTEST_TRY_S)


def test_pauses_are_capped() -> None:
    clock = _Clock()
    patience = _patience(clock)
    patience.opened()
    patience.progressed()
    assert [patience.pause_s(ERROR) for _ in range(4)] == [1.0, 2.0, 3.0, 3.0]


def test_what_is_not_retryable_is_raised_at_once() -> None:
    with pytest.raises(NotFoundError):
        _patience(_Clock()).pause_s(NotFoundError("no such session"))


def test_progress_makes_the_next_outage_a_new_one() -> None:
    clock = _Clock()
    patience = _patience(clock)
    patience.opened()
    patience.progressed()
    clock.now_s += 1000.0
    assert patience.pause_s(ERROR) == 1.0
    assert patience.left_s == 20.0


def test_a_server_that_opens_and_breaks_does_not_buy_time() -> None:
    clock = _Clock()
    patience = _patience(clock)
    patience.opened()
    patience.progressed()
    with pytest.raises(UnavailableError):
        _try_for_ever(patience, clock, [], opens=True)
    assert clock.now_s == pytest.approx(120.0 - SHORTEST_TRY_S)


def test_a_quiet_stream_that_held_long_buys_time() -> None:
    clock = _Clock()
    patience = _patience(clock)
    patience.opened()
    patience.pause_s(ERROR)
    patience.opened()
    clock.now_s += STEADY_AFTER_S + 60.0
    assert patience.pause_s(ERROR) == 1.0


def test_an_acknowledgement_names_its_epoch_across_a_restart() -> None:
    follower = Follower(from_sequence=7, from_epoch=2)
    follower.receive(_header(epoch=3))
    follower.used(_given(follower, _snapshot(7, epoch=2)))
    assert follower.acknowledge().acknowledge == pb.Acknowledge(sequence=7, epoch=2)
    gap = pb.Gap(
        epoch=2, reason=pb.GAP_REASON_RESTARTED, from_time_ns=5, to_time_ns=9, next_epoch=3
    )
    skipped = pb.SequenceRange(first=8, last=9)
    follower.receive(pb.StreamTracksResponse(gap=gap, skipped=skipped))
    snapshot = _given(follower, _snapshot(1, epoch=3))
    (before,) = snapshot.gap_before
    assert (before.reason, before.from_time_ns, before.to_time_ns) == ("restarted", 5, 9)
    assert (before.next_epoch, before.missing, before.skipped) == (3, 0, (8, 9))
    follower.used(snapshot)
    assert follower.acknowledge().acknowledge == pb.Acknowledge(sequence=1, epoch=3)
    assert follower.subscribe().subscribe.from_epoch == 3


def _said(state: int, sent_ns: int, age_ns: int = 50_000_000) -> pb.StreamTracksResponse:
    availability = pb.Availability(state=state, snapshot_age_ns=age_ns)  # type: ignore[arg-type]
    heartbeat = pb.Heartbeat(epoch=1, sent_ns=sent_ns, availability=availability)
    return pb.StreamTracksResponse(heartbeat=heartbeat)


RULES = pb.AvailabilityRules(
    window_ns=10**9, min_views=3, max_std_m=0.03, max_snapshot_age_ns=25 * 10**7, off_after_ns=10**9
)


def _judged(clock: _Clock) -> Follower:
    follower = Follower()
    follower._standing = Standing(clock)
    response = _header()
    response.header.availability_rules.CopyFrom(RULES)
    follower.receive(response)
    return follower


class _Interrupted(_Clock):
    """A clock that is asked while the stream's thread hears something."""

    follower: Follower

    def __call__(self) -> float:
        hearing, self.hears = self.hears, False
        if hearing:
            beat = pb.Heartbeat(epoch=1, sent_ns=20)
            self.follower.receive(pb.StreamTracksResponse(heartbeat=beat))
        return super().__call__()

    hears = False


def test_the_availability_may_be_asked_for_while_the_stream_hears_that_nobody_decides_it() -> None:
    """As behind a restart, until the node has judged itself for the first time."""
    clock = _Interrupted()
    clock.follower = follower = _judged(clock)
    follower.receive(_said(pb.AVAILABILITY_STATE_AVAILABLE, 10))
    clock.hears = True
    assert _state(follower) == "available"
    assert _state(follower) is None


def _state(follower: Follower) -> str | None:
    said = follower.availability
    return said.state if said else None


def test_the_availability_runs_out_where_nothing_is_heard() -> None:
    clock = _Clock()
    follower = _judged(clock)
    assert _state(follower) is None
    follower.receive(_said(pb.AVAILABILITY_STATE_AVAILABLE, 10))
    assert _state(follower) == "available"
    clock.now_s += 0.19
    assert _state(follower) == "available"
    clock.now_s += 0.02
    said = follower.availability
    assert said is not None
    assert (said.state, said.failed, said.available) == ("degraded", ("age",), False)
    assert said.snapshot_age_s == pytest.approx(0.26)
    clock.now_s += 0.73
    assert _state(follower) == "degraded"
    clock.now_s += 0.02
    assert _state(follower) == "off"
    follower.receive(_said(pb.AVAILABILITY_STATE_AVAILABLE, 20))
    assert _state(follower) == "available"


def test_what_was_said_last_counts_and_not_what_comes_last() -> None:
    """Behind an outage what was held comes first; it says how things stood then."""
    follower = _judged(_Clock())
    follower.receive(_said(pb.AVAILABILITY_STATE_OFF, 1000))
    old = _snapshot(1)
    old.snapshot.sent_ns = 500
    old.snapshot.availability.state = pb.AVAILABILITY_STATE_AVAILABLE
    given = _given(follower, old)
    assert given.availability is not None
    assert given.availability.available
    assert _state(follower) == "off"
    new = _snapshot(2)
    new.snapshot.sent_ns = 1001
    new.snapshot.availability.state = pb.AVAILABILITY_STATE_AVAILABLE
    _given(follower, new)
    assert _state(follower) == "available"


def test_a_heartbeat_counts_also_where_a_clock_was_set_back() -> None:
    """The server's own, or that of the server that takes over."""
    clock = _Clock()
    follower = _judged(clock)
    follower.receive(_said(pb.AVAILABILITY_STATE_AVAILABLE, 60 * 10**9))
    clock.now_s += 5.0
    assert _state(follower) == "off"
    follower.receive(_said(pb.AVAILABILITY_STATE_AVAILABLE, 10**9))
    assert _state(follower) == "available"
    new = _snapshot(1)
    new.snapshot.sent_ns = 2 * 10**9
    new.snapshot.availability.state = pb.AVAILABILITY_STATE_DEGRADED
    _given(follower, new)
    assert _state(follower) == "degraded"


def test_a_server_that_promises_no_heartbeats_may_be_silent() -> None:
    follower = Follower()
    follower.receive(_header())
    assert follower.silence_s is None
    response = _header()
    response.header.heartbeat_every_ns = 10**9
    follower.receive(response)
    assert follower.silence_s == 3.0
