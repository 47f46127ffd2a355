"""suite=triton: what the server costs over the same model, fed the same frame, in this process.

Four ways lead to the same answer: onnxruntime here; the server, with the frame already in shared
memory; the same with the copy into it; and the frame's bytes in the request. They take turns, so
that a busy moment of the machine meets all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from queue import Queue
from typing import TYPE_CHECKING

import numpy as np

from bench.arrays import Keypoints
from bench.callers import Way, race
from bench.config import BenchConfig, SuiteConfig, at_least, within
from bench.report import Report
from bench.sim import Arena, preset
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from triton_models.client import InferenceClient
    from triton_models.slots import SharedFrame

MODELS = ("people_frame", "pose_crops")
IN_PROCESS, IN_PLACE, SHARED, BYTES = (
    "in-process",
    "shared memory, in place",
    "shared memory, copied",
    "bytes",
)
FOCAL_PX = 4200.0
"""Of the picture: people are then as large as MultiPose wants them."""
MAX_CALLERS = 64
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
    requests: int = 16
    """Requests of each way in a turn, all callers together."""
    turns: int = 12
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
        at_least("suite.turns", self.turns, 1)
        within("suite.boxes", self.boxes, 1, 13)


def run(config: BenchConfig) -> Report:
    """Start the real server on free ports, measure, and stop it."""
    from triton_models.client import ClientOptions, InferenceClient
    from triton_models.repository import RepositoryOptions
    from triton_models.server import ServerOptions, TritonServer

    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("triton", notes=list(NOTES))
    frame, boxes = _picture(config.seed, suite.boxes)
    repository = RepositoryOptions(frame_width=suite.input_width, frame_height=suite.input_height)
    with report.working("starting the server"):
        server = TritonServer(ServerOptions(repository=repository))
        server.__enter__()
    try:
        slots = 2 * max(suite.callers)
        shared = InferenceClient(server.grpc_address, ClientOptions(slots=slots))
        plain = InferenceClient(server.grpc_address, ClientOptions(shared_memory=False))
        with shared, plain:
            for model in suite.models:
                with _leases(shared, frame, max(suite.callers)) as leased:
                    call = _Call(model, suite, frame, boxes)
                    _measure(report, model, _ways(call, leased, (shared, plain)), suite)
    finally:
        server.__exit__(None, None, None)
    return report


def _picture(seed: int, boxes: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    from bench.sim.picture import draw

    options = preset("clean", frames=60, seed=seed)
    arena = Arena(replace(options, ring=replace(options.ring, focal_px=FOCAL_PX)))
    frame, found = draw(arena, 50, 0)
    return frame, found[-boxes:]


@dataclass(frozen=True, slots=True)
class _Call:
    """What is asked of a model."""

    model: str
    suite: Config
    frame: NDArray[np.uint8]
    boxes: NDArray[np.float32]

    def directly(self) -> Way:
        """In this process."""
        from bench.peers.direct import People, Poses
        from triton_models.weights.store import Store

        if self.model == "people_frame":
            size = (self.suite.input_width, self.suite.input_height)
            people = People(Store(), size, self.suite.threshold, threads=1)
            return lambda: people(self.frame)
        poses = Poses(Store(), self.suite.pose_model, threads=1)
        return lambda: poses(self.frame, self.boxes)

    def by(self, client: InferenceClient, frame: NDArray[np.uint8] | SharedFrame) -> Keypoints:
        """By the server."""
        from triton_models.client import PeopleQuery

        if self.model == "pose_crops":
            return client.pose_crops(frame, self.boxes, self.suite.pose_model)
        suite = self.suite
        query = PeopleQuery(
            input_width=suite.input_width,
            input_height=suite.input_height,
            threshold=suite.threshold,
        )
        return client.people_frame(frame, query).keypoints


@contextmanager
def _leases(
    client: InferenceClient, frame: NDArray[np.uint8], count: int
) -> Iterator[Queue[SharedFrame]]:
    """So many leased frames that hold the picture already."""
    with ExitStack() as stack:
        leased: Queue[SharedFrame] = Queue()
        for _ in range(count):
            shared = stack.enter_context(client.frame(frame.shape[0], frame.shape[1]))
            shared.pixels[...] = frame
            leased.put(shared)
        yield leased


def _ways(
    call: _Call, leased: Queue[SharedFrame], clients: tuple[InferenceClient, InferenceClient]
) -> dict[str, Way]:
    """The four ways to an answer."""
    shared, plain = clients

    def in_place() -> Keypoints:
        frame = leased.get_nowait()
        try:
            return call.by(shared, frame)
        finally:
            leased.put(frame)

    return {
        IN_PROCESS: call.directly(),
        IN_PLACE: in_place,
        SHARED: lambda: call.by(shared, call.frame),
        BYTES: lambda: call.by(plain, call.frame),
    }


def _measure(report: Report, model: str, ways: dict[str, Way], suite: Config) -> None:
    """Warm up, compare the answers, and let the ways take turns."""
    answers = {name: way() for name, way in ways.items()}
    differences = {n: difference_px(answers[IN_PROCESS], a) for n, a in answers.items()}
    size = f"MultiPose {suite.input_width}x{suite.input_height}"
    what = size if model == "people_frame" else f"{suite.boxes} crops by {suite.pose_model}"
    title = f"{model}: {what}, {len(answers[IN_PROCESS])} people found"
    table = report.table(title, COLUMNS)
    for callers in suite.callers:
        with report.working(f"{model}, {callers} callers"):
            found = race(ways, callers, suite.requests, suite.turns)
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
                row["cost_ms"] = round(latency.beyond(found[IN_PROCESS]), 2)
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
    "in memory to keypoints in its pixels. In place: the frame was decoded into shared memory. "
    "cost: beyond as many callers in-process, as the median over the turns of the difference of "
    "their medians. One thread a session; two processes serve a model.",
    "difference: median distance to the in-process answer's joints.",
)
