"""suite=shelf without the tracker: the data as it lies, ghosts, identities, and the scorer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.arrays import Floats, Ints, Keypoints
from bench.shelf_data import Shelf, load, shared_folder
from bench.suites.shelf import FPS, NS, evaluate, views_that_hold
from tests.support.data import shared_data
from tipoff.errors import NotFoundError


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return load(shared_data())


@dataclass(frozen=True)
class Seen:
    """A snapshot."""

    ids: Ints
    joints_m: NDArray[np.float64]
    covariance_m2: NDArray[np.float64]
    views: NDArray[np.int32]


COCO_OF_14 = [16, 14, 12, 11, 13, 15, 10, 8, 6, 5, 7, 9]
"""Where the scorer's first twelve joints lie in COCO's order."""


def as_coco(actor: Floats) -> Floats:
    """Seventeen joints that the scorer reads as the actor's; the head only nearly."""
    body = np.empty((17, 3))
    body[COCO_OF_14] = actor[:12]
    body[:5] = 2 * actor[12] - (actor[8] + actor[9]) / 2
    return body


class Oracle:
    """Gives the actors' true joints; actor 1 is renamed half-way."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.fed: list[tuple[int, int]] = []

    def observe(self, camera: int, capture_time_ns: int, keypoints: Keypoints) -> bool:
        assert keypoints.dtype == np.float32
        self.fed.append((camera, capture_time_ns))
        return True

    def snapshot(self, time_ns: int) -> Seen:
        number = round(time_ns * FPS / NS)
        actors = self.shelf.truth[number]
        joints = np.array([as_coco(a) for a in actors.values()]).reshape(-1, 17, 3)
        ids = [int(k) + (100 if k == "0" and number >= 450 else 0) for k in actors]
        shape = joints.shape[:2]
        covariance = np.tile(np.eye(3), (*shape, 1, 1))
        return Seen(np.array(ids, np.int64), joints, covariance, np.zeros(shape, np.int32))


def test_the_sequence_is_read_as_it_lies(shelf: Shelf) -> None:
    assert sorted(shelf.frames) == list(range(300, 601))
    assert shelf.K.shape == (5, 3, 3)
    assert shelf.size.tolist() == [[1032, 776]] * 5
    products = shelf.R @ shelf.R.transpose(0, 2, 1)
    np.testing.assert_allclose(products, np.tile(np.eye(3), (5, 1, 1)), atol=1e-12)
    detections = [d for views in shelf.frames.values() for d in views]
    assert all(d.shape[1:] == (17, 3) for d in detections)


def test_the_truth_scores_and_switches_where_it_is_renamed(shelf: Shelf) -> None:
    oracle = Oracle(shelf)
    found = evaluate(lambda _: oracle, shelf)
    assert found.pcp > 97.0
    assert found.parts["Lower legs"]["actor 1"] == pytest.approx(100.0)
    assert found.switches == 1
    assert sorted(found.ids_by_actor["actor 1"]) == [0, 100]
    assert len(oracle.fed) == 5 * 301
    assert np.diff(sorted({t for _, t in oracle.fed})).tolist() == [40_000_000] * 300


def test_a_person_is_held_up_by_the_views_that_detect_them_there(shelf: Shelf) -> None:
    rig = shelf.rig()
    body = np.zeros((1, 17, 3))
    body[0, :, :2] = [0.3, -0.3]
    body[0, :, 2] = np.linspace(0.1, 1.7, 17)
    seen = []
    for camera in range(5):
        uv = np.asarray(rig.project(body[0]))[:, camera]
        seen.append(np.column_stack([uv, np.full(17, 0.9)]).astype(np.float32)[None])
    nothing = np.zeros((0, 17, 3), np.float32)
    assert views_that_hold(rig, body, seen).tolist() == [5]
    assert views_that_hold(rig, body, [seen[0], *[nothing] * 4]).tolist() == [1]
    height = float(np.ptp(seen[0][0, :, 1]))
    near, far = seen[0].copy(), seen[0].copy()
    near[..., 0] += 0.29 * height
    far[..., 0] += 0.31 * height
    assert views_that_hold(rig, body, [near, *[nothing] * 4]).tolist() == [1]
    assert views_that_hold(rig, body, [far, *[nothing] * 4]).tolist() == [0]


def test_without_the_shared_data_the_error_says_where_to_put_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with pytest.raises(NotFoundError, match="TIPOFF_DATA"):
        shared_folder(str(tmp_path_factory.mktemp("empty")))
