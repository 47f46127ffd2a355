"""The measured rate is that of the session's own work: more work, a lower rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from accel import Rig
from edge_node.frames import CameraFrame
from edge_node.inference import Detect, Found, StageTimes, Task
from edge_node.live.capacity import (
    CapacityOptions,
    expected,
    make_film,
    measure_capacity,
    tasks_of,
)
from edge_node.planner import PlanOptions
from tests.support.rigs import looking_at
from tipoff.errors import InvalidInputError

SHORT = CapacityOptions(warm_s=0.1, measured_s=0.4)


def court_rig(cameras: int) -> Rig:
    angle = np.arange(cameras) * 2 * np.pi / cameras
    centers = np.stack([15 * np.cos(angle), 10 * np.sin(angle), np.full(cameras, 5.0)], axis=1)
    R, t = looking_at(centers, np.zeros(3))
    K = np.tile(np.array([[300.0, 0, 160], [0, 300.0, 90], [0, 0, 1]]), (cameras, 1, 1))
    names = [f"cam{c}" for c in range(cameras)]
    return Rig(names, K, np.zeros((cameras, 5)), R, t, np.tile([320.0, 180.0], (cameras, 1)))


class Answer:
    def __init__(self, until_s: float) -> None:
        self._until_s = until_s

    def done(self) -> bool:
        return time.perf_counter() >= self._until_s

    def add_done_callback(self, call: Callable[[Any], object], /) -> None:
        threading.Timer(max(self._until_s - time.perf_counter(), 0.0), call, (self,)).start()

    def result(self) -> Found:
        time.sleep(max(self._until_s - time.perf_counter(), 0.0))
        return Found(np.empty((0, 17, 3), np.float32), np.empty(0, np.float32), np.empty(0, int))


class Server:
    """Answers one frame after the other, each after a fixed time."""

    times = StageTimes()

    def __init__(self, seconds: float) -> None:
        self._seconds, self._free_s, self._lock = seconds, 0.0, threading.Lock()
        self.asked: list[tuple[int, Sequence[Task]]] = []

    def submit(self, frame: CameraFrame, tasks: Sequence[Task]) -> Answer:
        with self._lock:
            self.asked.append((frame.camera, tasks))
            self._free_s = max(self._free_s, time.perf_counter()) + self._seconds
            return Answer(self._free_s)


def test_a_server_that_takes_its_time_sets_the_rate() -> None:
    server = Server(0.02)
    plan = PlanOptions(detect_every=1)
    found = measure_capacity(court_rig(2), plan, server, SHORT)
    # Two cameras, 20 ms each: 25 frame-sets a second and no more, whatever the machine.
    assert 0 < found.rate_hz <= 26.0
    assert found.frame_sets >= 1
    assert found.infer_ms > 5.0
    assert found.decode_ms > 0.0
    assert found.track_ms > 0.0
    assert {camera for camera, _ in server.asked} == {0, 1}
    assert all(isinstance(tasks[0], Detect) for _, tasks in server.asked)


def test_without_pictures_only_the_tracker_works() -> None:
    found = measure_capacity(court_rig(4), PlanOptions(), None, SHORT)
    assert found.decode_ms == found.infer_ms == 0.0
    assert found.rate_hz == pytest.approx(1e3 / found.track_ms, rel=0.8)


def test_the_mix_of_requests_is_that_of_the_plan() -> None:
    plan = PlanOptions(detect_every=10, rest_every=4)
    people = expected(np.random.default_rng(1).uniform(40, 140, (3, 17, 3)).astype(np.float32))
    kinds = {"detect": 0, "pose": 0, "rest": 0}
    for number in range(200):
        tasks = tasks_of(plan, (number, 1, 4), people, (320, 180))
        searched = bool(tasks) and isinstance(tasks[0], Detect)
        kinds["detect" if searched else "pose" if tasks else "rest"] += 1
    assert kinds["detect"] == 20
    assert 40 <= kinds["rest"] <= 50
    assert expected(np.full((3, 17, 3), np.nan, np.float32)).boxes_px.shape == (0, 4)
    assert not tasks_of(plan, (1, 1, 4), expected(np.full((1, 17, 3), np.nan)), (320, 180))


def test_a_film_is_a_video_of_the_size_asked_for() -> None:
    import io

    import av

    with av.open(io.BytesIO(make_film((318, 180))), "r") as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 30
    assert (frames[0].width, frames[0].height) == (318, 180)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        CapacityOptions(measured_s=0.0)
