"""aniposelib: its triangulation of the true associations, undistortion by its own cameras.

It has neither association nor tracking, so it is told whose each detection is; what it gives is one
linear solve a joint over all views (on JAX), without a test for outliers.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

import cv2
import numpy as np

from bench.arrays import Floats
from bench.peers import Found
from bench.sim import FrameSet, RigArrays

JOINTS = 17
MOST_PEOPLE = 64
"""How many people may be in a frame-set."""


class Triangulation:
    """`CameraGroup.triangulate` on everybody's joints at once."""

    def __init__(self, rig: RigArrays) -> None:
        """Make its cameras."""
        from aniposelib.cameras import Camera, CameraGroup

        cv2.setNumThreads(1)
        self.name = f"aniposelib {importlib.metadata.version('aniposelib')}"
        self.does = "undistortion and triangulate, the true associations given"
        self._cameras = len(rig.names)
        self._group = CameraGroup(
            [
                Camera(
                    matrix=rig.K[c],
                    dist=rig.dist[c],
                    size=tuple(int(s) for s in rig.size[c]),
                    rvec=cv2.Rodrigues(rig.R[c])[0].ravel(),
                    tvec=rig.t[c],
                    name=rig.names[c],
                )
                for c in range(self._cameras)
            ]
        )
        self._compiled: set[int] = set()

    def prepare(self, frame_set: FrameSet) -> Floats:
        """(C, P x J, 2) everybody's given keypoints, NaN where there is none."""
        people = 1 + max((int(v.person.max(initial=-1)) for v in frame_set.views), default=0)
        points = np.full((self._cameras, min(people, MOST_PEOPLE), JOINTS, 2), np.nan)
        for view in frame_set.views:
            for keypoints, person in zip(view.keypoints, view.person, strict=True):
                if 0 <= person < MOST_PEOPLE:
                    given = keypoints[:, 2] > 0
                    points[view.camera, person, given] = keypoints[given, :2]
        flat = points.reshape(self._cameras, -1, 2)
        if flat.shape[1] not in self._compiled:  # compilation is not its work
            self._compiled.add(flat.shape[1])
            self.run(flat)
        return flat

    def run(self, points: Floats) -> Floats:
        """(P x J, 3) metres."""
        joints: Floats = self._group.triangulate(points)
        return joints

    def found(self, result: Any) -> Found:
        """Those of whom at least one joint was placed."""
        joints = np.asarray(result).reshape(-1, JOINTS, 3)
        placed = np.isfinite(joints).all(axis=2).any(axis=1)
        return Found(np.flatnonzero(placed).astype(np.int64), joints[placed])

    def forget(self) -> None:
        """It keeps nothing from frame to frame."""


def make(rig: RigArrays) -> Triangulation:
    """The peer for a rig."""
    return Triangulation(rig)
