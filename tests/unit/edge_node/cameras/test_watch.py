"""Bad cameras are found within a second and good ones are left alone, for hours of virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from edge_node.cameras.watch import Look, Verdict, Watch
from edge_node.frames import CameraState
from tests.support.glances import Court, Eye

S = 1_000_000_000
NAMES = ("north", "east", "south", "west")
FOUND_WITHIN_S = 1.0


@dataclass
class Game:
    """A watch over four cameras of one court, in virtual time."""

    court: Court
    eyes: list[Eye]
    rate_hz: float = 15.0
    time_s: float = 0.0
    silent: set[int] = field(default_factory=set)
    changes: list[tuple[float, str, CameraState]] = field(default_factory=list)
    copies: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watch = Watch(NAMES)
        self.verdicts: tuple[Verdict, ...] = ()
        for camera in range(len(self.eyes)):
            self.watch.attached(camera, 0)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * self.rate_hz)):
            self.time_s += 1.0 / self.rate_hz
            now_ns = round(self.time_s * S)
            places = self.court.at(self.time_s)
            for camera, eye in enumerate(self.eyes):
                look = self.eyes[self.copies.get(camera, camera)].look(places)
                if camera not in self.silent:
                    eye.last = look.thumb
                    self.watch.saw(camera, now_ns + camera, look)
            self._judge(now_ns + len(self.eyes))

    def _judge(self, now_ns: int) -> None:
        verdicts = self.watch.judge(now_ns)
        for name, before, after in zip(NAMES, self.verdicts or verdicts, verdicts, strict=True):
            if self.verdicts and before.state is not after.state:
                self.changes.append((self.time_s, name, after.state))
        self.verdicts = verdicts

    def state(self, camera: int) -> CameraState:
        return self.verdicts[camera].state

    def freeze(self, camera: int) -> None:
        eye = self.eyes[camera]
        assert eye.last is not None
        eye.frozen = eye.last.copy()


def game(
    court: Court | None = None, make: Callable[[int], Eye] = Eye, rate_hz: float = 15.0
) -> Game:
    return Game(court or Court(), [make(number) for number in range(len(NAMES))], rate_hz)


KINDS: dict[str, Callable[[int], Eye]] = {
    "a sensor's noise": Eye,
    "noise quantised away": lambda n: Eye(n, noise=0.0, flicker=0.0),
    "no noise, key frames pulse": lambda n: Eye(n, noise=0.0, flicker=0.0, pulse=1.0),
    "much noise": lambda n: Eye(n, noise=0.5, flicker=0.9),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_camera_is_found_and_comes_back(kind: str) -> None:
    for seed in range(5):
        run = game(Court(seed=seed), KINDS[kind])
        run.run(20.0 + 3.7 * seed)
        run.freeze(1)
        run.run(FOUND_WITHIN_S)
        assert run.state(1) is CameraState.FROZEN, (seed, run.verdicts)
        assert run.verdicts[1].detail
        run.run(8.0)
        assert run.changes[0][1:] == ("east", CameraState.FROZEN)
        assert len(run.changes) == 1, "it stays so, and it is the only one"
        run.eyes[1].frozen = None
        run.run(1.5)
        assert run.state(1) is CameraState.LIVE
        assert len(run.changes) == 2


def test_noise_over_a_frozen_picture_does_not_hide_it() -> None:
    run = game(Court(seed=3))
    run.run(20.0)
    run.freeze(2)
    eye = run.eyes[2]
    eye.instead, eye.frozen = eye.frozen, None
    run.run(FOUND_WITHIN_S)
    assert run.state(2) is CameraState.FROZEN, run.verdicts


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_called_anything_for_ten_minutes(kind: str) -> None:
    """Everybody pauses together every minute, for twelve seconds."""
    run = game(Court(people=8, seed=7), KINDS[kind], rate_hz=5.0)
    run.run(600.0)
    assert run.changes == []


@pytest.mark.parametrize("flicker", [0.4, 0.0])
def test_an_empty_half_is_not_frozen(flicker: float) -> None:
    """Two cameras see nothing but the right half, where often nobody is for up to a shot clock."""

    def eye(number: int) -> Eye:
        noise = 0.25 if flicker else 0.0
        return Eye(number, noise, flicker, from_x=0.5 if number >= 2 else 0.0)

    run = game(Court(seed=2, half_every_s=16.0, pause_s=0.0), eye, rate_hz=5.0)
    run.run(400.0)
    assert [change for change in run.changes if change[2] is CameraState.FROZEN] == []


def test_a_quiet_half_in_other_light_is_not_frozen() -> None:
    """Its noise goes on: light and boards that differ from the background say nothing."""
    run = game(Court(seed=2, pause_s=0.0))
    run.run(20.0)
    run.eyes[0].empty = True
    run.run(5.0)
    run.eyes[0].light = 1.1
    run.run(10.0)
    run.eyes[0].board = 60.0
    for _ in range(3):
        run.run(8.0)
        run.eyes[0].board = (run.eyes[0].board * 7.0) % 220.0
    assert run.changes == []


def test_lights_that_go_up_freeze_nobody() -> None:
    """With less gain there is less noise than was usual, also while all stand still."""
    run = game(Court(seed=3, pause_s=0.0))
    for eye in run.eyes:
        eye.light, eye.flicker, eye.noise = 0.35, 0.6, 0.4
    run.run(20.0)
    run.court.stopped = True
    run.run(1.0)
    for step in range(20):
        for eye in run.eyes:
            eye.light, eye.flicker, eye.noise = 0.35 + 0.65 * step / 19, 0.02, 0.1
        run.run(0.1)
    run.run(15.0)
    run.court.stopped = False
    run.run(15.0)
    assert run.changes == []
    run.freeze(1)
    run.run(FOUND_WITHIN_S)
    assert run.state(1) is CameraState.FROZEN


def test_a_camera_that_freezes_in_other_light_is_found_by_its_noise() -> None:
    run = game(Court(seed=3, pause_s=0.0))
    run.run(15.0)
    for eye in run.eyes:
        eye.light = 0.6
    run.run(5.0)
    run.court.stopped = True
    run.run(5.0)
    run.freeze(1)
    run.run(FOUND_WITHIN_S)
    assert [change[1:] for change in run.changes] == [("east", CameraState.FROZEN)]


@pytest.mark.parametrize("level", [60.0, 110.0, 230.0])
def test_a_placard_in_the_place_of_the_picture_is_frozen(level: float) -> None:
    """A static picture is another light at first sight, but has no noise at all."""
    run = game(Court(seed=3))
    run.run(20.0)
    placard = np.full((36, 64), level, np.float32)
    placard[12:24, 20:44] = 0.5 * level
    run.eyes[1].frozen = placard
    run.run(FOUND_WITHIN_S)
    assert run.state(1) is CameraState.FROZEN, run.verdicts
    run.run(20.0)
    assert [change[1:] for change in run.changes] == [("east", CameraState.FROZEN)]
    run.eyes[1].frozen = None
    run.run(1.5)
    assert run.state(1) is CameraState.LIVE


@pytest.mark.parametrize("lit_s", [0.3, 1.0, 2.0])
def test_a_camera_that_freezes_soon_after_another_light_is_found(lit_s: float) -> None:
    run = game(Court(seed=3))
    run.run(20.0)
    for eye in run.eyes:
        eye.light = 1.2
    run.run(lit_s)
    run.freeze(1)
    run.run(FOUND_WITHIN_S)
    assert run.state(1) is CameraState.FROZEN, run.verdicts
    run.run(20.0)
    assert [change[1:] for change in run.changes] == [("east", CameraState.FROZEN)]


def test_a_camera_that_freezes_soon_after_it_was_attached_is_found() -> None:
    run = game(Court(seed=3))
    run.run(1.0)
    run.freeze(1)
    run.run(FOUND_WITHIN_S)
    assert run.state(1) is CameraState.FROZEN, run.verdicts
    run.eyes[1].frozen = None
    run.run(1.5)
    assert run.state(1) is CameraState.LIVE


@pytest.mark.parametrize("light", [0.6, 1.5])
def test_a_light_with_next_to_no_noise_freezes_nobody(light: float) -> None:
    """So little that no sample differs any more: only the block means still tremble."""
    run = game(Court(seed=3, pause_s=0.0))
    run.run(20.0)
    run.court.stopped = True
    run.run(2.0)
    for eye in run.eyes:
        eye.light, eye.flicker, eye.noise = light, 0.0, 0.03
    run.run(20.0)
    assert run.changes == []


def test_when_nothing_moves_anywhere_nothing_is_claimed() -> None:
    for kind in KINDS.values():
        run = game(Court(seed=4), kind)
        run.run(15.0)
        run.court.stopped = True
        run.run(60.0)
        assert run.changes == []


def test_a_camera_that_freezes_in_a_pause_is_found_by_its_noise() -> None:
    run = game(Court(seed=4))
    run.run(15.0)
    run.court.stopped = True
    run.run(10.0)
    run.freeze(0)
    run.run(FOUND_WITHIN_S)
    assert run.state(0) is CameraState.FROZEN
    assert "nothing moves or flickers" in run.verdicts[0].detail
    run.eyes[0].frozen = None
    run.run(1.5)
    assert run.state(0) is CameraState.LIVE


def test_darkness_is_black_and_a_dark_hall_with_a_spot_is_not() -> None:
    run = game(Court(seed=5))
    run.run(10.0)
    eye = run.eyes[3]
    eye.instead = np.full((36, 64), 17.0, np.float32)
    run.run(FOUND_WITHIN_S)
    assert run.state(3) is CameraState.BLACK
    spot = np.full((36, 64), 20.0, np.float32)
    spot[10:14, 20:26] = 150.0
    eye.instead = spot
    run.run(0.6)
    assert run.state(3) is not CameraState.BLACK
    eye.instead = None
    run.run(1.5)
    assert run.state(3) is CameraState.LIVE
    assert {name for _, name, _ in run.changes} == {"west"}


def test_the_copy_is_found_and_not_the_one_that_is_copied() -> None:
    for seed in range(5):
        run = game(Court(seed=seed))
        run.run(10.0 + seed)
        run.copies[2] = 0
        run.run(FOUND_WITHIN_S)
        assert run.state(2) is CameraState.DUPLICATED, seed
        assert run.verdicts[2].detail == "it shows what north shows"
        run.run(5.0)
        assert [change[1] for change in run.changes] == ["south"]
        del run.copies[2]
        run.run(1.0)
        assert run.state(2) is CameraState.LIVE


def test_two_that_were_alike_from_the_start_are_both_left_out() -> None:
    run = game(Court(seed=1))
    run.copies[2] = 0
    run.run(2.0)
    states = [verdict.state for verdict in run.verdicts]
    assert states == [CameraState.DUPLICATED, CameraState.LIVE] * 2


def test_plain_pictures_are_no_copies_of_each_other() -> None:
    run = game(Court(people=0))
    for eye in run.eyes:
        eye.instead = np.full((36, 64), 100.0 + eye.number, np.float32)
    run.run(10.0)
    assert run.changes == []


@pytest.mark.parametrize("rate_hz", [5.0, 15.0, 60.0])
def test_silence_is_found_at_any_rate(rate_hz: float) -> None:
    run = game(Court(seed=1), rate_hz=rate_hz)
    run.run(5.0)
    run.silent.add(0)
    began_s = run.time_s
    run.run(1.2)
    (change,) = run.changes
    assert change[1:] == ("north", CameraState.DISCONNECTED)
    assert change[0] - began_s <= FOUND_WITHIN_S
    run.silent.clear()
    run.run(0.5)
    assert run.state(0) is CameraState.LIVE


def test_a_missing_frame_is_no_silence() -> None:
    run = game(Court(seed=1), rate_hz=15.0)
    run.run(5.0)
    for _ in range(50):
        run.silent.add(0)
        run.run(3.0 / 15.0)
        run.silent.clear()
        run.run(0.5)
    assert run.changes == []


def test_what_the_connection_says_comes_first() -> None:
    watch = Watch(NAMES)
    waiting = watch.judge(0)
    assert waiting == (Verdict(CameraState.WAITING, "it has no source"),) * 4
    watch.attached(0, 0)
    watch.lost(0, S, "Connection refused")
    assert watch.judge(S)[0] == Verdict(CameraState.DISCONNECTED, "Connection refused")
    watch.saw(0, 2 * S)
    assert watch.judge(2 * S)[0].state is CameraState.LIVE
    watch.finished(0, 3 * S)
    assert watch.judge(99 * S)[0].state is CameraState.ENDED
    watch.attached(0, 100 * S)
    watch.finished(0, 101 * S, "broken")
    assert watch.judge(102 * S)[0] == Verdict(CameraState.FAILED, "broken")
    watch.removed(0, 103 * S)
    assert watch.judge(104 * S)[0] == waiting[0]


def test_recorded_observations_freeze_and_double() -> None:
    watch = Watch(NAMES)
    for camera in range(4):
        watch.attached(camera, 0)
    rng = np.random.default_rng(1)
    frozen_mark = 0
    for number in range(1, 400):
        now_ns = round(number * S / 60)
        marks = [int(mark) for mark in rng.integers(1, 1 << 32, 4)]
        if number > 240:
            marks[1] = frozen_mark = frozen_mark or marks[1]
        if number > 300:
            marks[3] = marks[2]
        for camera, mark in enumerate(marks):
            frozen = camera == 1 and number > 241
            watch.saw(camera, now_ns, Look(None, 0.0 if frozen else 1.0, mark))
        states = [verdict.state for verdict in watch.judge(now_ns)]
        if number == 300:
            assert states[1] is CameraState.FROZEN
            assert states.count(CameraState.LIVE) == 3
    assert states[2:] == [CameraState.DUPLICATED] * 2
    assert states[:2] == [CameraState.LIVE, CameraState.FROZEN]
