"""suite=triton: what the server costs over the same model, fed the same frame, in this process.

Three ways lead to the same answer: onnxruntime here, the server with the frame in shared memory,
and the server with the frame's bytes in the request. They take turns, so that a busy moment of the
machine meets all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.arrays import Floats, Keypoints
from bench.config import BenchConfig, SuiteConfig, at_least, within
from bench.report import Report
from bench.sim import Arena, preset
from tipoff.errors import DeadlineError, InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from triton_models.client import InferenceClient

MODELS = ("people_frame", "pose_crops")
IN_PROCESS, SHARED, BYTES = "in-process", "shared memory", "bytes"
MAX_CALLERS = 64
CALLERS_DEADLINE_S = 600.0
SAME_PX = 0.05
"""Answers whose median difference is below this are the same; resampling may differ in bits."""


@dataclass
class Config(SuiteConfig):
    """Options of suite=triton."""

    name: str = "triton"
    models: list[str] = field(default_factory=lambda: list(MODELS))
    """people_frame, pose_crops, or both."""
    callers: list[int] = field(default_factory=lambda: [1, 4])
    """How many threads call at once; each number is measured."""
    requests: int = 60
    """Requests of each way in a repetition, all callers together."""
    repetitions: int = 3
    """How often the ways take turns."""
    input_width: int = 512
    """Width of MultiPose's input, a multiple of 32."""
    input_height: int = 288
    """Height of MultiPose's input, a multiple of 32."""
    threshold: float = 0.15
    """Least score of a person."""
    pose_model: str = "lightning"
    """The model of pose_crops."""
    boxes: int = 4
    """How many crops a request of pose_crops has."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        for model in self.models:
            if model not in MODELS:
                raise InvalidInputError(
                    f"suite.models names {model!r}; give some of {', '.join(MODELS)}",
                    field="models",
                )
        for callers in self.callers:
            within("suite.callers", callers, 1, MAX_CALLERS)
        at_least("suite.requests", self.requests, 1)
        at_least("suite.repetitions", self.repetitions, 1)
        within("suite.boxes", self.boxes, 1, 13)


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls took."""

    p50_ms: float
    """Median of all calls."""
    p99_ms: float
    """99th percentile of all calls."""
    medians_ms: tuple[float, ...]
    """Each repetition's own median."""
    calls_per_s: float
    """Answered calls over the time that they took together."""


Way = Callable[[], Keypoints]


def run(config: BenchConfig) -> Report:
    """Start the real server on free ports, measure, and stop it."""
    from triton_models.client import ClientOptions, InferenceClient
    from triton_models.repository import RepositoryOptions
    from triton_models.server import ServerOptions, TritonServer

    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("triton", notes=list(NOTES))
    frame, boxes = _picture(config.seed, suite.boxes)
    most = max(suite.callers)
    repository = RepositoryOptions(frame_width=suite.input_width, frame_height=suite.input_height)
    with report.working("starting the server"):
        server = TritonServer(ServerOptions(repository=repository))
        server.__enter__()
    try:
        shared = InferenceClient(server.grpc_address, ClientOptions(slots=most))
        plain = InferenceClient(server.grpc_address, ClientOptions(shared_memory=False))
        with shared, plain:
            for model in suite.models:
                ways = _ways(model, suite, (frame, boxes), {SHARED: shared, BYTES: plain})
                _measure(report, model, ways, suite)
    finally:
        server.__exit__(None, None, None)
    return report


def _picture(seed: int, boxes: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    from bench.sim.picture import draw

    frame, found = draw(Arena(preset("clean", frames=120, seed=seed)), 100, 0)
    return frame, found[-boxes:]


def _ways(
    model: str,
    suite: Config,
    given: tuple[NDArray[np.uint8], NDArray[np.float32]],
    clients: dict[str, InferenceClient],
) -> dict[str, Way]:
    """The three ways to have a model's answer for a frame (and boxes)."""
    from bench.peers.direct import People, Poses
    from triton_models.client import PeopleQuery
    from triton_models.weights.store import Store

    frame, boxes = given
    size = (suite.input_width, suite.input_height)
    query = PeopleQuery(input_width=size[0], input_height=size[1], threshold=suite.threshold)
    ways: dict[str, Way] = {}
    if model == "people_frame":
        people = People(Store(), size, suite.threshold, threads=1)
        ways[IN_PROCESS] = lambda: people(frame)
    else:
        poses = Poses(Store(), suite.pose_model, threads=1)
        ways[IN_PROCESS] = lambda: poses(frame, boxes)
    for name, client in clients.items():
        ways[name] = _remote(client, model, frame, (query, boxes, suite.pose_model))
    return ways


def _remote(
    client: InferenceClient,
    model: str,
    frame: NDArray[np.uint8],
    asked: tuple[object, NDArray[np.float32], str],
) -> Way:
    query, boxes, pose_model = asked
    if model == "people_frame":
        return lambda: client.people_frame(frame, query).keypoints  # type: ignore[arg-type]
    return lambda: client.pose_crops(frame, boxes, pose_model)


def _measure(report: Report, model: str, ways: dict[str, Way], suite: Config) -> None:
    """Warm up, compare the answers, and let the ways take turns."""
    answers = {name: way() for name, way in ways.items()}
    differences = {n: difference_px(answers[IN_PROCESS], a) for n, a in answers.items()}
    table = report.table(f"{model}: {len(answers[IN_PROCESS])} people", COLUMNS)
    for callers in suite.callers:
        with report.working(f"{model}, {callers} callers"):
            found = race(ways, callers, suite.requests, suite.repetitions)
        base = found[IN_PROCESS].p50_ms
        for name, latency in found.items():
            row: dict[str, object] = {
                "callers": callers,
                "way": name,
                "p50_ms": round(latency.p50_ms, 2),
                "lowest_median_ms": round(min(latency.medians_ms), 2),
                "highest_median_ms": round(max(latency.medians_ms), 2),
                "p99_ms": round(latency.p99_ms, 2),
                "calls_per_s": round(latency.calls_per_s, 1),
                "difference_px": round(differences[name], 4),
            }
            if name != IN_PROCESS:
                row["cost_ms"] = round(latency.p50_ms - base, 2)
            table.add(row)
            report.details.setdefault(model, {}).setdefault(str(callers), {})[name] = asdict(
                latency
            )
    for name, difference in differences.items():
        if not difference <= SAME_PX:
            report.missed.append(f"{model} by {name} answers {difference:.2f} px off {IN_PROCESS}")


def difference_px(ours: Keypoints, theirs: Keypoints) -> float:
    """Median distance of the joints of two answers; infinite where they name other people."""
    if ours.shape != theirs.shape:
        return float("inf")
    if not ours.size:
        return 0.0
    gap = np.linalg.norm(ours[..., :2] - theirs[..., :2], axis=-1)
    known = np.isfinite(gap)
    return float(np.median(gap[known])) if known.any() else 0.0


def race(ways: dict[str, Way], callers: int, requests: int, repetitions: int) -> dict[str, Latency]:
    """Latency of each way with so many callers at once; the ways take turns."""
    spent: dict[str, list[Floats]] = {name: [] for name in ways}
    wall_s = dict.fromkeys(ways, 0.0)
    for _ in range(repetitions):
        for name, way in ways.items():
            milliseconds, seconds = call_at_once(way, callers, requests)
            spent[name].append(milliseconds)
            wall_s[name] += seconds
    return {name: _latency(spent[name], wall_s[name]) for name in ways}


def _latency(repetitions: list[Floats], wall_s: float) -> Latency:
    every = np.concatenate(repetitions)
    p50, p99 = np.percentile(every, [50, 99])
    medians = tuple(float(np.median(r)) for r in repetitions)
    return Latency(float(p50), float(p99), medians, len(every) / wall_s)


def call_at_once(way: Way, callers: int, requests: int) -> tuple[Floats, float]:
    """Milliseconds of each of `requests` calls by `callers` threads, and the seconds in all.

    Raises:
        DeadlineError: the callers did not end in time.
        Exception: whatever the first failing caller raised.
    """
    share = [requests // callers + (k < requests % callers) for k in range(callers)]
    spent: list[list[float]] = [[] for _ in range(callers)]
    failed: list[BaseException] = []
    start = threading.Barrier(callers + 1)

    def call(k: int) -> None:
        start.wait()
        try:
            for _ in range(share[k]):
                began = time.perf_counter()
                way()
                spent[k].append(1e3 * (time.perf_counter() - began))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(k,), daemon=True) for k in range(callers)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join(max(0.0, CALLERS_DEADLINE_S - (time.perf_counter() - began)))
    seconds = time.perf_counter() - began
    if failed:
        raise failed[0]
    if any(thread.is_alive() for thread in threads):
        raise DeadlineError(f"{callers} callers did not end within {CALLERS_DEADLINE_S:g} s")
    return np.concatenate([np.array(times) for times in spent]), seconds


COLUMNS = (
    "callers",
    "way",
    "p50_ms",
    "lowest_median_ms",
    "highest_median_ms",
    "p99_ms",
    "cost_ms",
    "calls_per_s",
    "difference_px",
)
NOTES = (
    "One 1920x1080 frame with people, the same for each way; a call is everything from the frame "
    "in memory to keypoints in its pixels, the copy into shared memory included. cost: p50 beyond "
    "that of as many callers in-process. One thread a session; two processes serve a model.",
    "difference: median distance to the in-process answer's joints.",
)
