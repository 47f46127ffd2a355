"""The closed loop: which requests to make about each camera frame.

Everybody is looked for rarely (*detect*), and otherwise only the tracker's people are posed where
it predicts them (*pose*), by most of the cameras at a time. A plan depends on the frames before it
and on what the tracker made of them, never on how long anything took, so the same recordings are
always asked the same questions.

A whole frame is searched
- in every camera's first rounds, and every few rounds while nobody is tracked,
- every ``detect_every``-th frame of a camera, the cameras taking turns,
- in all cameras when a track was lost, or when one camera sees somebody whom the tracker knows
  nothing of.

Two views have to see a person at about the same time for a track to begin, a few times over where
there are but two. So whoever is seen and not known goes on being posed for some rounds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edge_node.inference import STRIDE_PX
from edge_node.posing import PoseOptions, detect_task, pose_tasks
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_node.frames import CameraFrame, ViewDetections
    from edge_node.inference import Task
    from edge_node.posing import Expected

RESTING_CAMERAS = 4
"""Cameras rest in rigs of at least so many."""
IDLE_EVERY = 5
"""While nobody is tracked, all cameras are searched every so many rounds."""
FIRST_ROUNDS = 2
"""Rounds at the start in which all cameras are searched."""
LEFTOVER_SCORE = 0.3
"""A detection without a track has the other cameras searched if its score is at least this."""
LEFTOVER_OVERLAP = 0.3
"""A leftover that overlaps one asked about before by this much, as IoU, is the same."""
LEFTOVER_ROUNDS = 60
"""For so many rounds the same leftover is not asked about again."""
CANDIDATE_ROUNDS = 8
"""For so many rounds a leftover goes on being posed, in the hope that another view sees it."""
CANDIDATE_MARGIN = 0.12
"""What is added around a leftover's keypoints on each side, as part of the longer side."""
MAX_LEFTOVERS = 64
"""Leftovers remembered for each camera, at most."""
LOST_ROUNDS = 5
"""At least so many rounds lie between two searches because of lost tracks."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How the closed loop spends inference."""

    detect_every: int = 30
    """A camera is searched as a whole every so many of its frames; 1 turns the closed loop off."""
    rest_every: int = 4
    """A camera's people are not posed in every so many of its frames, the cameras taking turns, so
    that each time has most of the views; 0 poses them always. Rigs of few cameras never rest."""
    input_px: int = 512
    """Longer side of the detector's input, a multiple of 32."""
    pose: PoseOptions = field(default_factory=PoseOptions)
    """How people are posed."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.detect_every < 1:
            raise InvalidInputError("detect_every counts frames: give 1 or more")
        if self.rest_every < 0 or self.rest_every == 1:
            raise InvalidInputError("rest_every counts frames: give 2 or more, or 0 for never")
        if self.input_px < STRIDE_PX or self.input_px % STRIDE_PX:
            raise InvalidInputError(
                f"the detector's input is {self.input_px} px: give a multiple of {STRIDE_PX}"
            )

    @property
    def closed_loop(self) -> bool:
        """Whether predicted people are posed at all."""
        return self.detect_every > 1


@dataclass(slots=True)
class Leftover:
    """Somebody whom a camera saw and the tracker did not know; the other cameras were asked."""

    box_px: NDArray[np.float64]
    """(4,): x0, y0, x1, y1, where last seen, in pixels of the calibration."""
    since: int
    """Round when first seen."""
    seen: bool = True
    """Whether the newest answer about the camera shows them, still unknown."""


@dataclass(slots=True)
class CameraPlan:
    """What the planner remembers of a camera."""

    frames: int = 0
    """Frames planned so far."""
    search: bool = False
    """Whether the next frame is to be searched as a whole."""
    leftovers: list[Leftover] = field(default_factory=list)
    """Leftovers of late, oldest first."""


class Planner:
    """Says what to ask about each frame.

    Args:
        cameras: How many cameras there are.
        options: How to spend inference.
    """

    def __init__(self, cameras: int, options: PlanOptions) -> None:
        self._options = options
        self._cameras = [CameraPlan() for _ in range(cameras)]
        self._rest_every = options.rest_every if cameras >= RESTING_CAMERAS else 0
        self._round = 0
        self._learned = 0
        self._tracked: frozenset[int] = frozenset()
        self._lost_round = -LOST_ROUNDS
        self._detect_every = options.detect_every

    def ease(self, detect_factor: int) -> None:
        """From now on search whole frames so many times more rarely than the options say."""
        self._detect_every = self._options.detect_every * detect_factor

    def plan(self, frames: Sequence[CameraFrame], people: Sequence[Expected]) -> list[list[Task]]:
        """Plan a round.

        Args:
            frames: Its frames, each of another camera.
            people: For each frame, the people to pose as the tracker predicts them.

        Returns:
            For each frame its tasks; none where there is nothing to ask.
        """
        idle = not self._tracked and self._round % IDLE_EVERY == 0
        everywhere = self._round < FIRST_ROUNDS or idle
        self._round += 1
        return [
            self._plan_frame(frame, expected, everywhere)
            for frame, expected in zip(frames, people, strict=True)
        ]

    def _plan_frame(self, frame: CameraFrame, people: Expected, everywhere: bool) -> list[Task]:
        options, state = self._options, self._cameras[frame.camera]
        turn = frame.camera * self._detect_every // len(self._cameras)
        due = (state.frames + turn) % self._detect_every == 0
        resting = self._rest_every and (state.frames + frame.camera) % self._rest_every == 0
        state.frames += 1
        size = (frame.image.width_px, frame.image.height_px)
        if everywhere or due or state.search:
            state.search = False
            return [detect_task(size, options.input_px)]
        return [] if resting else pose_tasks(people, size, options.pose)

    def learn(self, views: Sequence[ViewDetections], scores: Sequence[NDArray[np.float32]]) -> None:
        """Take in what the tracker made of a round; call it once a round, in order.

        Args:
            views: The frames that were asked about.
            scores: For each view, the scores of its detections.
        """
        for view, view_scores in zip(views, scores, strict=True):
            if self._has_new_leftover(view, view_scores):
                self._search(except_camera=view.camera)
        self._learned += 1

    def learn_tracks(self, tracked: frozenset[int]) -> None:
        """Take in who is tracked after a round; a lost track has all cameras searched."""
        lost = self._tracked - tracked
        if lost and self._learned - self._lost_round >= LOST_ROUNDS:
            self._lost_round = self._learned
            self._search()
        self._tracked = tracked

    def _search(self, except_camera: int | None = None) -> None:
        for camera, state in enumerate(self._cameras):
            state.search |= camera != except_camera

    def candidates_px(self, camera: int) -> NDArray[np.float64]:
        """Give boxes (N, 4) of unknown people to pose, in pixels of the calibration."""
        newest = self._learned - CANDIDATE_ROUNDS
        known = self._cameras[camera].leftovers
        boxes = [left.box_px for left in known if left.seen and left.since >= newest]
        return grow(np.array(boxes, np.float64).reshape(-1, 4), CANDIDATE_MARGIN)

    def _has_new_leftover(self, view: ViewDetections, scores: NDArray[np.float32]) -> bool:
        state = self._cameras[view.camera]
        oldest = self._learned - LEFTOVER_ROUNDS
        state.leftovers = [left for left in state.leftovers if left.since > oldest]
        for left in state.leftovers:
            left.seen = False
        unknown = view.keypoints[(view.assigned < 0) & (scores >= LEFTOVER_SCORE)]
        boxes = [keypoint_box(keypoints) for keypoints in unknown]
        new = [self._is_new(state, box) for box in boxes if box is not None]
        return any(new)

    def _is_new(self, state: CameraPlan, box_px: NDArray[np.float64]) -> bool:
        """Whether a leftover is a new one; remembers it either way."""
        for left in state.leftovers:
            if overlap(box_px, left.box_px) > LEFTOVER_OVERLAP:
                left.box_px, left.seen = box_px, True
                return False
        if len(state.leftovers) < MAX_LEFTOVERS:
            state.leftovers.append(Leftover(box_px, self._learned))
        return True


def grow(boxes_px: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """Widen boxes (N, 4) on each side by a part of their longer side."""
    pad = margin * (boxes_px[:, 2:] - boxes_px[:, :2]).max(axis=1, keepdims=True, initial=0.0)
    return np.hstack([boxes_px[:, :2] - pad, boxes_px[:, 2:] + pad])


def keypoint_box(keypoints: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Give the box around a detection's keypoints, (4,); None where no keypoint has a place."""
    points = keypoints[:, :2].astype(np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return None
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = float(np.prod(np.maximum(sides, 0.0)))
    areas = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]))
    return common / max(areas - common, 1e-9)
