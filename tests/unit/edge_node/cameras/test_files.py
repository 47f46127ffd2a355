"""Whoever plays a file sees when to end, also while it is behind and gives nothing."""

from __future__ import annotations

import threading
from itertools import islice, pairwise
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest

from edge_node.cameras.files import ObservationsSource, VideoFileSource
from edge_node.cameras.observations import write_observations
from edge_node.cameras.slot import Tally
from edge_node.cameras.source import Schedule, SourceOptions, Surroundings
from tests.support.videos import VideoSpec, make_video

S = 1_000_000_000
FRAMES = 20


class Hurried(Schedule):
    """A game that is always far ahead, and is stopped at its third question."""

    asked = 0
    stop = threading.Event()

    def position_ns(self) -> int:
        cls = type(self)
        cls.asked += 1
        if cls.asked == 3:
            cls.stop.set()
        return 10 * S * cls.asked


def around(schedule: Schedule) -> Surroundings:
    return Surroundings("cam", schedule, Tally(0), SourceOptions())


def hurried() -> Hurried:
    Hurried.asked, Hurried.stop = 0, threading.Event()
    return Hurried()


def test_a_film_that_is_behind_is_not_played_to_its_end(tmp_path: Path) -> None:
    path = make_video(tmp_path, "slow", VideoSpec(codec="h264", frames=FRAMES, rate_hz=30))
    schedule = hurried()
    assert list(VideoFileSource(path, around(schedule)).frames(schedule.stop)) == []
    assert schedule.asked <= 4 < FRAMES


class Prompt(Schedule):
    """A game that is wherever it is waited for."""

    place_ns = 0

    def position_ns(self) -> int:
        return self.place_ns

    def wait_for(self, position_ns: int, stop: threading.Event) -> None:
        assert not stop.is_set()
        type(self).place_ns = position_ns


@pytest.mark.parametrize("codec", ["h264", "vp9", "mjpeg"])
def test_a_film_plays_in_a_loop_without_a_stumble(tmp_path: Path, codec: str) -> None:
    Prompt.place_ns = 0
    path = make_video(tmp_path, "film", VideoSpec(codec=codec, frames=FRAMES, rate_hz=20))
    options = SourceOptions(loop=True)
    source = VideoFileSource(path, Surroundings("cam", Prompt(), Tally(0), options))
    taken = islice(source.frames(threading.Event()), 3 * FRAMES)
    times = [frame.capture_time_ns for frame in taken]
    assert [round((b - a) * 20 / S) for a, b in pairwise(times)] == [1] * (3 * FRAMES - 1)


class Impatient(Tally):
    """Stops whoever leaves out more than two turns of the film."""

    stop = threading.Event()

    def add(self, reason: str, capture_time_ns: int | None = None, frames: int = 1) -> None:
        super().add(reason, capture_time_ns, frames)
        if self.total > 2 * FRAMES:
            self.stop.set()


class Waiting(Schedule):
    """A game that stands at its beginning, and is stopped when somebody waits for it."""

    waited: ClassVar[list[int]] = []

    def position_ns(self) -> int:
        return 0

    def wait_for(self, position_ns: int, stop: threading.Event) -> None:
        self.waited.append(position_ns)
        stop.set()


def test_a_film_without_a_sound_picture_turns_at_its_own_pace(tmp_path: Path) -> None:
    path = make_video(tmp_path, "torn", VideoSpec(codec="h264", frames=FRAMES, rate_hz=20))
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for place, size in places:
        assert place is not None
        data[place : place + size] = b"\xff" * size
    path.write_bytes(data)
    tally, schedule = Impatient(0), Waiting()
    around = Surroundings("cam", schedule, tally, SourceOptions(loop=True))
    assert list(VideoFileSource(path, around).frames(tally.stop)) == []
    assert tally.counts == {"undecodable": FRAMES}
    assert schedule.waited == [FRAMES * S // 20], "until its next turn"


def test_a_recording_that_is_behind_is_not_played_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "slow.parquet"
    people = np.zeros((1, 17, 3), np.float32)
    # All of it lies within what a player looks for, and none of it in time.
    rows = [("cam", 9 * S + frame, people) for frame in range(FRAMES)]
    write_observations(path, [("cam", 0, people), *rows])
    schedule = hurried()
    assert list(ObservationsSource(path, around(schedule)).frames(schedule.stop)) == []
    assert schedule.asked <= 4 < FRAMES


class Standing(Schedule):
    """A game that stands at a place, and waits for nobody."""

    place_ns: ClassVar[int] = 0

    def position_ns(self) -> int:
        return self.place_ns

    def wait_for(self, position_ns: int, stop: threading.Event) -> None:
        """Do not wait."""


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("kind", ["film", "recording"])
def test_a_camera_that_joins_later_gives_nothing_from_before(
    tmp_path: Path, kind: str, *, loop: bool
) -> None:
    """A second at once would fill its slot, and look as if inference could not follow."""
    source: VideoFileSource | ObservationsSource
    options, tally = SourceOptions(loop=loop), Tally(0)
    surroundings = Surroundings("cam", Standing(), tally, options)
    if kind == "film":
        film = make_video(tmp_path, "film", VideoSpec(codec="h264", frames=FRAMES, rate_hz=5))
        source = VideoFileSource(film, surroundings)
    else:
        people = np.zeros((1, 17, 3), np.float32)
        path = tmp_path / "game.parquet"
        write_observations(path, [("cam", frame * S // 5, people) for frame in range(FRAMES)])
        source = ObservationsSource(path, surroundings)

    def places() -> list[int]:
        taken = islice(source.frames(threading.Event()), 3)
        return [frame.capture_time_ns - surroundings.schedule.began_ns for frame in taken]

    # A recording that is there when the game begins is played as a whole, however long it took.
    begins_s = 0.0 if kind == "recording" else 1.0
    for place_s, first_s in ((0.0, 0.0), (0.95, begins_s), (2.2, 2.2), (3.44, 3.4)):
        Standing.place_ns = round(place_s * S)
        assert places()[0] == pytest.approx(first_s * S, abs=0.01 * S), f"at {place_s} s"
    assert not tally.total, "the game had begun without this camera"


def test_a_recording_that_is_behind_catches_up_at_twice_its_pace(tmp_path: Path) -> None:
    class Late(Schedule):
        """A game that is 0.9 s old when its first camera is there, and waits in no time."""

        place_ns: ClassVar[int] = 0
        waited: ClassVar[list[int]] = []

        def position_ns(self) -> int:
            return self.place_ns

        def wait_for(self, position_ns: int, stop: threading.Event) -> None:
            del stop
            type(self).place_ns = max(self.place_ns, position_ns)
            self.waited.append(self.place_ns)

    Late.place_ns = round(0.9 * S)
    path = tmp_path / "game.parquet"
    people = np.zeros((1, 17, 3), np.float32)
    write_observations(path, [("cam", frame * S // 10, people) for frame in range(FRAMES + 5)])
    taken = list(ObservationsSource(path, around(Late())).frames(threading.Event()))
    assert len(taken) == FRAMES + 5, "all of it"
    steps_s = [(b - a) / S for a, b in pairwise(Late.waited)]
    assert steps_s == pytest.approx([0.05] * 18 + [0.1] * 6)
    assert Late.waited[18] == round(1.8 * S), "there it has caught up"


def test_a_recording_that_was_held_up_goes_on_at_once_where_the_game_is(tmp_path: Path) -> None:
    class Halted(Schedule):
        """A game that jumps ahead by two seconds at its tenth frame."""

        place_ns: ClassVar[int] = 0
        given: ClassVar[list[int]] = []

        def position_ns(self) -> int:
            return self.place_ns

        def wait_for(self, position_ns: int, stop: threading.Event) -> None:
            del stop
            cls = type(self)
            cls.place_ns = max(self.place_ns, position_ns)
            if len(self.given) == 10:
                cls.place_ns += 2 * S
            self.given.append(self.place_ns)

    path = tmp_path / "game.parquet"
    people = np.zeros((1, 17, 3), np.float32)
    write_observations(path, [("cam", frame * S // 10, people) for frame in range(60)])
    surroundings = around(Halted())
    taken = list(ObservationsSource(path, surroundings).frames(threading.Event()))
    places = [round((one.capture_time_ns - surroundings.schedule.began_ns) / S, 1) for one in taken]
    assert places == [n / 10 for n in range(11)] + [n / 10 for n in range(30, 60)]
    late_s = [round(at / S - place, 2) for at, place in zip(Halted.given, places, strict=True)]
    assert late_s == [0.0] * 10 + [2.0] + [0.0] * 30
    assert surroundings.tally.counts == {"player_behind": 19}
