"""The node's pulse: when a session is over, and when it only looks like it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from edge_node.availability import AvailabilityRules, Officials
from edge_node.cameras.group import CameraStatus
from edge_node.description import SignedHead, StreamKind, TimeBase
from edge_node.frames import CameraHealth, CameraState
from edge_node.live.vitals import CONDITIONS, ENDED_LOOKS, VitalParts, Vitals
from edge_node.telemetry.readiness import Readiness

ENDED, LIVE, WAITING = CameraState.ENDED, CameraState.LIVE, CameraState.WAITING


class Signs:
    """A journal that signs."""

    def head(self) -> SignedHead:
        """Give a head."""
        return cast("SignedHead", None)  # no hub of these reads it


@dataclass
class Hub:
    """A hub that nothing was sent through."""

    newest: int = 0

    def beat(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Node:
    """Vitals, and cameras that are what a test says."""

    cameras: list[CameraStatus] = field(default_factory=list)
    ended: int = 0

    def __post_init__(self) -> None:
        hubs: Any = {kind: Hub() for kind in StreamKind}
        parts = VitalParts(
            officials=Officials(AvailabilityRules(), TimeBase.UTC),
            hubs=hubs,
            journal=Signs(),
            cameras=lambda: self.cameras,
            degradations=tuple,
            readiness=Readiness(CONDITIONS, lambda _ready: None),
            finished=self._finish,
        )
        self.vitals = Vitals(parts)

    def _finish(self) -> None:
        self.ended += 1

    def look(self, *states: tuple[CameraState, str], times: int = 10 * ENDED_LOOKS) -> int:
        """Look at cameras of these states and sources; gives how often the session has ended."""
        self.cameras = [
            CameraStatus(CameraHealth(f"cam{i}", state, 0, 0, None), source, 0, {})
            for i, (state, source) in enumerate(states)
        ]
        for _ in range(times):
            self.vitals.look()
        return self.ended


def test_a_session_is_over_when_every_source_is_at_its_end() -> None:
    node = Node()
    assert node.look((ENDED, "a.mp4"), (LIVE, "b.mp4"), (WAITING, "")) == 0
    assert node.look((ENDED, "a.mp4"), (ENDED, "b.mp4"), (WAITING, "")) == 1


def test_a_camera_that_is_still_being_connected_to_holds_the_session_open() -> None:
    assert Node().look((ENDED, "a.mp4"), (WAITING, "rtsp://cam/1"), (WAITING, "")) == 0


def test_a_look_between_two_sources_of_a_camera_ends_nothing() -> None:
    node = Node()
    for _ in range(5):
        # The source before was taken away, and the new one is not there yet.
        assert node.look((ENDED, "a.mp4"), (WAITING, ""), times=1) == 0
        assert node.look((ENDED, "a.mp4"), (WAITING, "rtsp://cam/1")) == 0


def test_a_rig_without_sources_is_not_over() -> None:
    assert Node().look((WAITING, ""), (WAITING, "")) == 0
