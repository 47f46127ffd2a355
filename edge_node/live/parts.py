"""What the live loop works with, what it is told, and the rounds that it works on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from edge_node.live.load import LoadOptions
from edge_node.live.rounds import RoundOptions

if TYPE_CHECKING:
    from accel import Rig, Snapshot, Tracker
    from edge_node.area import Area
    from edge_node.cameras.slot import Drop
    from edge_node.frames import CameraHealth, CameraState
    from edge_node.live.committer import Committer, Outlet
    from edge_node.perception import Asked, Asking, Frame
    from edge_node.planner import PlanOptions


class CameraGroup(Protocol):
    """The part of ``edge_node.cameras.Cameras`` that is used here."""

    def take(self) -> list[Frame]:
        """Give the frames that have come, in order of arrival."""

    def health(self) -> tuple[CameraHealth, ...]:
        """Tell how the cameras do, in the rig's order."""

    def judge(self, name: str, state: CameraState | None, detail: str = "") -> None:
        """Add what the tracker's residuals say of a camera; None: nothing is held against it."""

    def drop(self, name: str, reason: str, capture_time_ns: int | None = None) -> None:
        """Count a frame that was given and then dropped."""

    def take_drops(self) -> list[Drop]:
        """Give the frames that were dropped since the last time, wherever that was."""

    @property
    def began_ns(self) -> int:
        """When the game that recordings play began, ns UTC."""

    @property
    def overtaken(self) -> int:
        """Frames that were overtaken in their slots so far, over all cameras."""


class LoopWatcher(Protocol):
    """Is told what the loop does; the node's metrics and traces listen here."""

    def tracked(self, work: Round, snapshot: Snapshot | None, seconds: float) -> None:
        """A round was tracked; its snapshot is None where its time was not new."""

    def left_out(self, frames: int, reason: str) -> None:
        """Frames were left out."""

    def level_changed(self, level: int) -> None:
        """The load policy is on another step."""


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How the loop runs."""

    plan: PlanOptions
    """How the closed loop spends inference."""
    area: Area
    """Where people are reported from."""
    rounds: RoundOptions = field(default_factory=RoundOptions)
    """How long rounds wait for cameras."""
    load: LoadOptions = field(default_factory=LoadOptions)
    """What is left out when inference cannot follow."""
    checkpoint_every_ns: int = 10_000_000_000
    """How much capture time lies between two checkpoints in the journal."""


@dataclass(frozen=True, slots=True)
class LoopParts:
    """What the loop works with."""

    rig: Rig
    """The calibrated cameras."""
    cameras: CameraGroup
    """Give the frames."""
    inference: Asking | None
    """Asks the models; None where every source brings its people along."""
    tracker: Tracker
    """Fresh, or resumed from the journal."""
    committer: Committer
    """Makes durable and sends."""
    live: Outlet
    """The hub of the live stream."""
    smoothed: Outlet
    """The hub of the smoothed stream."""
    watcher: LoopWatcher
    """Told what happens."""


@dataclass(frozen=True, slots=True)
class Round:
    """A round on its way."""

    frames: list[Frame]
    """Its frames in order of time and camera."""
    asked: list[Asked]
    """What is asked about each."""
    began_ns: int
    """When it was put together, on `time.monotonic_ns`."""

    @property
    def done(self) -> bool:
        """Whether all its answers are there."""
        return all(question.done for question in self.asked)
