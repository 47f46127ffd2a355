"""Who keeps the others' time: cameras ahead, behind, held up for a moment, and set right again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from edge_node.frames import ObservedFrame
from edge_node.live.apart import LEAST_WAYS, WAYS, Apart

MS = 1_000_000
PERIOD = 33_333_333
NAMES = [f"cam{number}" for number in range(6)]
NOBODY = np.empty((0, 17, 3), np.float32)
MOST_NS = 100 * MS


def play(
    apart: Apart, beats: range, way_ns: Callable[[int, int], int], cameras: int = len(NAMES)
) -> Counter[int]:
    """Let cameras give frames, each so long after its time; gives how many were held back."""
    frames = [
        ObservedFrame(
            camera,
            NAMES[camera],
            beat * PERIOD,
            beat,
            NOBODY,
            beat * PERIOD + way_ns(camera, beat),
        )
        for beat in beats
        for camera in range(cameras)
    ]
    frames.sort(key=lambda frame: frame.arrived_ns)
    return Counter(frame.camera for frame in frames if apart.holds_back(frame))


def even(camera: int, beat: int) -> int:
    return 30 * MS + (camera * 7 + beat * 3) % 11 * MS


@pytest.mark.parametrize("off_ms", [-450, -150, 150, 900])
def test_one_camera_that_is_off_is_held_back_and_named(off_ms: int) -> None:
    apart = Apart(NAMES, MOST_NS)
    held = play(apart, range(90), lambda c, b: even(c, b) + (off_ms * MS if c == 2 else 0))
    assert set(held) == {2}
    # Until it knows the others, who come so much later.
    assert held[2] >= 90 - LEAST_WAYS - abs(off_ms) * MS // PERIOD - 1
    assert list(apart.said()) == ["cam2"]
    assert ("earlier" in apart.said()["cam2"]) is (off_ms < 0)
    # It is set right.
    held = play(apart, range(90, 180), even)
    assert held[2] <= 2 * WAYS
    assert not apart.said()


@pytest.mark.parametrize("off_ms", [-80, -30, 0, 80])
def test_what_the_tracker_can_still_take_is_not_held_back(off_ms: int) -> None:
    apart = Apart(NAMES, MOST_NS)
    assert not play(apart, range(90), lambda c, b: even(c, b) + (off_ms * MS if c == 2 else 0))
    assert not apart.said()


def test_a_moment_without_a_network_makes_nobody_a_liar() -> None:
    apart = Apart(NAMES, MOST_NS)
    # Camera 2's frames of half a second come all at once.
    hung = range(30, 45)
    play(apart, range(90), lambda c, b: (45 - b) * PERIOD if c == 2 and b in hung else even(c, b))
    assert not apart.said()
    assert not play(apart, range(90, 120), even)


def test_of_two_cameras_nobody_can_tell_which_is_wrong() -> None:
    apart = Apart(NAMES, MOST_NS)
    assert not play(apart, range(90), lambda c, b: even(c, b) - c * 300 * MS, cameras=2)


@pytest.mark.parametrize(
    ("ways_ms", "kept"),
    [
        # As on a machine that decodes late: those that the tracker can have together.
        ((0, 60, 180, 300, 450, 600), {0, 1}),
        ((5, 130, 140, 150, 20, 160), {1, 2, 3, 5}),
        ((0, 0, 0, 300, 300, 300), {0, 1, 2}),
        ((0, 30, 60, 90, 95, 100), {0, 1, 2, 3, 4, 5}),
    ],
)
def test_as_many_as_can_be_had_together_are_kept(ways_ms: tuple[int, ...], kept: set[int]) -> None:
    apart = Apart(NAMES, MOST_NS)
    play(apart, range(60), lambda c, b: ways_ms[c] * MS + (c * 7 + b * 3) % 3 * MS)
    held = play(apart, range(60, 150), lambda c, b: ways_ms[c] * MS + (c * 7 + b * 3) % 3 * MS)
    assert set(range(6)) - {camera for camera in held if held[camera] > 2} == kept


@pytest.mark.parametrize("slow", [2, 6])
def test_rates_and_ways_that_differ_within_reach_lose_nothing(slow: int) -> None:
    """Four fast cameras beside two slow ones behind a longer way."""
    apart = Apart(NAMES, MOST_NS)
    frames = [
        ObservedFrame(c, NAMES[c], at_ns, beat, NOBODY, at_ns + (50 if c > 3 else 5) * MS)
        for c in range(6)
        for beat in range(120)
        if not beat % (slow if c > 3 else 1)
        for at_ns in (beat * PERIOD // 2,)
    ]
    assert not any(map(apart.holds_back, sorted(frames, key=lambda frame: frame.arrived_ns)))


def test_a_camera_that_was_away_may_come_back_with_another_clock() -> None:
    apart = Apart(NAMES, MOST_NS)
    play(apart, range(90), lambda c, b: even(c, b) - (300 * MS if c == 2 else 0))
    play(apart, range(90, 150), even, cameras=2)
    assert not play(apart, range(150, 240), even)
    assert not apart.said()


def test_a_camera_that_comes_with_a_wrong_clock_is_held_back_from_its_first_frame_on() -> None:
    apart = Apart(NAMES, MOST_NS)
    play(apart, range(90), even, cameras=2)
    play(apart, range(90, 120), even, cameras=5)
    held = play(apart, range(120, 180), lambda c, b: even(c, b) - (300 * MS if c == 5 else 0))
    assert held == {5: 60}


@pytest.mark.parametrize("left", [1, 2])
def test_of_the_last_that_are_left_none_is_held_back(left: int) -> None:
    apart = Apart(NAMES, MOST_NS)

    def way_ns(camera: int, beat: int) -> int:
        return even(camera, beat) - (450 * MS if camera == 0 else 0)

    play(apart, range(90), way_ns)
    assert list(apart.said()) == ["cam0"]
    held = play(apart, range(90, 180), way_ns, cameras=left)
    # For a second it is not known that the others are silent.
    assert held[0] <= 60
    assert not apart.said()
