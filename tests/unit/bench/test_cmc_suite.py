"""suite=cmc without the tracker: cameras out of matrices, boxes to points, the area, the scorer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.arrays import Floats, Ints, Keypoints
from bench.cmc_data import FPS, NS, SIZE, Sequence, boxes_to_points, decompose, load
from bench.suites.cmc import centroid, counts, evaluate
from tests.support.data import shared_data
from tipoff.errors import NotFoundError

UP_M = np.array([0.0, 0.0, 0.8])


@pytest.fixture(scope="module")
def sequence() -> Sequence:
    return load(shared_data(), "CMC1")


@dataclass(frozen=True)
class Seen:
    """A snapshot."""

    ids: Ints
    joints_m: NDArray[np.float64]
    covariance_m2: NDArray[np.float64]
    views: NDArray[np.int32]


class Oracle:
    """Gives the true centroids; somebody outside the area; person 1 is renamed half-way."""

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.fed: list[tuple[int, int]] = []

    def observe(self, camera: int, capture_time_ns: int, keypoints: Keypoints) -> bool:
        assert keypoints.shape[1:] == (3, 3)
        self.fed.append((camera, capture_time_ns))
        return True

    def snapshot(self, time_ns: int) -> Seen:
        number = round(time_ns * FPS / NS)
        people = self.sequence.truth[number]
        places = [*people.values(), np.array([1.0, 1.0, 0.8])]
        ids = [i + (100 if i == 1 and number > 130 else 0) for i in people] + [99]
        joints = np.array([[p + UP_M, p, p - UP_M] for p in places])
        joints[0, 2] = np.nan
        joints[0, 0] = joints[0, 1]
        covariance = np.tile(np.eye(3), (*joints.shape[:2], 1, 1))
        return Seen(
            np.array(ids, np.int64), joints, covariance, np.zeros(joints.shape[:2], np.int32)
        )


def project(matrix: Floats, points: Floats) -> Floats:
    image = points @ matrix[:, :3].T + matrix[:, 3]
    return np.asarray(image[:, :2] / image[:, 2:])


def test_a_matrix_is_its_camera_again(sequence: Sequence) -> None:
    for matrix in sequence.P:
        for scale in (1.0, -2.0):
            K, R, t = decompose(scale * matrix)
            np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
            assert np.linalg.det(R) == pytest.approx(1.0)
            assert (np.diag(K) > 0).all()
            again = K @ np.column_stack([R, t])
            np.testing.assert_allclose(again / again[2, 3], matrix / matrix[2, 3], atol=1e-6)


def test_the_rig_sees_people_where_the_matrices_do(sequence: Sequence) -> None:
    people = np.array(list(sequence.truth[100].values()))
    seen = np.asarray(sequence.rig().project(people))
    for camera, matrix in enumerate(sequence.P):
        np.testing.assert_allclose(seen[:, camera], project(matrix, people), atol=1e-4)


def test_an_upright_persons_box_becomes_head_and_feet(sequence: Sequence) -> None:
    for matrix in sequence.P:
        for place in ([3.0, 1.0], [4.5, 2.5], [5.5, 0.5]):
            body = np.array([[*place, 1.7], [*place, 0.85], [*place, 0.0]])
            image = project(matrix, body)
            middle = (image[0] + image[2]) / 2
            if image[2, 1] > SIZE[1] - 4:
                continue
            width = 2 * abs(image[0, 0] - image[2, 0]) + 60
            box = [middle[0] - width / 2, image[0, 1], width, image[2, 1] - image[0, 1]]
            points = boxes_to_points(np.array([box]), matrix)[0]
            np.testing.assert_allclose(points[[0, 2], :2], image[[0, 2]], atol=6.0)
            assert (points[:, 2] > 0).all()


def test_what_the_edge_of_the_image_cut_off_is_missing(sequence: Sequence) -> None:
    boxes = np.array([[900.0, 500, 100, 524], [500.0, 0, 100, 400], [700.0, 300, 100, 400]])
    confidence = boxes_to_points(boxes, sequence.P[0])[..., 2]
    assert (confidence[0] > 0).tolist() == [True, False, False]
    assert (confidence[1] > 0).tolist() == [False, False, True]
    assert (confidence[2] > 0).all()
    assert boxes_to_points(np.zeros((0, 4)), sequence.P[0]).shape == (0, 3, 3)


def test_feet_behind_a_nearer_box_are_missing(sequence: Sequence) -> None:
    behind, nearer, beside = [900.0, 300, 100, 200], [880.0, 350, 140, 400], [1040.0, 300, 100, 200]
    alike = [1045.0, 302, 100, 201]
    boxes = np.array([behind, nearer, beside, alike])
    confidence = boxes_to_points(boxes, sequence.P[0])[..., 2]
    assert (confidence[0] > 0).tolist() == [True, False, False]
    assert (confidence[1:] > 0).all()


def test_the_truth_scores_one_but_for_its_new_name(sequence: Sequence) -> None:
    oracle = Oracle(sequence)
    found = evaluate(lambda _: oracle, sequence)
    assert (found.switches, found.misses, found.false) == (1, 0, 0)
    assert found.mota == pytest.approx(1 - 1 / 656)
    assert found.idf1 < 1.0
    assert found.distance_mm == pytest.approx(0.0, abs=1e-6)
    assert len(oracle.fed) == 4 * 261
    assert np.diff(sorted({t for _, t in oracle.fed})).tolist() == [250_000_000] * 260


def test_people_outside_the_area_count_only_where_everybody_does(sequence: Sequence) -> None:
    found = evaluate(lambda _: Oracle(sequence), sequence, frames=20, everywhere=True)
    assert found.false == 20
    assert counts(np.array([3.0, 1.0, 0.8]))
    assert not counts(np.array([np.nan, 1.0, 0.8]))
    assert np.isnan(centroid(np.full((3, 3), np.nan))).all()


def test_without_the_shared_data_the_error_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="TIPOFF_DATA"):
        load(tmp_path, "CMC1")
