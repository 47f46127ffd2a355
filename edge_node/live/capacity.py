"""What rate this machine can sustain: measured at the start, with the session's own work.

A made-up game is played through what the node will do: every camera's pictures of the calibrated
size are decoded and glanced at, the closed loop's searches and poses of people who stand on the
court are asked of the real models, and the tracker tracks them and gives both snapshots. It runs as
fast as it can, two frame-sets at a time, for a few seconds; the frame-sets done in a second are the
rate. What is not in it: the network, the journal's disk and the subscribers.
"""

from __future__ import annotations

import io
import itertools
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from accel import Tracker, TrackerOptions
from edge_node.cameras.pixels import Glance
from edge_node.frames import CameraFrame
from edge_node.pictures import DecodedPicture
from edge_node.planner import RESTING_CAMERAS
from edge_node.posing import Expected, detect_task, pose_tasks
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from accel import Rig
    from edge_node.inference import Task
    from edge_node.perception import Asking, Promise
    from edge_node.planner import PlanOptions

_S = 1_000_000_000
CLIP_FRAMES = 30
"""Pictures of the made-up video, with one key frame."""
IN_FLIGHT = 2
"""Frame-sets that are on their way at the same time."""
PEOPLE = 10
"""Players on the court."""
PLAYER_M = 1.85
SPACING_M = 2.5
RATE_HZ = 60.0
"""Rate of the made-up capture times."""


@dataclass(frozen=True, slots=True)
class CapacityOptions:
    """How long it is measured."""

    warm_s: float = 0.5
    """What goes before: models and caches warm up."""
    measured_s: float = 2.0
    """Over how long frame-sets are counted."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.warm_s < 0 or self.measured_s <= 0:
            raise InvalidInputError("a capacity is measured over more than 0 s")


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was measured."""

    rate_hz: float
    """Frame-sets a second."""
    frame_sets: int
    """How many were counted."""
    decode_ms: float
    """Decoding and glancing, a camera's frame, in the time of its thread; 0 without pictures."""
    infer_ms: float
    """What a frame-set waited for its answers, in the mean; 0 without pictures."""
    track_ms: float
    """Tracking, a frame-set."""


class _Film:
    """A made-up video of one size, decoded over and over."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._frames = self._endless()
        self._glance = Glance()

    def _endless(self) -> Iterator[DecodedPicture]:
        while True:
            with av.open(io.BytesIO(self._data), "r") as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                for frame in container.decode(stream):
                    yield DecodedPicture(frame)

    def next(self, now_ns: int) -> tuple[DecodedPicture, float]:
        """Give the next picture and the seconds of this thread that it took."""
        began_s = time.thread_time()
        picture = next(self._frames)
        if self._glance.due(now_ns):
            self._glance.at_picture(picture.luma())
        return picture, time.thread_time() - began_s


def make_film(size_px: tuple[int, int]) -> bytes:
    """Encode a made-up game: noise, a ground of patches and players who walk."""
    width, height = size_px[0] // 2 * 2, size_px[1] // 2 * 2
    rng = np.random.default_rng(1)
    patches = rng.integers(60, 190, (height // 40 + 1, width // 40 + 1), np.uint8)
    ground = np.kron(patches, np.ones((40, 40), np.uint8))[:height, :width]
    noise = rng.integers(0, 6, (height, width), np.uint8)
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23"}
        stream: Any = container.add_stream("libx264", rate=int(RATE_HZ), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = CLIP_FRAMES
        for number in range(CLIP_FRAMES):
            luma = ground + np.roll(noise, 37 * number)
            for player in range(PEOPLE):
                x = (player * 97 + 4 * number) % (width - width // 24)
                luma[height // 3 : height * 2 // 3, x : x + width // 24] = 20 + 20 * player
            planes = np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, int(RATE_HZ))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


class _Players:
    """People who stand on the court, as every camera sees them."""

    def __init__(self, rig: Rig, joints: int) -> None:
        self._rig, self._joints = rig, joints
        places = np.array(list(itertools.product(range(-2, 3), range(-1, 1))), np.float64)
        self._feet_m = np.zeros((PEOPLE, 3))
        self._feet_m[:, :2] = (places[:PEOPLE] + np.array([0.0, 0.5])) * SPACING_M
        rng = np.random.default_rng(2)
        self._body_m = rng.uniform(-0.3, 0.3, (joints, 3))
        self._body_m[:, 2] = np.linspace(PLAYER_M, 0.05, joints)

    def seen(self, time_s: float) -> NDArray[np.float32]:
        """Keypoints (C, P, J, 3) of every camera; NaN where they are not in view."""
        moved = self._feet_m + 0.3 * np.array([np.sin(time_s), np.cos(time_s), 0.0])
        world = moved[:, None] + self._body_m
        points = self._rig.project(world)
        inside = np.all((points >= 0) & (points < self._rig.size), axis=-1)
        keypoints = np.concatenate([points, np.full((*points.shape[:-1], 1), 0.9)], axis=-1)
        keypoints[~inside] = np.nan
        return np.moveaxis(keypoints, 2, 0).astype(np.float32)


def expected(keypoints: NDArray[np.float32]) -> Expected:
    """Make of a camera's keypoints (P, J, 3) whom it poses: those who are in view."""
    seen = keypoints[np.isfinite(keypoints[..., 0]).mean(axis=1) > 0.5].astype(np.float64)
    if not len(seen):
        empty = np.empty((0, keypoints.shape[1], 2))
        return Expected(np.empty((0, 4)), empty)
    low, high = np.nanmin(seen[..., :2], axis=1), np.nanmax(seen[..., :2], axis=1)
    return Expected(np.concatenate([low, high], axis=1), seen[..., :2])


def tasks_of(
    plan: PlanOptions, which: tuple[int, int, int], people: Expected, size: tuple[int, int]
) -> Sequence[Task]:
    """Give what the closed loop asks about a frame, in the mean.

    Args:
        plan: How it spends inference.
        which: Number of the frame, of its camera, and how many cameras there are.
        people: Whom it poses.
        size: Of the frame.
    """
    number, camera, cameras = which
    if (number + camera * 7) % plan.detect_every == 0:
        return [detect_task(size, plan.input_px)]
    rests = plan.rest_every and cameras >= RESTING_CAMERAS
    if (rests and (number + camera) % plan.rest_every == 0) or not len(people.boxes_px):
        return []
    return pose_tasks(people, size, plan.pose)


class _Work:
    """One frame-set after the other."""

    def __init__(self, rig: Rig, plan: PlanOptions, asking: Asking | None) -> None:
        self._rig, self._plan, self._asking = rig, plan, asking
        self._tracker = Tracker(rig, TrackerOptions())
        self._joints = len(TrackerOptions().skeleton.joints)
        self._players = _Players(rig, self._joints)
        self._sizes = [(int(width), int(height)) for width, height in rig.size]
        self._films: list[_Film] = []
        if asking is not None:
            clips = {size: make_film(size) for size in set(self._sizes)}
            self._films = [_Film(clips[size]) for size in self._sizes]
        self._pool = ThreadPoolExecutor(len(self._sizes), thread_name_prefix="capacity")
        self.decode_s = self.infer_s = self.track_s = 0.0

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()

    def begin(self, number: int) -> list[Promise]:
        """Decode a frame-set and ask about it."""
        if self._asking is None:
            return []
        now_ns = time.monotonic_ns()
        taken = list(self._pool.map(lambda film: film.next(now_ns), self._films))
        self.decode_s += sum(seconds for _, seconds in taken)
        seen = self._players.seen(number / RATE_HZ)
        asked = []
        for camera, (picture, _) in enumerate(taken):
            frame = CameraFrame(camera, self._rig.names[camera], 0, number, picture)
            size = (picture.width_px, picture.height_px)
            people = expected(seen[camera])
            tasks = tasks_of(self._plan, (number, camera, len(taken)), people, size)
            if tasks:
                asked.append(self._asking.submit(frame, tasks))
        return asked

    def finish(self, number: int, asked: list[Promise]) -> None:
        """Wait for the answers, and track the made-up people, whatever the models found."""
        began_s = time.perf_counter()
        for promise in asked:
            promise.result()
        answered_s = time.perf_counter()
        time_ns = round(number * _S / RATE_HZ) + _S
        for camera, keypoints in enumerate(self._players.seen(number / RATE_HZ)):
            known = np.isfinite(keypoints[..., 0]).any(axis=1)
            self._tracker.observe(camera, time_ns, keypoints[known])
        self._tracker.snapshot(time_ns)
        if number > RATE_HZ:
            self._tracker.snapshot(time_ns - _S // 10, smoothed=True)
        self.infer_s += answered_s - began_s
        self.track_s += time.perf_counter() - answered_s


def measure_capacity(
    rig: Rig,
    plan: PlanOptions,
    asking: Asking | None,
    options: CapacityOptions | None = None,
) -> Capacity:
    """Measure what rate of frame-sets this machine can sustain for a rig.

    Args:
        rig: The cameras that will give frames.
        plan: How the closed loop spends inference.
        asking: Asks the real models; None where every camera brings its people along.
        options: How long it is measured.

    Raises:
        TipoffError: the models cannot be asked.
    """
    options = options or CapacityOptions()
    work = _Work(rig, plan, asking)
    try:
        waiting: deque[tuple[int, list[Promise]]] = deque()
        began_s, counting, done = time.perf_counter(), False, 0
        for number in itertools.count():
            waiting.append((number, work.begin(number)))
            if len(waiting) == IN_FLIGHT:
                work.finish(*waiting.popleft())
                done += 1
            now_s = time.perf_counter()
            if not counting and now_s - began_s >= options.warm_s:
                work.decode_s = work.infer_s = work.track_s = 0.0
                began_s, counting, done = now_s, True, 0
            elif counting and now_s - began_s >= options.measured_s and done:
                break
        for left in waiting:
            work.finish(*left)
        frames = done * len(rig.names)
        return Capacity(
            rate_hz=done / (now_s - began_s),
            frame_sets=done,
            decode_ms=1e3 * work.decode_s / frames,
            infer_ms=1e3 * work.infer_s / done if asking is not None else 0.0,
            track_ms=1e3 * work.track_s / done,
        )
    finally:
        work.close()
