"""suite=pipeline: real videos through the whole edge node, the closed loop on against off.

Off is MultiPose on every frame of every camera, at the same input size as the loop's searches. The
two take turns, so that a busy moment of the machine meets both. A run decodes, asks the real
server, tracks, measures and writes tracks.parquet; it draws no overlay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench.config import BenchConfig, SuiteConfig, at_least
from bench.report import Report
from edge_node.demo import CALIBRATION, CAMERAS, CLIPS, fetch_clips
from edge_node.planner import PlanOptions
from edge_node.posing import PoseOptions
from tipoff.console import configure_logging
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from triton_models.client import InferenceClient

ON, OFF = "on", "off"
MODELS = ("people_frame", "pose_crops")
SPEEDUP = 2.0
"""On is at least so many times as fast as off."""
WORSE = 1.10
"""On's reprojection error is at most so many times off's."""
AGAINST = (
    *("clip", "speedup", "server_speedup", "reprojection_ratio"),
    *("pose_model", "detect_every", "rest_every"),
)
STAGES = ("decode", "convert", "detect", "pose", "plan", "track", "summary", "parquet")
WARM_FRAMES = 8
WHOLE = (
    *("clip", "loop", "frames_per_s", "spread_per_s", "tracks", "reprojection_px", "p95_px"),
    *("limb_variation_percent", "frames_searched"),
)


@dataclass
class Config(SuiteConfig):
    """Options of suite=pipeline."""

    name: str = "pipeline"
    clips: list[str] = field(default_factory=lambda: list(CLIPS))
    """two-person, one-person, or both."""
    turns: int = 3
    """How often on and off take turns; the median counts."""
    max_frames: int = 100
    """Frames used of each video; the clips have 100."""
    detect_every: int = PlanOptions().detect_every
    """On: a camera's whole frame is searched every so many frames."""
    rest_every: int = PlanOptions().rest_every
    """On: a camera's people are not posed in every so many frames; 0 poses them always."""
    pose_model: str = PoseOptions().model
    """On: what poses people between searches."""
    input_size: int = PlanOptions().input_px
    """Longer side of the detector's input, on and off."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        for clip in self.clips:
            if clip not in CLIPS:
                raise InvalidInputError(
                    f"suite.clips names {clip!r}; give some of {', '.join(CLIPS)}", field="clips"
                )
        at_least("suite.turns", self.turns, 1)
        at_least("suite.max_frames", self.max_frames, WARM_FRAMES)
        at_least("suite.detect_every", self.detect_every, 2)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run measured."""

    frames: int
    """Camera frames."""
    seconds: Mapping[str, float]
    """By stage, over all its threads; ``total`` by the clock."""
    counts: Mapping[str, int]
    """How often each stage ran."""
    server_s: float
    """What the models took inside the server, over its processes, waiting not included."""
    summary: Mapping[str, Any]
    """What was measured of the tracks."""

    @property
    def rate(self) -> float:
        """Camera frames a second, in all."""
        return self.frames / self.seconds["total"]


def run(config: BenchConfig) -> Report:
    """Start the real server, run each clip on and off in turns, and compare."""
    from triton_models.client import InferenceClient
    from triton_models.server import TritonServer

    configure_logging()  # warnings of the pipeline go to stderr, as in its own commands
    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("pipeline", notes=list(NOTES))
    plans = {ON: plan_on(suite), OFF: PlanOptions(detect_every=1, input_px=suite.input_size)}
    with report.working("fetching the clips"):
        clips = fetch_clips()
    with serving(report, TritonServer()) as address, InferenceClient(address) as client:
        runner = Runner(clips, address, client)
        runner.go(suite.clips[0], plans[ON], WARM_FRAMES)
        runs: dict[tuple[str, str], list[Run]] = {}
        for turn in range(suite.turns):
            for clip in suite.clips:
                for loop, plan in plans.items():
                    with report.working(f"turn {turn + 1}/{suite.turns}, {clip}, loop {loop}"):
                        done = runner.go(clip, plan, suite.max_frames)
                    runs.setdefault((clip, loop), []).append(done)
    describe(report, suite, runs)
    return report


def plan_on(suite: Config) -> PlanOptions:
    """Give the closed loop as configured."""
    pose = PoseOptions(model=suite.pose_model)
    return PlanOptions(suite.detect_every, suite.rest_every, suite.input_size, pose)


@contextmanager
def serving(report: Report, server: Any) -> Iterator[str]:
    """Run the server for a block."""
    with report.working("starting the server"):
        server.__enter__()
    try:
        yield server.grpc_address
    finally:
        server.__exit__(None, None, None)


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs clips through the pipeline."""

    clips: Path
    """Where they lie."""
    address: str
    """The server's."""
    client: InferenceClient
    """Asked for the server's own statistics."""

    def go(self, clip: str, plan: PlanOptions, max_frames: int) -> Run:
        """Run one clip to its end."""
        from edge_node.results import ResultFiles
        from edge_node.session import SessionOptions, open_session

        folder = self.clips / clip
        options = SessionOptions(
            rig=folder / CALIBRATION,
            videos=tuple(str(folder / f"{camera}.mp4") for camera in CAMERAS),
            plan=plan,
            max_frames=max_frames,
            triton=self.address,
        )
        before = self.server_s()
        with TemporaryDirectory() as out, open_session(options, lambda _line: None) as session:
            files = ResultFiles(Path(out), session, clip, overlay=False)
            result = session.pipeline(files.sinks).run()
            frames = sum(camera.frames for camera in result.cameras)
            spent = self.server_s() - before
            return Run(frames, result.seconds, result.counts, spent, files.measured.as_dict())

    def server_s(self) -> float:
        """Give what the models have taken inside the server so far."""
        from tritonclient.grpc import service_pb2

        total_ns = 0
        for model in MODELS:
            request = service_pb2.ModelStatisticsRequest(name=model)
            answer = self.client.stub.ModelStatistics(request, timeout=10.0)
            total_ns += sum(m.inference_stats.compute_infer.ns for m in answer.model_stats)
        return total_ns / 1e9


def describe(report: Report, suite: Config, runs: Mapping[tuple[str, str], list[Run]]) -> None:
    """Write the tables, and hold on against off."""
    whole = report.table("camera frames a second in all, and what came of them", WHOLE)
    stages = report.table(
        "camera frames a second by stage alone (a thread's, or a server process')",
        ["clip", "loop", *STAGES, "server"],
    )
    for (clip, loop), done in runs.items():
        rates = sorted(each.rate for each in done)
        middle = next(each for each in done if each.rate == rates[len(rates) // 2])
        spread = middle.summary["reprojection_px"]
        whole.add(
            {
                "clip": clip,
                "loop": loop,
                "frames_per_s": round(median(rates), 1),
                "spread_per_s": f"{rates[0]:.1f}-{rates[-1]:.1f}",
                "tracks": ", ".join(str(track["id"]) for track in middle.summary["tracks"]),
                "reprojection_px": round(spread["median"], 2),
                "p95_px": round(spread["p95"], 1),
                "limb_variation_percent": round(100 * middle.summary["limb_length_variation"], 2),
                "frames_searched": middle.counts.get("detect", 0),
            }
        )
        stages.add({"clip": clip, "loop": loop, **stage_rates(middle)})
    compare(report, suite, runs)
    report.details["runs"] = [
        {"clip": clip, "loop": loop, "seconds": each.seconds, "server_s": each.server_s}
        for (clip, loop), done in runs.items()
        for each in done
    ]


def stage_rates(run_: Run) -> dict[str, float]:
    """Give camera frames a second by stage; those of detect and pose over the frames they had."""
    rates = {}
    for stage in STAGES:
        seconds = run_.seconds.get(stage, 0.0)
        frames = run_.counts.get(stage, 0) if stage in ("detect", "pose") else run_.frames
        if seconds:
            rates[stage] = round(frames / seconds, 1)
    return {**rates, "server": round(run_.frames / run_.server_s, 1)}


def compare(report: Report, suite: Config, runs: Mapping[tuple[str, str], list[Run]]) -> None:
    """Hold on against off, clip by clip and over all."""
    table = report.table(
        "the closed loop on against off",
        AGAINST,
    )
    ratios, speedups = [], []
    for clip in suite.clips:
        on, off = runs[clip, ON], runs[clip, OFF]
        speedups.append(median([a.rate / b.rate for a, b in zip(on, off, strict=True)]))
        ratios.append(reprojection(on[0]) / reprojection(off[0]))
        server = median([b.server_s / a.server_s for a, b in zip(on, off, strict=True)])
        table.add(
            {
                "clip": clip,
                "speedup": round(speedups[-1], 2),
                "server_speedup": round(server, 2),
                "reprojection_ratio": round(ratios[-1], 3),
                "pose_model": suite.pose_model,
                "detect_every": suite.detect_every,
                "rest_every": suite.rest_every,
            }
        )
        report.target(f"speed of {clip}, on over off", speedups[-1], SPEEDUP)
        # The report's targets are lower bounds, so the ratio is held the other way round.
        report.target(f"reprojection of {clip}, off over on", 1.0 / ratios[-1], 1.0 / WORSE)


def reprojection(run_: Run) -> float:
    """Give a run's median reprojection in pixels."""
    value: float = run_.summary["reprojection_px"]["median"]
    return value


NOTES = (
    "Off: MultiPose on every frame of every camera at the input size of on's searches.",
    "detect, pose: as the caller waits for them, the queue before the server included, over the "
    "frames that had such a request. server: the models' own time inside Triton, one process.",
    "Reprojection: every keypoint of confidence 0.15 or more in a detection assigned to a track, "
    "outliers included. The results of a clip are the same in every turn.",
)
