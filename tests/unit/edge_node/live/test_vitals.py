"""The pulse: what it looks at, in which time, and what it says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from edge_node.availability import Officials
from edge_node.description import StreamKind, TimeBase
from edge_node.frames import CameraHealth, CameraState, CaptureClock
from edge_node.live.vitals import CONDITIONS, VitalParts, Vitals
from edge_node.telemetry.readiness import Readiness
from tests.support.streams import make_hub

SECOND_NS = 1_000_000_000


class NoJournal:
    """Has no head to sign."""

    def head(self) -> Any:
        """Nothing."""
        return None


def look_at(cameras: Sequence[CameraHealth], time_base: TimeBase) -> Sequence[str]:
    """Look once; give the cameras that fail without an explanation."""
    vitals = Vitals(
        VitalParts(
            officials=Officials(time_base=time_base),
            hubs={StreamKind.LIVE: make_hub(1)},
            journal=NoJournal(),
            cameras=lambda: cameras,
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


def test_cameras_that_keep_their_recordings_times_are_not_silent() -> None:
    """Their times count from the recording's start, decades before now."""
    cameras = [camera("left", 9 * SECOND_NS), camera("right", 9 * SECOND_NS)]
    assert look_at(cameras, TimeBase.RECORDING) == ()


def test_a_camera_that_is_silent_is_named_whatever_times_count_from() -> None:
    for base, now_ns in ((TimeBase.RECORDING, 9 * SECOND_NS), (TimeBase.UTC, time.time_ns())):
        cameras = [camera("left", now_ns), camera("right", now_ns - 2 * SECOND_NS)]
        assert look_at(cameras, base) == ("right",)
