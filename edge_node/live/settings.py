"""What a session file declares, as the parts of the node take it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge_node.cameras.address import SourceKind, parse_source
from edge_node.cameras.source import SourceOptions
from edge_node.description import TimeBase
from edge_node.live.load import LoadOptions
from edge_node.live.rounds import RoundOptions
from edge_node.planner import PlanOptions
from tipoff.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from edge_node.area import Area
    from edge_node.cameras.address import Address
    from edge_node.description import Team

_BEGINNINGS = {TimeBase.UTC: "1970 (UTC)", TimeBase.RECORDING: "the beginning of a recording"}


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """A camera and its source."""

    name: str
    """Its name in the rig."""
    source: str = field(repr=False)
    """The source as it was written: an RTSP URL with ${NAME} for credentials, or a path."""
    options: SourceOptions = field(default_factory=SourceOptions)
    """How it is read."""
    folder: Path | None = None
    """What a relative path starts from."""

    @property
    def shown(self) -> str:
        """The source without credentials."""
        return self.address.shown

    @property
    def address(self) -> Address:
        """Where its frames come from."""
        return parse_source(self.source, self.folder)

    @property
    def time_base(self) -> TimeBase:
        """What its capture times count from: a recording that is not moved to now keeps its own."""
        live = self.address.kind is SourceKind.RTSP
        return TimeBase.UTC if live or self.options.shift else TimeBase.RECORDING


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What looks at pictures."""

    plan: PlanOptions = field(default_factory=PlanOptions)
    """How the closed loop spends inference."""
    threshold: float = 0.15
    """Least score of a person."""
    triton: str | None = None
    """``host:port`` of a running server's gRPC; None starts one."""


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """How people are tracked."""

    lag_ms: float = 100.0
    """How much later smoothed snapshots come."""
    rate_hz: float = 60.0
    """About how many snapshots a second there are."""


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """What the journal keeps."""

    max_gb: float = 50.0
    """Most room that a session's journal takes."""
    max_age_h: float = 72.0
    """Longest that anything is kept."""
    checkpoint_every_s: float = 10.0
    """Play between two checkpoints: what a restart replays, at most."""


@dataclass(frozen=True, slots=True)
class RingSettings:
    """What is kept of the cameras' encoded video."""

    minutes: float = 10.0
    """How much, of each camera; 0 keeps none."""
    max_gb: float = 20.0
    """Most room, over all cameras."""
    segment_s: float = 10.0
    """Length of a file."""


@dataclass(frozen=True, slots=True)
class AvailabilitySettings:
    """When officials may rely on the stream."""

    window_s: float = 1.0
    """Over how long values are taken."""
    min_views: int = 3
    """Fewest cameras that must see everybody on court."""
    max_std_mm: float = 30.0
    """Highest 95th percentile of people's largest joint standard deviation."""
    max_snapshot_age_ms: float = 250.0
    """Highest age of a snapshot."""
    off_after_s: float = 1.0
    """Off after so long without a snapshot."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if 1e3 * self.off_after_s < self.max_snapshot_age_ms:
            raise InvalidInputError(
                f"off_after_s is {self.off_after_s:g} s and max_snapshot_age_ms "
                f"{self.max_snapshot_age_ms:g} ms: give an off_after_s that is not below it"
            )


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What is held for subscribers."""

    hold_s: float = 300.0
    """How much play is held of each stream: who was away for longer finds a gap."""
    max_subscribers: int = 256
    """Most streams at one time."""


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where the node is reached."""

    subscribers: str = "127.0.0.1:7400"
    """TrackingService, as host:port; port 0 takes a free one."""
    admin: str = ""
    """NodeService, as unix:PATH or host:port; empty: a socket in the state folder."""
    metrics: str = "127.0.0.1:9400"
    """Prometheus metrics and readiness, as host:port; ``off``: nowhere."""


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """What is told about the node."""

    log_level: str = "info"
    """debug, info, warning or error."""
    otlp: str = ""
    """``host:port`` that takes traces by OTLP over HTTP; empty: they go nowhere."""
    trace_every: int = 60
    """One frame-set in so many is traced."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """A live session as its file declares it."""

    file: Path
    """Where it was declared."""
    name: str
    """Name of the session."""
    node: str
    """Name of the node."""
    state: Path
    """Folder for what must outlive the process: journal, key, ring."""
    rig: Path
    """The calibration."""
    scale: float | None
    """Metres per unit of the calibration, where its format does not say."""
    area: Area | None
    """Where people are reported from; None is where enough cameras look."""
    cameras: tuple[CameraSettings, ...]
    """The cameras that have a source, in the file's order."""
    sources: SourceOptions = field(default_factory=SourceOptions)
    """How the source of any other camera is read."""
    models: ModelSettings = field(default_factory=ModelSettings)
    """What looks at pictures."""
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    """How people are tracked."""
    rounds: RoundOptions = field(default_factory=RoundOptions)
    """How long a frame-set waits for cameras."""
    load: LoadOptions = field(default_factory=LoadOptions)
    """What is left out when inference cannot follow."""
    roster: tuple[Team, ...] = ()
    """The teams."""
    journal: JournalSettings = field(default_factory=JournalSettings)
    """What the journal keeps."""
    ring: RingSettings = field(default_factory=RingSettings)
    """What is kept of the video."""
    availability: AvailabilitySettings = field(default_factory=AvailabilitySettings)
    """When officials may rely on the stream."""
    streams: StreamSettings = field(default_factory=StreamSettings)
    """What is held for subscribers."""
    listen: ListenSettings = field(default_factory=ListenSettings)
    """Where the node is reached."""
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    """What is told about the node."""

    @property
    def sees(self) -> bool:
        """Whether any camera gives pictures, so that models are needed."""
        return any(not camera.address.observed for camera in self.cameras)

    @property
    def time_base(self) -> TimeBase:
        """What capture times count from."""
        recorded = any(camera.time_base is TimeBase.RECORDING for camera in self.cameras)
        return TimeBase.RECORDING if recorded else TimeBase.UTC

    def camera_with(self, name: str, source: str) -> CameraSettings:
        """Give a camera with a source put by hand, which is read as the file says for the camera.

        Args:
            name: The camera.
            source: As in the file.

        Raises:
            SourceError: The text names no source.
            ConflictError: The session cannot use such a source.
        """
        mine = {camera.name: camera.options for camera in self.cameras}
        folder = self.file.resolve().parent
        put = CameraSettings(name, source, mine.get(name, self.sources), folder)
        if not put.address.observed and not self.sees:
            raise ConflictError(
                f"{put.shown} gives pictures and this session has no models to look with, since "
                f"every source in {self.file} is a recording of observations: put such a recording "
                f"(*.parquet), or write the source into the file and start the node anew",
                camera=name,
            )
        if put.time_base is not self.time_base:
            raise ConflictError(
                f"the times of {put.shown} count from {_BEGINNINGS[put.time_base]}, and those of "
                f"this session from {_BEGINNINGS[self.time_base]}: its frames would be of another "
                "time than all others; put a source of the same kind (recordings are moved to now "
                "unless the file says shift = false)",
                camera=name,
            )
        return put
