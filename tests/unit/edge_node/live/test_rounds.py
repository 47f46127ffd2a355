"""Rounds of live cameras: complete ones end at once, missing cameras cost their hold once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.frames import ObservedFrame
from edge_node.live.rounds import LiveRounds, RoundOptions, round_time_ns
from edge_node.perception import Frame

MS = 1_000_000
PERIOD = 20 * MS
NOBODY = np.empty((0, 17, 3), np.float32)


def frame(camera: int, arrived_ns: int, capture_ns: int | None = None) -> ObservedFrame:
    time_ns = arrived_ns if capture_ns is None else capture_ns
    return ObservedFrame(camera, f"cam{camera}", time_ns, 0, NOBODY, arrived_ns)


def play(rounds: LiveRounds, arrivals: list[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    """Give each (time, camera) at its time, looking every ms; gives when rounds ended, of whom."""
    ended: list[tuple[int, list[int]]] = []
    queue = sorted(arrivals)
    for now_ns in range(0, queue[-1][0] + 60 * MS, MS):
        while queue and queue[0][0] <= now_ns:
            at_ns, camera = queue.pop(0)
            if (done := rounds.add(frame(camera, at_ns))) is not None:
                ended.append((at_ns, [f.camera for f in done]))
        if (done := rounds.due(now_ns)) is not None:
            ended.append((now_ns, [f.camera for f in done]))
    return ended


def steady(cameras: range, beats: range, shift_ms: int = 2) -> list[tuple[int, int]]:
    return [
        (beat * PERIOD + camera * shift_ms * MS, camera) for beat in beats for camera in cameras
    ]


def test_once_the_beat_is_known_a_round_ends_with_its_last_camera() -> None:
    ended = play(LiveRounds(), steady(range(4), range(30)))
    for at_ns, cameras in ended[12:]:
        assert cameras == [0, 1, 2, 3]
        assert at_ns % PERIOD == 6 * MS


def test_a_camera_that_falls_silent_is_waited_for_once() -> None:
    hold = RoundOptions(hold_ns=15 * MS)
    arrivals = steady(range(3), range(20)) + steady(range(2), range(20, 40))
    late = [
        at_ns % PERIOD
        for at_ns, cameras in play(LiveRounds(hold), arrivals)
        if cameras == [0, 1] and at_ns >= 20 * PERIOD
    ]
    assert late[0] > 2 * MS
    assert set(late[1:]) == {2 * MS}


def test_a_camera_that_comes_back_belongs_to_the_rounds_again() -> None:
    arrivals = steady(range(3), range(10)) + steady(range(2), range(10, 20))
    arrivals += steady(range(3), range(20, 40))
    ended = play(LiveRounds(), arrivals)
    assert [0, 1, 2] in [cameras for at_ns, cameras in ended if at_ns > 25 * PERIOD]
    assert ended[-1][1] == [0, 1, 2]


def test_a_slow_camera_does_not_slow_the_fast_ones() -> None:
    fast = [(beat * PERIOD + camera * MS, camera) for beat in range(60) for camera in range(2)]
    slow = [(beat * 3 * PERIOD + 3 * MS, 2) for beat in range(20)]
    ended = play(LiveRounds(), fast + slow)[9:]
    assert sum(cameras == [0, 1] for _, cameras in ended) >= 2 * 17
    assert {tuple(cameras) for _, cameras in ended} == {(0, 1), (0, 1, 2)}
    assert all(at_ns % PERIOD <= 3 * MS for at_ns, _ in ended)


def test_no_camera_stands_twice_in_a_round_and_no_frame_is_lost() -> None:
    rng = np.random.default_rng(5)
    arrivals = [(int(at), int(rng.integers(5))) for at in np.sort(rng.uniform(0, 5e9, 900))]
    ended = play(LiveRounds(), arrivals)
    assert all(len(set(cameras)) == len(cameras) for _, cameras in ended)
    assert sum(len(cameras) for _, cameras in ended) == len(arrivals)


def test_frames_of_a_round_are_in_order_of_time_and_camera() -> None:
    rounds = LiveRounds()
    rounds.add(frame(2, 10, capture_ns=7))
    rounds.add(frame(0, 11, capture_ns=7))
    rounds.add(frame(1, 12, capture_ns=5))
    done = rounds.due(10 + 25 * MS)
    assert done is not None
    assert [f.camera for f in done] == [1, 0, 2]


@pytest.mark.parametrize("jump_ns", [3600 * 10**9, -3600 * 10**9])
def test_a_clock_that_jumped_does_not_move_the_rounds_time(jump_ns: int) -> None:
    frames = [frame(camera, 0, 100 + camera) for camera in range(3)] + [frame(3, 0, jump_ns)]
    assert round_time_ns(frames) == 102


def test_a_forgotten_camera_is_not_waited_for() -> None:
    rounds = LiveRounds()
    for at_ns, camera in steady(range(2), range(10)):
        rounds.add(frame(camera, at_ns))
        rounds.due(at_ns)
    rounds.forget(1)
    rounds.add(frame(0, 10 * PERIOD))
    assert rounds.due(10 * PERIOD) is not None


def test_what_a_camera_gave_before_it_was_forgotten_stays_in_its_round() -> None:
    rounds = LiveRounds()
    for at_ns, camera in steady(range(3), range(10)):
        rounds.add(frame(camera, at_ns))
        rounds.due(at_ns)
    for camera in (0, 1):
        rounds.add(frame(camera, 10 * PERIOD))
    rounds.forget(1)
    assert rounds.due(10 * PERIOD) is None, "camera 2 is waited for"
    rounds.forget(0)
    rounds.add(frame(2, 10 * PERIOD))
    ended = rounds.due(10 * PERIOD)
    assert ended is not None
    assert [f.camera for f in ended] == [0, 1, 2]


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "forget", "due"]), st.integers(0, 3), st.integers(0, 30)),
        max_size=60,
    )
)
def test_whatever_happens_each_frame_is_in_one_round(steps: list[tuple[str, int, int]]) -> None:
    rounds, now_ns, given_times = LiveRounds(), 0, []
    ended: list[list[Frame]] = []
    for what, camera, wait_ms in steps:
        now_ns += wait_ms * MS
        done = None
        if what == "add":
            given_times.append((camera, now_ns))
            done = rounds.add(frame(camera, now_ns))
        elif what == "forget":
            rounds.forget(camera)
        else:
            done = rounds.due(now_ns)
        ended.append(list(done or []))
    ended.append(list(rounds.due(now_ns + 1000 * MS) or []))
    for one in ended:
        assert len({f.camera for f in one}) == len(one)
    assert sorted((f.camera, f.arrived_ns) for one in ended for f in one) == sorted(given_times)


def test_frames_of_one_trigger_stay_together_however_unevenly_they_arrive() -> None:
    rng = np.random.default_rng(7)
    frames = [
        frame(camera, beat * PERIOD + int(rng.exponential(4 * MS)), capture_ns=beat * PERIOD)
        for beat in range(400)
        for camera in range(8)
    ]
    frames.sort(key=lambda f: f.arrived_ns)
    rounds, whole, cut = LiveRounds(), 0, 0
    for now_ns in range(0, 401 * PERIOD, MS):
        done = []
        while frames and frames[0].arrived_ns <= now_ns:
            done.append(rounds.add(frames.pop(0)))
        for ended in (*done, rounds.due(now_ns)):
            if ended is not None and now_ns > 20 * PERIOD:
                whole += len(ended) == 8
                cut += len(ended) < 8
    assert whole >= 0.85 * 380
    assert cut <= 0.2 * 380


def test_cameras_spread_over_the_beat_make_one_round_a_beat() -> None:
    arrivals = [
        (beat * PERIOD + shift * MS, c) for beat in range(100) for c, shift in enumerate((0, 5, 11))
    ]
    ended = play(LiveRounds(), arrivals)[9:-1]
    assert {tuple(sorted(cameras)) for _, cameras in ended} == {(0, 1, 2)}


def test_a_frame_of_the_next_beat_does_not_come_into_a_round_that_waits() -> None:
    """One that misses frames is waited for, and one of half the rate is first in the next beat."""
    frames = []
    for beat in range(200):
        for camera in range(4):
            misses = (camera == 3 and beat % 2 == 0) or (camera == 2 and beat % 5 == 4)
            late_ns = 0 if camera == 3 else (camera + 1) * MS
            if not misses:
                frames.append(frame(camera, beat * PERIOD + late_ns, capture_ns=beat * PERIOD))
    rounds, ended = LiveRounds(RoundOptions(hold_ns=25 * MS)), []
    frames.sort(key=lambda f: f.arrived_ns)
    for now_ns in range(0, 201 * PERIOD, MS):
        while frames and frames[0].arrived_ns <= now_ns:
            ended.append(rounds.add(frames.pop(0)))
        ended.append(rounds.due(now_ns))
    beats = [{f.capture_time_ns // PERIOD for f in one} for one in ended if one][10:]
    assert all(len(beat) == 1 for beat in beats)
    told = sorted({min(beat) for beat in beats})
    assert told == list(range(told[0], 200)), "each beat has a round of its own"


@pytest.mark.parametrize("jump_ns", [2 * 10**9, 3600 * 10**9])
def test_a_clock_that_has_jumped_ends_no_rounds(jump_ns: int) -> None:
    frames = [
        frame(camera, at_ns, capture_ns=at_ns + (jump_ns if camera == 1 else 0))
        for at_ns, camera in steady(range(4), range(50))
    ]
    rounds, ended = LiveRounds(), []
    for one in frames:
        ended += [rounds.add(one), rounds.due(one.arrived_ns)]
    sizes = [len(one) for one in ended if one][10:-1]
    assert min(sizes) >= 3, sizes
