"""One tracking session put together: rig, videos, server, tracker and pipeline.

The composition root of `tipoff track` and `tipoff serve`:

    with open_session(options, report) as session:
        result = session.pipeline(sinks).run()
"""

from __future__ import annotations

import platform
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING

import structlog

from accel import COCO17, Rig, Tracker, TrackerOptions
from edge_node.area import default_area
from edge_node.capture import FileSource
from edge_node.clock import RecordingClock
from edge_node.inference import WORKERS, Inference
from edge_node.matching import match_videos
from edge_node.pipeline import Pipeline, PipelineOptions
from edge_node.planner import PlanOptions
from edge_node.posing import MIXED, REGIONS
from edge_node.sizes import size_factor
from tipoff.errors import InvalidInputError, NotFoundError
from triton_models.client import ClientOptions, InferenceClient
from triton_models.weights.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from accel import Skeleton
    from edge_node.area import Area
    from edge_node.clock import Pace
    from edge_node.frames import Sink

log = structlog.get_logger(__name__)

DETECTOR = "movenet-multipose"
CROP_MODELS = {"lightning": "movenet-lightning", "thunder": "movenet-thunder"}
PACKAGES = ("tipoff", "numpy", "av", "pyarrow", "tritonclient")
"""Whose versions a summary names."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What to track, and how."""

    rig: Path
    """The calibration, in any format that `Rig.load` reads."""
    videos: tuple[str, ...]
    """Paths, or ``CAM=PATH``."""
    scale: float | None = None
    """Metres per unit of the calibration, where its format does not say."""
    subset: bool = False
    """Whether cameras may be without a video."""
    plan: PlanOptions = field(default_factory=PlanOptions)
    """How the closed loop spends inference."""
    threshold: float = 0.15
    """Least score of a person."""
    area: Area | None = None
    """Where people are reported from; None is where enough cameras look."""
    max_frames: int | None = None
    """Frames used of each video."""
    start_ns: int = 0
    """When the recordings began, ns UTC; 0 where nobody knows."""
    offsets_ns: Mapping[str, int] = field(default_factory=dict)
    """How much later a camera's recording began, by camera name."""
    triton: str | None = None
    """``host:port`` of a running server's gRPC; None starts one."""


@dataclass(frozen=True, slots=True)
class ModelUsed:
    """A model that took part."""

    name: str
    """Its name in the weights store."""
    sha256: str
    """Digest of its weights."""
    licence: str
    """Its licence."""


@dataclass(frozen=True, slots=True)
class Session:
    """Everything that a run needs, opened."""

    options: SessionOptions
    """What was asked for."""
    rig: Rig
    """The cameras that have a video."""
    skeleton: Skeleton
    """The joints."""
    sources: tuple[FileSource, ...]
    """The videos, in the rig's order."""
    models: tuple[ModelUsed, ...]
    """The models that take part."""
    inference: Inference
    """Asks them."""

    @property
    def rate_hz(self) -> float:
        """About how many tracked frames a second of play there will be."""
        return max((source.info.rate_hz or 0.0 for source in self.sources), default=0.0) or 30.0

    @property
    def total(self) -> int | None:
        """How many camera frames there will be, where the files say so."""
        counts = [source.total for source in self.sources]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    @property
    def area(self) -> Area:
        """Where people are reported from."""
        return self.options.area or default_area(self.rig)

    def pipeline(
        self,
        sinks: Sequence[Sink],
        pace: Pace | None = None,
        on_round: Callable[[int], None] | None = None,
    ) -> Pipeline:
        """Put a pipeline together; each runs once.

        Args:
            sinks: Given every tracked frame.
            pace: Plays the recordings at their own pace; None is as fast as possible.
            on_round: Told how many camera frames a finished round had.
        """
        options = PipelineOptions(self.options.plan, self.area, pace, on_round)
        tracker = Tracker(self.rig, TrackerOptions(skeleton=self.skeleton))
        return Pipeline(self.rig, self.sources, self.inference, tracker, sinks, options)


@contextmanager
def open_session(options: SessionOptions, report: Callable[[str], None]) -> Iterator[Session]:
    """Open everything that a session needs, what is cheap to get wrong first.

    Args:
        options: What to track, and how.
        report: Takes a line at a time about what is going on.

    Raises:
        CalibrationError: the rig cannot be read.
        CameraMatchError: videos and cameras do not match.
        VideoError: a video cannot be read.
        FrameSizeError: a video does not fit its camera's calibration.
        ModelNotFoundError: a model was never pulled or added.
        TipoffError: the server cannot be started or reached, as `triton_models` says.
    """
    rig, sources = open_videos(options)
    models = models_used(options.plan)
    options = replace(options, plan=fit_crops(options.plan))
    with serving(options.triton, report) as address, connected(address) as client:
        inference = Inference(client, len(COCO17.joints), options.threshold)
        try:
            yield Session(options, rig, COCO17, sources, models, inference)
        finally:
            inference.close()


def open_videos(options: SessionOptions) -> tuple[Rig, tuple[FileSource, ...]]:
    """Read the rig and open its videos.

    Returns:
        The cameras that have a video, and those videos in the same order.
    """
    rig = load_rig(options)
    matched = match_videos(rig.names, options.videos, subset=options.subset)
    if len(matched) < len(rig.names):
        rig = rig.subset(list(matched))
    clock = RecordingClock(options.start_ns, options.offsets_ns)
    sources = tuple(
        FileSource(path, rig.index(name), name, clock, options.max_frames)
        for name, path in matched.items()
    )
    for source in sources:
        check_size(source, rig)
    return rig, sources


def check_size(source: FileSource, rig: Rig) -> None:
    """Refuse a video that does not fit its camera's calibration; warn of one that nearly does."""
    picture = (source.info.width_px, source.info.height_px)
    calibrated = rig.size[source.camera]
    if (size_factor(source.name, picture, calibrated) == 1.0).all() and (
        picture != tuple(calibrated)
    ):
        log.warning(
            "picture smaller or larger than calibrated, taken as cut at the right or bottom",
            camera=source.name,
            picture_px=list(picture),
            calibrated_px=[int(side) for side in calibrated],
        )


def load_rig(options: SessionOptions) -> Rig:
    """Read the rig; a camera named in an offset has to be in it."""
    rig = Rig.load(options.rig, options.scale)
    unknown = [name for name in options.offsets_ns if name not in rig.names]
    if unknown:
        raise NotFoundError(
            f"an offset is given for {', '.join(unknown)}; the rig has {', '.join(rig.names)}"
        )
    return rig


def models_used(plan: PlanOptions) -> tuple[ModelUsed, ...]:
    """Look the models of a plan up in the weights store.

    Raises:
        ModelNotFoundError: one was never pulled or added; the message says how.
    """
    crops = crop_model(plan)
    names = [DETECTOR] if crops is None else [DETECTOR, crops]
    manifests = [Store().manifest(name) for name in names]
    return tuple(ModelUsed(m.name, m.sha256, m.licence) for m in manifests)


def crop_model(plan: PlanOptions) -> str | None:
    """Name the crop model of a plan as the weights store does; None where it has none."""
    name = plan.pose.crop_model if plan.pose.model == MIXED else plan.pose.model
    if not plan.closed_loop or name == REGIONS:
        return None
    return CROP_MODELS.get(name, name)


def fit_crops(plan: PlanOptions) -> PlanOptions:
    """Fit the crops to the input of a plan's crop model.

    Raises:
        InvalidInputError: the model reads whole frames.
    """
    name = crop_model(plan)
    if name is None:
        return plan
    crop = Store().manifest(name).crop
    if crop is None:
        raise InvalidInputError(
            f"{name} finds people in whole frames and poses nobody in a crop: give "
            "--pose-model multipose, lightning, thunder, or a model of your own",
            model=name,
        )
    return replace(plan, pose=replace(plan.pose, crop_px=max(crop.width_px, crop.height_px)))


@contextmanager
def serving(
    address: str | None,
    report: Callable[[str], None],
    stop_grace_s: Callable[[], float] | None = None,
) -> Iterator[str]:
    """Give the gRPC address of a server: a running one, or one started for this block.

    Args:
        address: Of the running one; None starts one.
        report: Takes a line at a time about what is going on.
        stop_grace_s: Says, when the block ends, how long the started one may take to end before it
            is killed; None: as long as such a server takes.
    """
    if address is not None:
        yield address
        return
    from triton_models.server import TritonServer

    with TritonServer(report=report) as server:
        try:
            yield server.grpc_address
        finally:
            if stop_grace_s is not None:
                server.stop_grace_s = stop_grace_s()


@contextmanager
def connected(address: str) -> Iterator[InferenceClient]:
    """Connect to a server, with a slot for each frame that may be in flight."""
    with InferenceClient(address, ClientOptions(slots=WORKERS, deadline_s=60.0)) as client:
        yield client


def versions() -> dict[str, str]:
    """Give the versions of what made the tracks."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in PACKAGES
    }
