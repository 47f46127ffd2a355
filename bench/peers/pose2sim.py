"""Pose2Sim: its own functions for several people, frame by frame, without its files.

Association of views by ray affinities and a low-rank matching, triangulation with its search for
cameras to leave out, identities by its nearest-person sorting, all with the defaults of its
configuration. Its association does not undistort, so it is given undistorted points, for which it
is not charged. What it does afterwards to a whole recording (interpolation, filtering) is left out.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from bench.arrays import Floats
from bench.peers import Found
from bench.sim import FrameSet, RigArrays

JOINTS = 17
MIRROR = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
RECONSTRUCTION_ERROR_M = 0.1
MIN_AFFINITY = 0.2
MIN_CAMERAS = 2
LEAST_LIKELIHOOD = 0.3
MOST_DISTANCE_M = 1.0
MOST_UNSEEN_FRAMES = 100
CONFIG = {
    "triangulation": {
        "reproj_error_threshold_triangulation": 15,
        "min_cameras_for_triangulation": MIN_CAMERAS,
        "handle_LR_swap": False,
        "undistort_points": False,
    }
}


@dataclass(slots=True)
class _Memory:
    """What it keeps from frame to frame."""

    last: Floats
    """(K, J, 3) everybody's last known joints."""
    unseen: Any = None
    """(K,) frames since."""


class Pose2Sim:
    """Association, triangulation and identities of one frame-set after the other."""

    def __init__(self, rig: RigArrays) -> None:
        """Make its calibration parameters."""
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            level = logging.root.level
            logging.root.setLevel(logging.ERROR)  # it warns that there is no GUI
            try:
                from Pose2Sim import common, personAssociation, triangulation
            finally:
                logging.root.setLevel(level)
        cv2.setNumThreads(1)
        self.name = f"Pose2Sim {importlib.metadata.version('pose2sim')}"
        self.does = "association, triangulation and sorting of points undistorted beforehand"
        self._association, self._triangulation = personAssociation, triangulation
        self._sort = common.sort_people_sports2d
        self._rig = rig
        self._P = [k @ np.column_stack([r, t]) for k, r, t in zip(rig.K, rig.R, rig.t, strict=True)]
        self._params = {
            "K": list(rig.K),
            "inv_K": [np.linalg.inv(k) for k in rig.K],
            "R_mat": list(rig.R),
            "T": list(rig.t),
        }
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._memory = _Memory(np.zeros((0, JOINTS, 3)))

    def prepare(self, frame_set: FrameSet) -> list[list[list[float]]]:
        """Each camera's people as it reads them: x, y, likelihood of each keypoint in turn."""
        people: list[list[list[float]]] = [[] for _ in self._P]
        for view in frame_set.views:
            c = view.camera
            for keypoints in view.keypoints.astype(np.float64):
                given = keypoints[:, 2] > 0
                points = np.zeros((JOINTS, 3))
                lens = (self._rig.K[c], self._rig.dist[c])
                flat = cv2.undistortPoints(
                    np.ascontiguousarray(keypoints[given][:, None, :2]), *lens, P=self._rig.K[c]
                )
                points[given, :2] = np.asarray(flat).reshape(-1, 2)
                points[given, 2] = keypoints[given, 2]
                people[c].append(points.ravel().tolist())
        return people

    def run(self, people: list[list[list[float]]]) -> Floats:
        """(K, J, 3) everybody whom it ever had, NaN where somebody is not there."""
        proposals = self._associate(people)
        joints = np.array([self._place(people, p) for p in proposals]).reshape(-1, JOINTS, 3)
        joints = joints[np.isfinite(joints).all(axis=2).any(axis=1)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # means of nothing
            last, found, _, unseen = self._sort(
                self._memory.last,
                joints,
                scores=None,
                match_by="keypoints",
                pred_displacement=None,
                max_dist=MOST_DISTANCE_M,
                max_unseen_frames=MOST_UNSEEN_FRAMES,
                frames_since_last_seen=self._memory.unseen,
            )
        self._memory = _Memory(np.asarray(last).reshape(-1, JOINTS, 3), unseen)
        return np.asarray(found).reshape(-1, JOINTS, 3)

    def found(self, result: Any) -> Found:
        """Those who are there."""
        there = np.isfinite(result).all(axis=2).any(axis=1)
        return Found(np.flatnonzero(there).astype(np.int64), result[there])

    def _associate(self, people: list[list[list[float]]]) -> Floats:
        """(N, C) which detection of each camera belongs together, NaN for none."""
        module = self._association
        before = np.cumsum([0] + [len(p) for p in people])
        if before[-1] == 0:
            return np.zeros((0, len(people)))
        affinity = module.compute_affinity(
            people, self._params, before, reconstruction_error_threshold=RECONSTRUCTION_ERROR_M
        )
        constraint = module.circular_constraint(before)
        affinity = module.matchSVT(
            affinity * constraint,
            before,
            constraint,
            max_iter=20,
            w_rank=50,
            tol=1e-4,
            w_sparse=0.1,
        )
        affinity[affinity < MIN_AFFINITY] = 0
        proposals = module.person_index_per_cam(affinity, before, MIN_CAMERAS)
        return np.asarray(proposals).reshape(-1, len(people))

    def _place(self, people: list[list[list[float]]], proposal: Floats) -> Floats:
        """(J, 3) one person's joints."""
        seen = np.full((len(people), JOINTS, 3), np.nan)
        for camera, index in enumerate(proposal):
            if not np.isnan(index):
                seen[camera] = np.reshape(people[camera][int(index)], (JOINTS, 3))
        seen[~(seen[..., 2] >= LEAST_LIKELIHOOD)] = np.nan
        joints = np.full((JOINTS, 3), np.nan)
        for j in range(JOINTS):
            joints[j] = self._triangulation.triangulation_from_best_cameras(
                CONFIG, seen[:, j].T, seen[:, MIRROR[j]].T, self._P, self._params
            )[0]
        return joints


def make(rig: RigArrays) -> Pose2Sim:
    """The peer for a rig."""
    return Pose2Sim(rig)
