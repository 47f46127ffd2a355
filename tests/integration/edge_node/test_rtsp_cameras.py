"""Four real RTSP cameras that stop, freeze, go dark, show what others show, and come back."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import pytest

from accel import Rig
from edge_node.cameras.group import Cameras, CamerasOptions
from edge_node.cameras.source import SourceOptions
from edge_node.frames import CameraFrame, CameraHealth, CameraState, CaptureClock
from edge_node.pictures import DecodedPicture
from tests.support.cameras import CamerasSpec, RtspCameras, made_ns, rtsp_cameras
from tests.support.rigs import looking_at

NAMES = ("north", "east", "south", "west")
FOUND_WITHIN_NS = 1_000_000_000
LONG_S = 30.0
"""Nothing here takes so long unless it is broken."""


def court_rig() -> Rig:
    centers = np.array([[0, 9.0, 5], [15.0, 0, 5], [0, -9.0, 5], [-15.0, 0, 5]])
    R, t = looking_at(centers, np.zeros(3))
    K = np.tile(np.array([[500.0, 0, 320], [0, 500.0, 180], [0, 0, 1]]), (4, 1, 1))
    size = np.tile([640.0, 360.0], (4, 1))
    return Rig(list(NAMES), K, np.zeros((4, 5)), R, t, size)


class Node:
    """Takes frames as the loop does, and remembers what was said of the cameras, and when."""

    def __init__(self, options: CamerasOptions | None = None) -> None:
        self._ready = threading.Event()
        self.cameras = Cameras(court_rig(), options, self._ready.set)
        self.taken: dict[str, list[tuple[int, int, int]]] = {name: [] for name in NAMES}
        """Capture time, the time at which it was made, and when it was taken (monotonic)."""
        self.changes: list[tuple[int, str, CameraState]] = []
        self._stop = threading.Event()
        self._states: dict[str, CameraState] = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Node:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.cameras.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._ready.wait(0.02)
            self._ready.clear()
            for frame in self.cameras.take():
                assert isinstance(frame, CameraFrame)
                assert isinstance(frame.image, DecodedPicture)
                made = made_ns(frame.image.luma(), frame.capture_time_ns)
                self.taken[frame.name].append((frame.capture_time_ns, made, time.monotonic_ns()))
            for health in self.cameras.health():
                if self._states.get(health.name) is not health.state:
                    self._states[health.name] = health.state
                    self.changes.append((time.monotonic_ns(), health.name, health.state))

    def health(self, name: str) -> CameraHealth:
        return self.cameras.health()[NAMES.index(name)]

    def until(self, done: Callable[[], bool]) -> int:
        """Wait; gives when, in ns of `time.monotonic_ns`."""
        end_s = time.monotonic() + LONG_S
        while not done():
            assert time.monotonic() < end_s, (self.cameras.status(), self.changes)
            assert self._thread.is_alive()
            time.sleep(0.01)
        return time.monotonic_ns()

    def until_state(self, name: str, state: CameraState) -> int:
        return self.until(lambda: self._states.get(name) is state)

    def until_settled(self) -> None:
        """Until all four are live, by their own clocks, and watched for a while."""
        for name in NAMES:
            self.until_state(name, CameraState.LIVE)
            self.until(lambda name=name: self.health(name).clock is CaptureClock.SENDER)  # type: ignore[misc]
        time.sleep(2.0)

    def others_stayed(self, since_ns: int, *names: str) -> bool:
        return not [c for c in self.changes if c[0] >= since_ns and c[1] not in names]


@pytest.fixture(scope="module")
def rtsp() -> Iterator[RtspCameras]:
    with rtsp_cameras() as cameras:
        yield cameras


@pytest.fixture(scope="module")
def node(rtsp: RtspCameras) -> Iterator[Node]:
    with Node() as node:
        for index, name in enumerate(NAMES):
            node.cameras.put(name, rtsp.url(index))
        node.until_settled()
        yield node


def test_capture_times_are_the_cameras_own(node: Node) -> None:
    for name in NAMES:
        rows = node.taken[name][-15:]
        off_ms = [(capture - made) / 1e6 for capture, made, _ in rows]
        assert abs(median(off_ms)) < 3.0, name
        health = node.health(name)
        assert health.clock is CaptureClock.SENDER
        assert health.clock_jitter_ns < 5_000_000
        captured = [capture for capture, *_ in node.taken[name]]
        assert captured == sorted(captured)


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("freeze 1", CameraState.FROZEN),
        ("black 1", CameraState.BLACK),
        ("show 1 2", CameraState.DUPLICATED),
        ("stall 1 4", CameraState.DISCONNECTED),
    ],
)
def test_a_bad_camera_is_found_left_out_named_and_comes_back(
    node: Node, rtsp: RtspCameras, command: str, state: CameraState
) -> None:
    began_ns = rtsp.tell(command)
    found_ns = node.until_state("east", state)
    assert found_ns - began_ns <= FOUND_WITHIN_NS, (found_ns - began_ns) / 1e6
    assert node.health("east").detail
    if state is not CameraState.DISCONNECTED:
        assert node.health("east").left_out
        time.sleep(0.2)
        count = len(node.taken["east"])
        time.sleep(0.5)
        assert len(node.taken["east"]) == count, "its frames are withheld"
        time.sleep(1.0)
        assert node.health("east").state is state, "it stays so while it is so"
    rtsp.tell("play 1")
    node.until_state("east", CameraState.LIVE)
    count = len(node.taken["east"])
    node.until(lambda: len(node.taken["east"]) > count + 5)
    time.sleep(1.0)
    assert node.health("east").state is CameraState.LIVE
    assert node.others_stayed(began_ns, "east"), node.changes


def test_a_camera_that_is_gone_is_named_and_connected_anew(node: Node, rtsp: RtspCameras) -> None:
    reconnects = node.cameras.status()[3].reconnects
    began_ns = rtsp.tell("stop 3")
    found_ns = node.until_state("west", CameraState.DISCONNECTED)
    assert found_ns - began_ns <= FOUND_WITHIN_NS
    time.sleep(1.0)
    assert "cannot be opened: Connection refused" in node.health("west").detail
    rtsp.tell("start 3")
    node.until_state("west", CameraState.LIVE)
    assert node.cameras.status()[3].reconnects == reconnects + 1
    assert node.others_stayed(began_ns, "west"), node.changes
    node.until(lambda: node.health("west").clock is CaptureClock.SENDER)
    time.sleep(1.5)


def test_nobody_who_stands_still_is_called_frozen(node: Node, rtsp: RtspCameras) -> None:
    began_ns = rtsp.tell("still")
    time.sleep(3.0)
    try:
        assert node.others_stayed(began_ns), node.changes
    finally:
        rtsp.tell("move")
    time.sleep(1.0)
    assert node.others_stayed(began_ns), node.changes


def test_taking_one_away_disturbs_no_other(node: Node, rtsp: RtspCameras) -> None:
    began_ns = time.monotonic_ns()
    node.cameras.remove("south")
    node.until_state("south", CameraState.WAITING)
    node.cameras.put("south", rtsp.url(2))
    node.until_state("south", CameraState.LIVE)
    assert node.others_stayed(began_ns, "south"), node.changes
    for name in ("north", "east", "west"):
        stamps = [at for *_, at in node.taken[name] if at >= began_ns]
        gaps = np.diff(stamps) / 1e6
        assert gaps.max() < 400.0, name


def test_a_password_reaches_the_camera_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "h%sh/h@sh:1"
    spec = CamerasSpec(cameras=1, user="ann", password=secret)
    monkeypatch.setenv("CAM_PASSWORD", "wrong-one")
    monkeypatch.setenv("CAM_USER", "ann")
    with rtsp_cameras(spec) as rtsp, Node(CamerasOptions(source=SourceOptions())) as node:
        node.cameras.put("north", rtsp.url(0, "${CAM_USER}:${CAM_PASSWORD}@"))
        node.until_state("north", CameraState.DISCONNECTED)
        said = str(node.cameras.status())
        assert "***@127.0.0.1" in said
        assert "401" in said or "authori" in said.lower(), said
        os.environ["CAM_PASSWORD"] = secret
        node.until_state("north", CameraState.LIVE)
        said += str(node.cameras.status())
    out, err = capfd.readouterr()
    for text in (said, out, err, caplog.text):
        assert "wrong-one" not in text
        assert "h%sh" not in text
        assert "h%25sh" not in text
