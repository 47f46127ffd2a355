"""OpenCV: the undistortion of the same points, a yardstick for the cost of a whole update."""

from __future__ import annotations

import cv2
import numpy as np

from bench.arrays import Floats
from bench.sim import FrameSet, RigArrays


class Undistortion:
    """`cv2.undistortPoints` once a camera, on one thread, as its own defaults iterate."""

    name = f"OpenCV {cv2.__version__}"
    does = "cv2.undistortPoints of the same points alone"

    def __init__(self, rig: RigArrays) -> None:
        """Keep the lenses of `rig`."""
        cv2.setNumThreads(1)
        self._lenses = list(zip(rig.K, rig.dist, strict=True))

    def prepare(self, frame_set: FrameSet) -> list[tuple[int, Floats]]:
        """The given keypoints of each camera, (n, 1, 2) float64; not part of the timing."""
        points: list[tuple[int, Floats]] = []
        for view in frame_set.views:
            given = view.keypoints[view.keypoints[..., 2] > 0][:, None, :2]
            points.append((view.camera, np.ascontiguousarray(given, dtype=np.float64)))
        return points

    def run(self, points: list[tuple[int, Floats]]) -> None:
        """Undistort every camera's points."""
        for camera, uv in points:
            matrix, distortion = self._lenses[camera]
            if len(uv):
                cv2.undistortPoints(uv, matrix, distortion)


def make(rig: RigArrays) -> Undistortion:
    """The peer for a rig."""
    return Undistortion(rig)
