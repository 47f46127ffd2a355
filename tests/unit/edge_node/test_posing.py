"""How expected people are posed: together where that is cheaper, on a steady grid, each once."""

from __future__ import annotations

import numpy as np
import pytest

from edge_node.inference import STRIDE_PX, Found, PoseCrops, PoseRegion
from edge_node.posing import (
    MIXED,
    SCALES_PER_OCTAVE,
    SLIVER,
    Expected,
    PoseOptions,
    detect_task,
    pose_tasks,
    sift,
    step_scale,
)

J = 17
SIZE = (1920, 1080)


def people(*boxes: tuple[float, float, float, float]) -> Expected:
    array = np.array(boxes, np.float64).reshape(-1, 4)
    along = np.linspace(0.1, 0.9, J)[None, :, None]
    points = array[:, None, :2] + along * (array[:, None, 2:] - array[:, None, :2])
    return Expected(array, points)


def found(persons: list[np.ndarray], requests: list[int]) -> Found:
    keypoints = np.array([np.c_[p, np.ones(J)] for p in persons], np.float32).reshape(-1, J, 3)
    return Found(keypoints, np.ones(len(persons), np.float32), np.array(requests, np.intp))


def test_the_detector_sees_the_whole_frame_in_its_own_shape() -> None:
    assert detect_task((1920, 1080), 512).input_px == (512, 288)
    upright = detect_task((1088, 1920), 512)
    assert upright.input_px == (288, 512)
    assert upright.scale == pytest.approx(288 / 1088)
    assert detect_task((100, 3000), 96).input_px == (32, 96)


def test_nobody_expected_asks_nothing() -> None:
    assert pose_tasks(people(), SIZE, PoseOptions()) == []
    nowhere = people((np.nan,) * 4, (-300, 0, -10, 400), (100, 1075, 200, 1400))
    assert pose_tasks(nowhere, SIZE, PoseOptions()) == []


def test_regions_lie_on_the_grid_at_fixed_scales_and_hold_their_people() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        low = rng.uniform([0, 0], [1700, 700])
        box = (*low, *(low + rng.uniform([60, 150], [300, 600])))
        (task,) = pose_tasks(people(box), SIZE, PoseOptions())
        assert isinstance(task, PoseRegion)
        assert all(edge % STRIDE_PX == 0 for edge in task.region_px)
        assert np.log2(task.scale) * SCALES_PER_OCTAVE == pytest.approx(
            round(np.log2(task.scale) * SCALES_PER_OCTAVE)
        )
        x0, y0, x1, y1 = np.array(task.region_px) / task.scale
        slack = 1.01 * SLIVER * STRIDE_PX / task.scale
        assert x0 <= box[0] + slack
        assert y0 <= box[1] + slack
        assert x1 >= min(box[2], SIZE[0]) - slack
        assert y1 >= min(box[3], SIZE[1]) - slack


def test_somebody_who_stands_still_gets_the_same_region() -> None:
    rng = np.random.default_rng(2)
    box = np.array([410.0, 130.0, 610.0, 700.0])
    shaken = [
        pose_tasks(people(tuple(box + rng.normal(0, 1.5, 4))), SIZE, PoseOptions())
        for _ in range(30)
    ]
    assert len({task[0].region_px for task in shaken if isinstance(task[0], PoseRegion)}) == 1


def test_people_are_posed_together_where_that_is_cheaper() -> None:
    near = people((100, 100, 300, 700), (180, 120, 380, 720))
    (task,) = pose_tasks(near, SIZE, PoseOptions())
    assert isinstance(task, PoseRegion)
    assert task.people == (0, 1)
    far = people((100, 100, 300, 700), (1600, 120, 1800, 720))
    assert [
        t.people for t in pose_tasks(far, SIZE, PoseOptions()) if isinstance(t, PoseRegion)
    ] == [
        (0,),
        (1,),
    ]


def test_a_crop_model_poses_one_by_one() -> None:
    both = people((100, 100, 300, 700), (180, 120, 380, 720))
    (task,) = pose_tasks(both, SIZE, PoseOptions(model="thunder"))
    assert isinstance(task, PoseCrops)
    assert task.model == "thunder"
    assert task.boxes_px.tolist() == both.boxes_px.tolist()
    assert 256 / (600 * 1.25) / 1.2 < task.scale < 256 / (600 * 1.25) * 1.2


def test_mixed_takes_crops_for_those_who_stand_alone() -> None:
    three = people((100, 100, 300, 700), (180, 120, 380, 720), (1600, 120, 1800, 720))
    tasks = pose_tasks(three, SIZE, PoseOptions(model=MIXED, crop_model="lightning"))
    assert [(type(task), task.people) for task in tasks if hasattr(task, "people")] == [
        (PoseCrops, (2,)),
        (PoseRegion, (0, 1)),
    ]


def test_scales_never_enlarge() -> None:
    assert step_scale(7.0) == 1.0
    assert step_scale(0.5) == 0.5


def test_a_crop_that_posed_the_neighbour_is_dropped() -> None:
    both = people((100, 100, 300, 700), (180, 120, 380, 720))
    tasks = [
        PoseCrops(0.3, both.boxes_px[:1].astype(np.float32), "lightning", (0,)),
        PoseCrops(0.3, both.boxes_px[1:].astype(np.float32), "lightning", (1,)),
    ]
    first = both.keypoints_px[0]
    kept = sift(found([first, first + 3.0], [0, 1]), tasks, both)
    assert kept.requests.tolist() == [0]
    assert len(kept.keypoints) == len(kept.scores) == 1


def test_somebody_nobody_expected_is_kept() -> None:
    one = people((100, 100, 300, 700))
    stranger = one.keypoints_px[0] + 900.0
    tasks = [PoseRegion(0.3, (0, 0, 64, 64), (0,)), PoseRegion(0.3, (64, 0, 128, 64), ())]
    kept = sift(found([one.keypoints_px[0], stranger], [0, 1]), tasks, one)
    assert kept.requests.tolist() == [0, 1]


def test_a_neighbour_at_the_edge_of_another_region_is_dropped() -> None:
    two = people((100, 100, 300, 700), (500, 100, 700, 700))
    tasks = [PoseRegion(0.3, (0, 0, 96, 224), (0,)), PoseRegion(0.3, (128, 0, 224, 224), (1,))]
    seen = [two.keypoints_px[0], two.keypoints_px[1] + 20.0, two.keypoints_px[1]]
    kept = sift(found(seen, [0, 0, 1]), tasks, two)
    assert kept.requests.tolist() == [0, 1]
