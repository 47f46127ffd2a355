"""Inference: frames into shared memory, requests to Triton, people back in source pixels.

A frame is converted to RGB once, straight into its slot, and scaled on the way to what its
requests need, since no model reads more pixels than its input has. The slot is padded with black
to the people model's stride, so that a region on its grid is taken as it is, unscaled.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from triton_models.client import PeopleQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edge_node.frames import CameraFrame
    from triton_models.client import People
    from triton_models.slots import SharedFrame

WORKERS = 8
"""Frames that are converted or asked about at once, at most; each holds one slot."""
STRIDE_PX = 32
"""The people model's input has sides that are multiples of this."""
JOINT_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class Detect:
    """Find everybody in the whole frame."""

    scale: float
    """Pixels of input for a source pixel."""
    input_px: tuple[int, int]
    """Width and height of the model's input, multiples of the stride."""


@dataclass(frozen=True, slots=True)
class PoseRegion:
    """Find and pose those in a part of the frame, all at once."""

    scale: float
    """Pixels of input for a source pixel."""
    region_px: tuple[int, int, int, int]
    """x0, y0, x1, y1 in pixels of the scaled frame, multiples of the stride."""
    people: tuple[int, ...] = ()
    """Which of the frame's expected people it is for."""

    @property
    def input_px(self) -> tuple[int, int]:
        """Width and height of the model's input."""
        x0, y0, x1, y1 = self.region_px
        return x1 - x0, y1 - y0


@dataclass(frozen=True, slots=True)
class PoseCrops:
    """Pose the person in each box, one by one."""

    scale: float
    """How the frame is scaled before the crops are cut out of it."""
    boxes_px: NDArray[np.float32]
    """(N, 4): x0, y0, x1, y1 in source pixels."""
    model: str
    """Which crop model."""
    people: tuple[int, ...] = ()
    """Which of the frame's expected people the boxes are."""


Task: TypeAlias = Detect | PoseRegion | PoseCrops


@dataclass(frozen=True, slots=True)
class Found:
    """What the requests about one frame found."""

    keypoints: NDArray[np.float32]
    """(N, J, 3): u, v in source pixels and confidence."""
    scores: NDArray[np.float32]
    """(N,): how sure the model is of each person; of crops the mean confidence."""
    requests: NDArray[np.intp]
    """(N,): index of the task that found each."""


class Client(Protocol):
    """The part of ``triton_models.client.InferenceClient`` that is used here."""

    def frame(self, height: int, width: int) -> SharedFrame:
        """Lease a frame in shared memory."""

    def submit_people_frame(
        self, frame: SharedFrame, query: PeopleQuery | None = None
    ) -> Future[People]:
        """Find and pose people."""

    def submit_pose_crops(
        self, frame: SharedFrame, boxes_px: NDArray[np.float32], pose_model: str | None = None
    ) -> Future[NDArray[np.float32]]:
        """Pose the person in each box."""


@dataclass(slots=True)
class StageTimes:
    """Seconds spent by stage, over all threads, and how often."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds by stage."""
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How often each stage ran."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Held while adding."""

    def add(self, stage: str, seconds: float, count: int = 1) -> None:
        """Add time to a stage."""
        with self.lock:
            self.seconds[stage] += seconds
            self.counts[stage] += count


class Pending:
    """What is being found in a frame.

    Args:
        parts: By scale of the frame, the requests at that scale.
        tasks: How many tasks there are.
    """

    def __init__(self, parts: list[tuple[list[int], Future[list[_Answer]]]], tasks: int) -> None:
        self._parts, self._tasks = parts, tasks

    def done(self) -> bool:
        """Say whether nothing has to be waited for."""
        return all(future.done() for _, future in self._parts)

    def add_done_callback(self, call: Callable[[Any], object], /) -> None:
        """Have ``call`` called, from any thread, whenever a part of it has come."""
        for _, future in self._parts:
            future.add_done_callback(call)

    def result(self) -> Found:
        """Wait for all requests; raises what the client raises."""
        answers: dict[int, _Answer] = {}
        for numbers, future in self._parts:
            answers.update(zip(numbers, future.result(), strict=True))
        ordered = [answers[number] for number in range(self._tasks)]
        counts = [len(answer.scores) for answer in ordered]
        return Found(
            keypoints=np.concatenate([answer.keypoints for answer in ordered]),
            scores=np.concatenate([answer.scores for answer in ordered]),
            requests=np.repeat(np.arange(len(ordered)), counts),
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one request found, in source pixels."""

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request on its way."""

    stage: str
    began: float
    future: Future[People] | Future[NDArray[np.float32]]


class Inference:
    """Asks the models about frames, several frames in flight.

    Args:
        client: The connection to the server.
        joints: J, joints of the models' skeleton.
        threshold: Least score of a person.
    """

    def __init__(self, client: Client, joints: int, threshold: float) -> None:
        self._client, self._joints, self._threshold = client, joints, threshold
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="inference")
        self._unanswered: set[Future[list[_Answer]]] = set()
        self.times = StageTimes()
        """Seconds of ``convert``, ``detect`` and ``pose``."""

    @property
    def busy(self) -> bool:
        """Whether anything is still being found."""
        return bool(self._unanswered)

    def close(self) -> None:
        """Drop what has not begun and wait for the rest."""
        self._workers.shutdown(wait=True, cancel_futures=True)

    def submit(self, frame: CameraFrame, tasks: Sequence[Task]) -> Pending:
        """Begin to do a frame's tasks, those of one scale together."""
        assert tasks
        scales: dict[float, list[int]] = {}
        for number, task in enumerate(tasks):
            scales.setdefault(min(1.0, task.scale), []).append(number)
        parts = [
            (numbers, self._workers.submit(self._run, frame, scale, [tasks[n] for n in numbers]))
            for scale, numbers in scales.items()
        ]
        for _, future in parts:
            self._unanswered.add(future)
            future.add_done_callback(self._unanswered.discard)
        return Pending(parts, len(tasks))

    def _run(self, frame: CameraFrame, scale: float, tasks: Sequence[Task]) -> list[_Answer]:
        began = time.perf_counter()
        size = np.array([frame.image.width_px, frame.image.height_px])
        columns, rows = (max(1, round(float(side) * scale)) for side in size)
        factor = np.array([columns, rows]) / size
        with self._client.frame(_padded(rows), _padded(columns)) as shared:
            frame.image.rgb_into(shared.pixels[:rows, :columns])
            shared.pixels[rows:] = 0
            shared.pixels[:rows, columns:] = 0
            self.times.add("convert", time.perf_counter() - began)
            sent = [self._send(shared, task, factor) for task in tasks]
            return [self._receive(request, factor) for request in sent]

    def _send(self, shared: SharedFrame, task: Task, factor: NDArray[np.float64]) -> _Sent:
        now = time.perf_counter()
        if isinstance(task, PoseCrops):
            boxes = (task.boxes_px * np.tile(factor, 2)).astype(np.float32)
            return _Sent("pose", now, self._client.submit_pose_crops(shared, boxes, task.model))
        region = None
        if isinstance(task, PoseRegion):
            x0, y0, x1, y1 = (float(edge) for edge in task.region_px)
            region = (x0, y0, x1, y1)
        query = PeopleQuery(region, *task.input_px, self._threshold)
        stage = "pose" if region else "detect"
        return _Sent(stage, now, self._client.submit_people_frame(shared, query))

    def _receive(self, sent: _Sent, factor: NDArray[np.float64]) -> _Answer:
        answer = sent.future.result()
        self.times.add(sent.stage, time.perf_counter() - sent.began)
        raw = answer if isinstance(answer, np.ndarray) else answer.keypoints
        keypoints = raw.reshape(-1, self._joints, JOINT_COLUMNS).astype(np.float32)
        scores = keypoints[..., 2].mean(axis=1)
        if not isinstance(answer, np.ndarray):
            scores = answer.scores
        # Pixel centres are whole numbers, and what scales is the distance from the picture's edge.
        keypoints[..., :2] = (keypoints[..., :2] + 0.5) / factor - 0.5
        return _Answer(keypoints, scores)


def _padded(side_px: int) -> int:
    return STRIDE_PX * -(-side_px // STRIDE_PX)
