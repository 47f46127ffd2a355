"""The closed loop asks rarely for everybody, and where somebody is missing or new."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accel import Snapshot
from edge_node.frames import CameraFrame, ViewDetections
from edge_node.inference import Detect, PoseRegion
from edge_node.pictures import ArrayPicture
from edge_node.planner import (
    CANDIDATE_MARGIN,
    CANDIDATE_ROUNDS,
    FIRST_ROUNDS,
    IDLE_EVERY,
    LEFTOVER_ROUNDS,
    Planner,
    PlanOptions,
)
from edge_node.posing import Expected
from tipoff.errors import InvalidInputError

J, CAMERAS = 17, 4
IMAGE = ArrayPicture(np.zeros((1080, 1920, 3), np.uint8))
SOMEBODY = Expected(np.array([[900.0, 200.0, 1100.0, 800.0]]), np.full((1, J, 2), 500.0))
NOBODY = Expected(np.empty((0, 4)), np.empty((0, J, 2)))
EMPTY = Snapshot(
    0,
    np.empty(0, np.int64),
    np.empty((0, J, 3)),
    np.empty((0, J, 3, 3)),
    np.empty((0, J), np.float32),
    np.empty((0, J), np.int32),
)


class Game:
    """Plays rounds through a planner, and notes which cameras were searched in each."""

    def __init__(self, options: PlanOptions, people: Expected = SOMEBODY) -> None:
        self.planner = Planner(CAMERAS, options)
        self.people = people
        self.searched: list[list[int]] = []
        self.posed: list[list[int]] = []
        self.round = 0

    def play(
        self,
        tracked: frozenset[int] = frozenset({1}),
        leftovers: dict[int, tuple[float, float]] | None = None,
        score: float = 0.9,
    ) -> None:
        frames = [
            CameraFrame(c, f"cam{c}", self.round * 10**7, self.round, IMAGE) for c in range(CAMERAS)
        ]
        plans = self.planner.plan(frames, [self.people] * CAMERAS)
        kinds = [[type(task) for task in plan] for plan in plans]
        self.searched.append([c for c in range(CAMERAS) if Detect in kinds[c]])
        self.posed.append([c for c in range(CAMERAS) if PoseRegion in kinds[c]])
        views = [left_view(c, place) for c, place in (leftovers or {}).items()]
        self.planner.learn(views, [np.array([score], np.float32)] * len(views))
        self.planner.learn_tracks(tracked)
        self.round += 1


def left_view(camera: int, place: tuple[float, float]) -> ViewDetections:
    keypoints = np.ones((1, J, 3), np.float32)
    keypoints[0, :, 0] = place[0] + np.linspace(0, 100, J)
    keypoints[0, :, 1] = place[1] + np.linspace(0, 300, J)
    return ViewDetections(camera, 0, 0, keypoints, np.array([-1], np.int64), EMPTY)


def test_each_camera_is_searched_every_so_often_in_turns() -> None:
    game = Game(PlanOptions(detect_every=8, rest_every=0))
    for _ in range(FIRST_ROUNDS + 32):
        game.play()
    assert game.searched[:FIRST_ROUNDS] == [[0, 1, 2, 3]] * FIRST_ROUNDS
    later = game.searched[FIRST_ROUNDS:]
    assert max(len(cameras) for cameras in later) == 1
    assert [sum(c in cameras for cameras in later) for c in range(CAMERAS)] == [4] * CAMERAS
    for cameras, posed in zip(game.searched, game.posed, strict=True):
        assert sorted([*cameras, *posed]) == [0, 1, 2, 3]


def test_without_the_closed_loop_everything_is_searched() -> None:
    options = PlanOptions(detect_every=1)
    game = Game(options)
    for _ in range(5):
        game.play()
    assert game.searched == [[0, 1, 2, 3]] * 5
    assert not options.closed_loop


def test_while_nobody_is_tracked_all_are_searched_now_and_then() -> None:
    game = Game(PlanOptions(detect_every=1000), NOBODY)
    for _ in range(30):
        game.play(tracked=frozenset())
    whole = [n for n, cameras in enumerate(game.searched) if len(cameras) == CAMERAS]
    assert whole == [0, 1, *range(IDLE_EVERY, 30, IDLE_EVERY)]


def test_a_lost_track_has_all_searched_once() -> None:
    game = Game(PlanOptions(detect_every=1000))
    for _ in range(20):
        game.play(tracked=frozenset({1, 2}))
    game.play(tracked=frozenset({1}))
    for _ in range(10):
        game.play(tracked=frozenset({1}))
    assert [n for n, cameras in enumerate(game.searched) if len(cameras) == CAMERAS][-1] == 21
    assert sum(len(cameras) == CAMERAS for cameras in game.searched) == FIRST_ROUNDS + 1


def test_somebody_new_in_one_camera_has_the_others_searched_but_not_again_and_again() -> None:
    game = Game(PlanOptions(detect_every=1000))
    for _ in range(10):
        game.play()
    for _ in range(LEFTOVER_ROUNDS // 2):
        game.play(leftovers={1: (300.0, 300.0)})
    asked = [n for n, cameras in enumerate(game.searched) if cameras == [0, 2, 3]]
    assert asked == [11]
    game.play(leftovers={1: (1500.0, 300.0)})
    game.play()
    assert game.searched[-1] == [0, 2, 3]


def test_somebody_unknown_goes_on_being_posed_for_some_rounds() -> None:
    game = Game(PlanOptions(detect_every=1000))
    for _ in range(5):
        game.play()
    posed = []
    for _ in range(CANDIDATE_ROUNDS + 5):
        game.play(leftovers={1: (300.0, 300.0)})
        posed.append([len(game.planner.candidates_px(camera)) for camera in range(CAMERAS)])
    assert posed[:CANDIDATE_ROUNDS] == [[0, 1, 0, 0]] * CANDIDATE_ROUNDS
    assert posed[-1] == [0, 0, 0, 0]


def test_somebody_who_got_a_track_or_went_is_no_candidate_any_more() -> None:
    game = Game(PlanOptions(detect_every=1000))
    game.play(leftovers={1: (300.0, 300.0)})
    (box,) = game.planner.candidates_px(1)
    assert box.tolist() == [300.0 - 36, 300.0 - 36, 400.0 + 36, 600.0 + 36]
    known = left_view(1, (300.0, 300.0))
    known.assigned[:] = 5
    game.planner.learn([known], [np.array([0.9], np.float32)])
    assert not len(game.planner.candidates_px(1))


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_a_leftover_is_where_its_keypoints_have_a_place(number: float) -> None:
    planner, score = Planner(CAMERAS, PlanOptions()), [np.array([0.9], np.float32)]
    view = left_view(1, (300.0, 300.0))
    view.keypoints[0, 0, 0] = view.keypoints[0, -1, 1] = number
    planner.learn([view], score)
    (box,) = planner.candidates_px(1)
    known = view.keypoints[0, 1:-1, :2]
    margin = CANDIDATE_MARGIN * (known.max(axis=0) - known.min(axis=0)).max()
    assert box == pytest.approx([*known.min(axis=0) - margin, *known.max(axis=0) + margin])
    view.keypoints[...] = number
    planner = Planner(CAMERAS, PlanOptions())
    planner.learn([view], score)
    assert len(planner.candidates_px(1)) == 0, "nobody knows where"


def test_a_doubtful_leftover_asks_nothing() -> None:
    game = Game(PlanOptions(detect_every=1000))
    for _ in range(10):
        game.play(leftovers={1: (300.0, 300.0)}, score=0.2)
    assert game.searched[2:] == [[]] * 8


def test_each_camera_rests_in_turns() -> None:
    game = Game(PlanOptions(detect_every=1000, rest_every=4))
    for _ in range(20):
        game.play()
    later = game.posed[FIRST_ROUNDS:]
    assert {len(posed) for posed in later} == {3}
    for camera in range(CAMERAS):
        assert 12 <= sum(camera in posed for posed in later) <= 15


def test_few_cameras_never_rest() -> None:
    planner = Planner(3, PlanOptions(detect_every=1000, rest_every=2))
    frames = [CameraFrame(c, f"cam{c}", 0, 0, IMAGE) for c in range(3)]
    for _ in range(FIRST_ROUNDS):
        planner.plan(frames, [SOMEBODY] * 3)
    planner.learn_tracks(frozenset({1}))
    for _ in range(8):
        assert all(planner.plan(frames, [SOMEBODY] * 3))


@pytest.mark.parametrize(
    "bad", [{"detect_every": 0}, {"rest_every": 1}, {"rest_every": -2}, {"input_px": 500}]
)
def test_what_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        PlanOptions(**bad)
