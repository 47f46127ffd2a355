"""Tracked frames without a pipeline: people who walk about, from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from accel.tracker import Snapshot
from edge_node.description import SessionDescription
from edge_node.frames import CameraHealth, CameraState, TrackedFrame

JOINTS = tuple(f"joint{index}" for index in range(17))
EDGES = tuple((index, index + 1) for index in range(16))
CAMERAS = ("left", "right", "behind")
PERIOD_NS = 16_666_667
START_NS = 1_700_000_000_000_000_000


def describe(session: str = "game", epoch: int = 1) -> SessionDescription:
    """Describe a session whose every field differs from its default."""
    return SessionDescription(
        session=session,
        epoch=epoch,
        skeleton_name="chain17",
        joints=JOINTS,
        edges=EDGES,
        cameras=CAMERAS,
        rig_digest="sha256:0123",
        models=(("finder", "sha256:4567"), ("poser", "sha256:89ab")),
        build="tipoff 0 (test)",
        nominal_rate_hz=60.0,
        world_frame="metres; a court",
    )


@dataclass(frozen=True)
class Walk:
    """What people do in a made-up session."""

    seed: int = 0
    people: int = 3
    period_ns: int = PERIOD_NS
    missing: float = 0.05
    """Share of joints that are not known."""


def make_frame(number: int, walk: Walk | None = None) -> TrackedFrame:
    """Make frame ``number``, from 1; the same one every time."""
    walk = walk or Walk()
    random = np.random.default_rng((walk.seed, number))
    cells = (walk.people, len(JOINTS))
    joints_m = random.normal(0.0, 5.0, (*cells, 3))
    roots = random.normal(0.0, 0.05, (*cells, 3, 3))
    covariance_m2 = roots @ roots.swapaxes(-1, -2)
    unknown = random.random(cells) < walk.missing
    joints_m[unknown] = np.nan
    covariance_m2[unknown] = np.nan
    time_ns = START_NS + (number - 1) * walk.period_ns
    snapshot = Snapshot(
        time_ns=time_ns,
        ids=np.arange(1, walk.people + 1, dtype=np.int64),
        joints_m=joints_m,
        covariance_m2=covariance_m2,
        confidence=random.random(cells, dtype=np.float32),
        views=random.integers(0, 4, cells, dtype=np.int32),
    )
    return TrackedFrame(time_ns, snapshot, _cameras(number, time_ns))


def _cameras(number: int, time_ns: int) -> tuple[CameraHealth, ...]:
    live = CameraHealth(CAMERAS[0], CameraState.LIVE, number, 0, time_ns)
    lossy = CameraHealth(CAMERAS[1], CameraState.LIVE, number, number // 2, time_ns)
    waiting = CameraHealth(CAMERAS[2], CameraState.WAITING, 0, 0, None)
    return live, lossy, waiting


def make_frames(count: int, walk: Walk | None = None, first: int = 1) -> Iterator[TrackedFrame]:
    """Make ``count`` frames from number ``first`` on."""
    for number in range(first, first + count):
        yield make_frame(number, walk)
