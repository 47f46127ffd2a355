"""The node's pulse: what it looks at, in which time, and when a session is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from edge_node.availability import AvailabilityRules, Officials
from edge_node.cameras.place import CameraStatus
from edge_node.description import SignedHead, StreamKind, TimeBase
from edge_node.frames import CameraHealth, CameraState, CaptureClock
from edge_node.live.vitals import CONDITIONS, ENDED_LOOKS, VitalParts, Vitals
from edge_node.telemetry.readiness import Readiness
from tests.support.streams import make_hub

SECOND_NS = 1_000_000_000
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


def look_at(cameras: Sequence[CameraHealth], time_base: TimeBase) -> Sequence[str]:
    """Look once; give the cameras that fail without an explanation."""
    vitals = Vitals(
        VitalParts(
            officials=Officials(time_base=time_base),
            hubs={StreamKind.LIVE: make_hub(1)},
            journal=Signs(),
            cameras=lambda: [CameraStatus(one, "a.parquet", 0, {}) for one in cameras],
            degradations=lambda: (),
            readiness=Readiness(CONDITIONS, lambda _ready: None),
            time_base=time_base,
        )
    )
    vitals.look()
    assert vitals.state.availability is not None
    return vitals.state.availability.unexplained_cameras


def camera(name: str, last_ns: int) -> CameraHealth:
    """A live camera."""
    clock = CaptureClock.RECORDING
    return CameraHealth(name, CameraState.LIVE, 1, 0, last_ns, clock=clock)


class HeldSigns(Signs):
    """A journal that is held up when it is asked first."""

    def __init__(self) -> None:
        self.asked, self.goes_on = threading.Event(), threading.Event()

    def head(self) -> SignedHead:
        """Give a head, the first time only when it may go on."""
        if not self.asked.is_set():
            self.asked.set()
            assert self.goes_on.wait(30)
        return super().head()


def test_what_was_turned_off_by_hand_is_not_said_otherwise_by_a_look_that_began_before() -> None:
    officials, signs, said = Officials(), HeldSigns(), list[Any]()
    hub: Any = Hub()
    hub.beat = lambda state, _head: said.append(state.availability.detail)
    parts = VitalParts(
        officials=officials,
        hubs={StreamKind.LIVE: hub},
        journal=signs,
        cameras=list,
        degradations=tuple,
        readiness=Readiness(CONDITIONS, lambda _ready: None),
    )
    vitals = Vitals(parts)
    before = threading.Thread(target=vitals.look, daemon=True)
    before.start()
    assert signs.asked.wait(30)
    officials.turn_off("test: a hand")
    after = threading.Thread(target=vitals.look, daemon=True)
    after.start()
    after.join(0.3)  # long enough to overtake the other one, if it could
    signs.goes_on.set()
    before.join(30)
    after.join(30)
    assert said == ["no snapshot has come", "by hand: test: a hand"]
    assert vitals.state.availability is not None
    assert vitals.state.availability.detail == said[-1]


def test_cameras_that_keep_their_recordings_times_are_not_silent() -> None:
    """Their times count from the recording's start, decades before now."""
    cameras = [camera("left", 9 * SECOND_NS), camera("right", 9 * SECOND_NS)]
    assert look_at(cameras, TimeBase.RECORDING) == ()


def test_a_camera_that_is_silent_is_named_whatever_times_count_from() -> None:
    for base, now_ns in ((TimeBase.RECORDING, 9 * SECOND_NS), (TimeBase.UTC, time.time_ns())):
        cameras = [camera("left", now_ns), camera("right", now_ns - 2 * SECOND_NS)]
        assert look_at(cameras, base) == ("right",)
