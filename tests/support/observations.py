"""Recorded observations made for tests: people whose keypoints tell the frame's number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_node.cameras.observations import Row, write_observations

JOINTS = 17


def people(number: int, count: int = 2, camera: int = 0) -> NDArray[np.float32]:
    """Keypoints whose first u is the frame's number."""
    keypoints = np.full((count, JOINTS, 3), 0.9, np.float32)
    keypoints[..., 0] = number + 1000.0 * camera
    keypoints[..., 1] = np.arange(count)[:, None]
    return keypoints


def rows(cameras: Sequence[str], frames: int, rate_hz: float, start_ns: int = 0) -> Iterator[Row]:
    """Frames of cameras that run in step, in order of time."""
    for number in range(frames):
        time_ns = start_ns + round(number * 1e9 / rate_hz)
        for index, camera in enumerate(cameras):
            yield camera, time_ns, people(number, camera=index)


def make_recording(
    path: Path, cameras: Sequence[str], frames: int, rate_hz: float = 30.0, start_ns: int = 0
) -> Path:
    """Write a recording of them."""
    write_observations(path, rows(cameras, frames, rate_hz, start_ns), JOINTS)
    return path
