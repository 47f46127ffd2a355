"""Cameras run on their own: put, replaced and removed while the others go on."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accel import Rig
from edge_node.availability import unexplained
from edge_node.cameras import group
from edge_node.cameras.errors import SourceError
from edge_node.cameras.group import Cameras, CamerasOptions
from edge_node.cameras.slot import OVERTAKEN
from edge_node.cameras.source import SourceClock, SourceOptions, Taken
from edge_node.cameras.worker import RetryOptions
from edge_node.frames import CameraFrame, CameraState, CaptureClock, ObservedFrame
from edge_node.perception import Frame
from tests.support.observations import make_recording
from tests.support.rigs import looking_at
from tests.support.videos import VideoSpec, make_video
from tipoff.errors import ConflictError, NotFoundError

NAMES = ("cam1", "cam2", "cam3")
LONG_S = 20.0
"""Nothing here takes so long unless it is broken."""


def small_rig(width: int = 96, height: int = 64) -> Rig:
    centers = np.array([[6.0, 0, 3], [0, 6.0, 3], [-6.0, 0, 3]])
    R, t = looking_at(centers, np.zeros(3))
    K = np.tile(np.array([[80.0, 0, width / 2], [0, 80.0, height / 2], [0, 0, 1]]), (3, 1, 1))
    size = np.tile([float(width), float(height)], (3, 1))
    return Rig(list(NAMES), K, np.zeros((3, 5)), R, t, size)


class Taker:
    """Takes frames as they come, as the loop does."""

    def __init__(self, options: CamerasOptions | None = None) -> None:
        self._ready = threading.Event()
        self.cameras = Cameras(small_rig(), options, self._ready.set)
        self.frames: list[Frame] = []

    def until(self, done: Callable[[], bool]) -> None:
        end_s = time.monotonic() + LONG_S
        while not done():
            assert time.monotonic() < end_s, self.cameras.status()
            self._ready.wait(0.05)
            self._ready.clear()
            self.frames += self.cameras.take()

    def until_frames(self, name: str, count: int) -> list[Frame]:
        before = len(self.frames)
        self.until(lambda: sum(f.name == name for f in self.frames[before:]) >= count)
        return [frame for frame in self.frames[before:] if frame.name == name]

    def state(self, name: str) -> CameraState:
        return {health.name: health.state for health in self.cameras.health()}[name]


@pytest.fixture
def taker() -> Iterator[Taker]:
    taker = Taker(CamerasOptions(source=SourceOptions(loop=True)))
    with taker.cameras:
        yield taker


def test_a_rig_without_sources_waits(taker: Taker) -> None:
    assert taker.cameras.take() == []
    assert [health.state for health in taker.cameras.health()] == [CameraState.WAITING] * 3
    assert [status.source for status in taker.cameras.status()] == [""] * 3
    assert unexplained(taker.cameras.health(), 0) == (), "it is known why nothing comes of them"


def test_recordings_play_in_step_at_their_own_pace(taker: Taker, tmp_path: Path) -> None:
    path = make_recording(tmp_path / "game.parquet", NAMES, 400, 50.0, start_ns=123)
    began_ns = time.time_ns()
    for name in NAMES:
        taker.cameras.put(name, str(path))
    taker.until(lambda: len(taker.frames) >= 90)
    frames = [frame for frame in taker.frames if isinstance(frame, ObservedFrame)]
    assert len(frames) == len(taker.frames)
    assert [f.arrived_ns for f in frames] == sorted(f.arrived_ns for f in frames)
    times: dict[int, set[int]] = {}
    for frame in frames:
        assert frame.name == NAMES[frame.camera]
        number = int(frame.keypoints[0, 0, 0] - 1000.0 * frame.camera)
        times.setdefault(number, set()).add(frame.capture_time_ns)
        # Shifted to now, and given when its time has come.
        assert frame.capture_time_ns >= began_ns - 10**9
        assert frame.capture_time_ns <= time.time_ns()
    assert all(len(at) == 1 for at in times.values())
    first, last = min(times), max(times)
    assert next(iter(times[last])) - next(iter(times[first])) == (last - first) * 20_000_000
    health = taker.cameras.health()
    assert {h.clock for h in health} == {CaptureClock.RECORDING}
    assert sum(h.frames for h in health) == len(frames)


def test_a_camera_that_joins_later_is_where_the_game_is(taker: Taker, tmp_path: Path) -> None:
    path = make_recording(tmp_path / "game.parquet", NAMES, 900, 60.0)
    taker.cameras.put("cam1", str(path))
    taker.until_frames("cam1", 90)
    taker.cameras.put("cam2", str(path))
    taker.until_frames("cam2", 20)
    numbers: dict[int, dict[int, int]] = {0: {}, 1: {}}
    for frame in taker.frames:
        assert isinstance(frame, ObservedFrame)
        number = int(frame.keypoints[0, 0, 0] - 1000.0 * frame.camera)
        numbers[frame.camera][frame.capture_time_ns] = number
    shared = set(numbers[0]) & set(numbers[1])
    assert len(shared) >= 10
    assert all(numbers[0][at] == numbers[1][at] for at in shared)


def test_videos_play_in_a_loop(taker: Taker, tmp_path: Path) -> None:
    path = make_video(tmp_path, "clip", VideoSpec(frames=12, rate_hz=30))
    taker.cameras.put("cam1", str(path))
    frames = taker.until_frames("cam1", 13)
    assert all(a.capture_time_ns < b.capture_time_ns for a, b in pairwise(frames))
    assert isinstance(frames[0], CameraFrame)
    assert (frames[0].image.width_px, frames[0].image.height_px) == (96, 64)
    assert frames[0].arrived_ns > 0


def test_removing_and_replacing_one_disturbs_no_other(taker: Taker, tmp_path: Path) -> None:
    path = make_recording(tmp_path / "game.parquet", NAMES, 900, 60.0)
    for name in NAMES:
        taker.cameras.put(name, str(path))
    taker.until_frames("cam3", 10)
    taker.cameras.remove("cam2")
    taker.until_frames("cam1", 30)
    taker.frames += taker.cameras.take()
    assert taker.state("cam2") is CameraState.WAITING
    quiet = len(taker.frames)
    taker.until_frames("cam3", 20)
    assert all(frame.name != "cam2" for frame in taker.frames[quiet:])
    taker.cameras.put("cam1", str(path))
    taker.until_frames("cam1", 10)
    # Who was not touched has every frame, whatever was done to the others. One may be overtaken
    # behind the last that was taken.
    steady = [f.capture_time_ns for f in taker.frames if f.name == "cam3"]
    drops = taker.cameras.take_drops()
    lost = [d for d in drops if d.camera == 2 and steady[0] < d.capture_time_ns < steady[-1]]
    assert {drop.reason for drop in lost} <= {OVERTAKEN}
    expected = round((steady[-1] - steady[0]) * 60 / 1e9) + 1
    assert len(steady) + len(lost) == expected
    assert taker.cameras.status()[2].reconnects == 0


def test_unread_frames_are_overtaken_and_told(taker: Taker, tmp_path: Path) -> None:
    path = make_video(tmp_path, "clip", VideoSpec(frames=24, rate_hz=60))
    taker.cameras.put("cam1", str(path))
    end_s = time.monotonic() + LONG_S
    while taker.cameras.overtaken < 10:
        assert time.monotonic() < end_s
        time.sleep(0.02)
    assert len(taker.cameras.take()) <= 1
    drops = taker.cameras.take_drops()
    assert {(drop.camera, drop.reason) for drop in drops} == {(0, OVERTAKEN)}
    assert taker.cameras.status()[0].dropped[OVERTAKEN] == len(drops)


def test_what_is_over_has_ended_and_what_is_none_has_failed(tmp_path: Path) -> None:
    taker = Taker()
    with taker.cameras:
        taker.cameras.put("cam1", str(make_recording(tmp_path / "a.parquet", NAMES, 10, 60.0)))
        taker.cameras.put("cam2", str(tmp_path / "none.mp4"))
        taker.cameras.put("cam3", str(make_video(tmp_path, "small", VideoSpec(width=64))))
        taker.until(lambda: taker.state("cam1") is CameraState.ENDED)
        taker.until(lambda: taker.state("cam2") is CameraState.FAILED)
        taker.until(lambda: taker.state("cam3") is CameraState.FAILED)
        details = [health.detail for health in taker.cameras.health()]
        assert "none.mp4 cannot be read as a video" in details[1]
        assert "calibrated for 96x64 px" in details[2]
        # Ended is for good, and what failed can be replaced.
        taker.cameras.put("cam2", str(make_recording(tmp_path / "b.parquet", NAMES, 900, 30.0)))
        taker.until_frames("cam2", 5)
        assert taker.state("cam1") is CameraState.ENDED


class Restarting:
    """A camera that begins with a picture of its factory settings."""

    clock = SourceClock()
    connections = 0
    well = threading.Event()

    def frames(self, stop: threading.Event) -> Iterator[Taken]:
        kind = type(self)
        kind.connections += 1
        width_px = 64 if kind.connections == 1 else 96
        if kind.connections > 1:
            assert kind.well.wait(LONG_S)
        while not stop.wait(0.02):
            picture: Any = SimpleNamespace(
                width_px=width_px, height_px=64, luma=lambda: np.zeros((64, width_px), np.uint8)
            )
            yield Taken(picture, time.time_ns(), time.monotonic_ns())


def test_a_camera_whose_picture_has_another_size_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Restarting, "connections", 0)
    monkeypatch.setattr(Restarting, "well", threading.Event())
    monkeypatch.setattr(group, "open_source", lambda *_: Restarting())
    pauses_s: list[float] = []
    pause_s = RetryOptions.pause_s

    def noted(self: RetryOptions, failures: int, dice: random.Random) -> float:
        pauses_s.append(pause_s(self, failures, dice))
        return pauses_s[-1]

    monkeypatch.setattr(RetryOptions, "pause_s", noted)
    retry = RetryOptions(first_s=1e-3, most_s=0.1, jitter=0.0)
    taker = Taker(CamerasOptions(retry=retry))
    with taker.cameras:
        taker.cameras.put("cam1", "rtsp://10.0.0.1/live")
        taker.until(lambda: taker.state("cam1") is CameraState.DISCONNECTED)
        assert "calibrated for 96x64 px" in taker.cameras.health()[0].detail
        Restarting.well.set()
        taker.until_frames("cam1", 2)
    assert pauses_s == [retry.most_s], "the longest comes at once"
    assert Restarting.connections == 2


def test_observations_of_another_skeleton_are_refused(tmp_path: Path) -> None:
    taker = Taker(CamerasOptions(joints=29))
    with taker.cameras:
        taker.cameras.put("cam1", str(make_recording(tmp_path / "a.parquet", NAMES, 10)))
        taker.until(lambda: taker.state("cam1") is CameraState.FAILED)
        assert "has 17 joints and the session 29" in taker.cameras.health()[0].detail


def test_what_the_tracker_found_is_told_until_it_is_taken_back(
    taker: Taker, tmp_path: Path
) -> None:
    taker.cameras.put("cam1", str(make_recording(tmp_path / "a.parquet", NAMES, 900, 60.0)))
    taker.until_frames("cam1", 5)
    taker.cameras.judge("cam1", CameraState.MOVED, "turned by 0.2 degrees")
    health = taker.cameras.health()[0]
    assert (health.state, health.left_out) == (CameraState.MOVED, True)
    assert health.detail == "turned by 0.2 degrees"
    assert taker.until_frames("cam1", 5), "its frames are given on, or nobody would see it recover"
    taker.cameras.judge("cam1", None)
    assert taker.cameras.health()[0].state is CameraState.LIVE


def test_names_and_sources_that_are_none_are_refused(taker: Taker) -> None:
    with pytest.raises(NotFoundError, match="no camera 'cam9'; it has cam1, cam2, cam3"):
        taker.cameras.put("cam9", "a.mp4")
    with pytest.raises(SourceError, match="http is not spoken"):
        taker.cameras.put("cam1", "http://a/b")
    with pytest.raises(NotFoundError, match="no source"):
        taker.cameras.remove("cam1")


def test_closing_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    taker = Taker()
    path = make_recording(tmp_path / "a.parquet", NAMES, 900, 60.0)
    for name in NAMES:
        taker.cameras.put(name, str(path))
    taker.until_frames("cam1", 3)
    taker.cameras.close()
    taker.cameras.close()
    assert set(threading.enumerate()) <= before
    assert taker.cameras.take() == []
    with pytest.raises(ConflictError, match="cam1 takes no source any more"):
        taker.cameras.put("cam1", str(path))


class Bursting:
    """A source that fails in a way that nobody thought of, with a password in its hands."""

    clock = SourceClock()

    def frames(self, _stop: threading.Event) -> Iterator[Taken]:
        url = "rtsp://ann:hush@10.0.0.1/live"
        raise RuntimeError(f"[Errno 5] odd: '{url}'")
        yield  # type: ignore[unreachable]


def test_a_thread_that_fails_oddly_is_tried_again_and_says_no_password(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(group, "open_source", lambda *_: Bursting())
    taker = Taker()
    with taker.cameras:
        taker.cameras.put("cam1", "rtsp://${U}:${P}@10.0.0.1/live")
        taker.until(lambda: taker.state("cam1") is CameraState.DISCONNECTED)
        detail = taker.cameras.health()[0].detail
    out, err = capfd.readouterr()
    assert detail == "RuntimeError: [Errno 5] odd: 'rtsp://***@10.0.0.1/live'"
    assert "camera lost" in out + err
    assert "hush" not in out + err
