"""Capture times: even where arrival is not, the sender's where it can be believed."""

from __future__ import annotations

import random
from statistics import pstdev

import pytest

from edge_node.cameras.clock import ArrivalClock, EvenBeat, StreamClock
from edge_node.frames import CaptureClock

MS = 1_000_000
S = 1_000 * MS
START = 1_790_000_000 * S


def arrivals(
    frames: int, rate: float, seed: int = 1, drift: float = 0.0
) -> list[tuple[int, int, int]]:
    """True capture time, media time by the camera's own crystal, arrival 20 ms or more later."""
    rng = random.Random(seed)
    rows, last = [], 0
    for number in range(frames):
        true = START + round(number * S / rate)
        media = round(number * S / rate * (1.0 + drift))
        way = 20 * MS + round(rng.expovariate(1 / (4 * MS)))
        last = max(last, true + way)  # one behind the other on one connection
        rows.append((true, media, last))
    return rows


def test_arrival_is_smoothed_and_its_jitter_measured() -> None:
    clock = ArrivalClock()
    rows = arrivals(1200, 60.0)
    off = [clock.capture_time_ns(media, here) - true for true, media, here in rows]
    raw = [here - true for true, _, here in rows]
    settled = off[120:]
    assert pstdev(settled) < 0.3 * MS < pstdev(raw[120:]) / 10
    # What is left is the shortest way, which nobody can know from here.
    assert 19 * MS < sum(settled) / len(settled) < 23 * MS
    assert 2 * MS < clock.jitter_ns < 8 * MS


def test_a_known_latency_is_taken_off() -> None:
    known, plain = ArrivalClock(20 * MS), ArrivalClock()
    for _, media, here in arrivals(300, 30.0):
        assert plain.capture_time_ns(media, here) - known.capture_time_ns(media, here) == 20 * MS


def test_a_crystal_that_is_off_is_followed() -> None:
    for drift in (-80e-6, 80e-6):
        clock = ArrivalClock()
        off = [
            clock.capture_time_ns(media, here) - true
            for true, media, here in arrivals(60 * 60 * 10, 60.0, drift=drift)
        ]
        assert max(off[600:]) < 30 * MS
        assert min(off[600:]) > 15 * MS


def test_a_burst_of_old_frames_at_the_start_does_not_last() -> None:
    clock = ArrivalClock()
    rows = arrivals(300, 30.0)
    burst = START + 2 * S
    off = [clock.capture_time_ns(m, max(here, burst)) - true for true, m, here in rows]
    assert abs(off[70] - 20 * MS) < 8 * MS
    assert abs(off[-1] - 20 * MS) < 4 * MS


def test_a_clock_that_is_set_is_followed_at_once() -> None:
    clock = ArrivalClock()
    rows = arrivals(300, 30.0)
    for _, media, here in rows[:200]:
        clock.capture_time_ns(media, here)
    for true, media, here in rows[200:]:
        last = clock.capture_time_ns(media, here - 100 * S) - (true - 100 * S)
    assert abs(last - 20 * MS) < 5 * MS


def test_the_sender_is_believed_where_its_clock_agrees() -> None:
    clock = StreamClock()
    for number, (true, media, here) in enumerate(arrivals(200, 30.0)):
        # libav gives a frame the time of the next one where a report came in its middle.
        slip = 33_333_333 if number in (0, 150) else 0
        stamp = clock.stamp(media, here, true + 300_000 + slip)
        if number >= 2:
            assert stamp.clock is CaptureClock.SENDER
            assert abs(stamp.capture_time_ns - true - 300_000) <= 1
    assert clock.jitter_ns < 1000
    assert clock.detail == ""


def test_a_sender_whose_clock_is_wrong_is_not_believed_and_it_says_so() -> None:
    clock = StreamClock()
    for true, media, here in arrivals(200, 30.0):
        stamp = clock.stamp(media, here, true - 3600 * S)
        assert stamp.clock is CaptureClock.ARRIVAL
    assert "3600.0 s behind" in clock.detail
    # It is set: from then on it is believed.
    for true, media, here in arrivals(5, 30.0):
        stamp = clock.stamp(media, here, true)
    assert (stamp.clock, clock.detail) == (CaptureClock.SENDER, "")


@pytest.mark.parametrize(("ahead_ms", "believed"), [(10, True), (80, False), (450, False)])
def test_a_sender_that_has_frames_from_the_future_is_not_believed(
    ahead_ms: int, believed: bool
) -> None:
    """Frames take 20 ms at least: what is ahead by more would be here before it was taken."""
    clock = StreamClock()
    for true, media, here in arrivals(200, 30.0):
        stamp = clock.stamp(media, here, true + ahead_ms * MS)
    assert (stamp.clock is CaptureClock.SENDER) is believed
    assert ("ms ahead of this machine's" in clock.detail) is not believed


def test_media_times_that_begin_anew_are_followed_at_once() -> None:
    clock = ArrivalClock()
    rows = arrivals(300, 30.0)
    for _, media, here in rows[:200]:
        clock.capture_time_ns(media, here)
    off = [clock.capture_time_ns(media - 5 * S, here) - true for true, media, here in rows[200:]]
    assert max(map(abs, off)) < 100 * MS
    assert abs(off[-1] - 20 * MS) < 5 * MS


def test_a_network_that_hangs_does_not_make_the_sender_a_liar() -> None:
    clock = StreamClock()
    for number, (true, media, here) in enumerate(arrivals(600, 30.0)):
        late = 4 * S if 300 <= number < 400 else 0
        clock.stamp(media, here + late, true)
        assert number == 0 or clock.clock is CaptureClock.SENDER


def test_without_reports_it_is_arrival() -> None:
    clock = StreamClock()
    for _, media, here in arrivals(100, 30.0):
        assert clock.stamp(media, here, None).clock is CaptureClock.ARRIVAL
    assert clock.jitter_ns > MS


def test_the_beat_of_a_camera_that_misses_frames_is_still_even() -> None:
    beat = EvenBeat()
    for number in (0, 1, 2, 3, 5, 6, 9, 10, 11, 12):
        beat.add(START + number * 33_333_333)
    assert beat.interval_ns == 33_333_333
    assert beat.jitter_ns < 10
    rng = random.Random(3)
    for number in range(13, 80):
        beat.add(START + number * 33_333_333 + round(rng.gauss(0, MS)))
    assert 0.7 * MS < beat.jitter_ns < 1.3 * MS
