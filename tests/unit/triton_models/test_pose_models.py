"""A pose model by its manifest: what is cut, what is read, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from accel.letterbox import crop as place
from tests.support.heads import Person, draw
from tipoff.errors import InvalidInputError
from triton_models.errors import ModelError, ModelNotFoundError
from triton_models.pose_models import MAX_BATCH, PoseModel
from triton_models.pose_outputs import heatmap, keypoints, simcc
from triton_models.weights.manifest import Crop, Manifest, TensorSpec
from triton_models.weights.store import Store, digest

HEADS = ("heat", "center", "regress", "offset")
MANIFEST = Manifest(
    name="movenet-lightning",
    layout="movenet-single-heads",
    skeleton="coco17",
    sha256=digest(b""),
    licence="Apache-2.0",
    attribution="",
    source={},
    converter="1",
    inputs=(TensorSpec("image", "float32", ("n", "h", "w", 3)),),
    outputs=tuple(TensorSpec(name, "float32", ()) for name in HEADS),
    crop=Crop(192, 192),
)
MODEL = PoseModel(MANIFEST)
FRAME = np.zeros((100, 200, 3), np.uint8)
BOXES = np.array([[10, 20, 60, 90], [80, 0, 300, 50]], np.float32)
NOBODY = np.empty((0, 4), np.float32)


def _heads(count: int) -> dict[str, NDArray[np.float32]]:
    heads = draw([Person(24, 24, 30, 14)], 48, 48)
    return {name: np.stack([getattr(heads, name)] * count) for name in HEADS}


@pytest.mark.parametrize("name", ["lightning", "movenet-lightning"])
def test_the_published_models_have_short_names(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    store.install(MANIFEST, b"")
    assert PoseModel.load(store, name) == MODEL


def test_one_that_was_never_pulled_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="tipoff models pull movenet-thunder"):
        PoseModel.load(Store(tmp_path), "thunder")


def test_a_model_of_whole_frames_poses_no_crops() -> None:
    with pytest.raises(ModelError, match="reads whole frames"):
        PoseModel(replace(MANIFEST, layout="movenet-multipose-heads", crop=None))


def test_joints_come_back_to_the_source() -> None:
    joints = MODEL.decode(_heads(2), BOXES)
    drawn = Person(24, 24, 30, 14).joints_px
    for pose, box in zip(joints, BOXES, strict=True):
        expected = place(box, (192, 192)).to_source(drawn)
        np.testing.assert_allclose(pose[:, :2], expected, atol=1e-3)
    assert (joints[..., 2] > 0.9).all()


def test_nobody_is_posed_without_running_the_network() -> None:
    def run(_batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        raise AssertionError("nothing to run")

    assert MODEL.poses(run, FRAME, NOBODY).shape == (0, 17, 3)
    assert MODEL.prepare(FRAME, NOBODY).shape == (0, 192, 192, 3)
    assert MODEL.decode({name: head[:0] for name, head in _heads(1).items()}, NOBODY).shape == (
        0,
        17,
        3,
    )


@pytest.mark.parametrize(("axis", "sizes"), [("n", [MAX_BATCH, 4]), (3, [3] * 7), (1, [1] * 20)])
def test_batches_are_of_a_size_that_the_network_takes(axis: int | str, sizes: list[int]) -> None:
    model = PoseModel(
        replace(MANIFEST, inputs=(TensorSpec("image", "float32", (axis, 192, 192, 3)),))
    )
    seen = []

    def run(batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        seen.append(len(batch))
        return _heads(len(batch))

    boxes = np.repeat(BOXES, 10, axis=0)
    poses = model.poses(run, FRAME, boxes)
    assert seen == sizes
    np.testing.assert_array_equal(poses, model.decode(_heads(20), boxes))


@pytest.mark.parametrize(
    "boxes",
    [
        np.array([[0, 0, np.nan, 5]], np.float32),
        np.array([[5, 5, 5, 9]], np.float32),
        np.array([[0, 0, 1e9, 9]], np.float32),
        np.zeros(4, np.float32),
        np.zeros((2, 5), np.float32),
    ],
)
def test_impossible_boxes_are_refused(boxes: NDArray[np.float32]) -> None:
    with pytest.raises(InvalidInputError, match="box"):
        MODEL.prepare(FRAME, boxes)


def test_numbers_that_are_not_finite_are_missing_joints() -> None:
    crop = Crop(8, 8, joints="xy-px")
    odd = np.full((1, 17, 3), 0.5, np.float32)
    odd[0, :4] = np.array([[np.nan, 1, 1], [1, np.inf, 1], [1, 1, np.nan], [1, 1, -3]])
    joints = keypoints({"keypoints": odd}, crop)
    assert np.isnan(joints[0, :4, :2]).all()
    assert (joints[0, :4, 2] == 0).all()
    assert np.isfinite(joints[0, 4:]).all()
    nothing = np.full((1, 17, 8), np.nan, np.float32)
    assert np.isnan(simcc({"x": nothing, "y": nothing}, crop)[..., :2]).all()
    assert np.isnan(heatmap({"heatmap": nothing[..., None]}, crop)[..., :2]).all()


def test_a_heatmap_leans_towards_the_larger_neighbour() -> None:
    maps = np.zeros((1, 17, 8, 8), np.float32)
    maps[0, :, 3, 4] = 0.8
    maps[0, :, 3, 5] = 0.4
    maps[0, :, 2, 4] = 0.4
    joints = heatmap({"heatmap": maps}, Crop(32, 32))
    np.testing.assert_allclose(joints[0, 0], (4.25 * 4, 2.75 * 4, 0.8))
    corner = np.zeros((1, 17, 8, 8), np.float32)
    corner[..., 0, 7] = 1
    np.testing.assert_allclose(heatmap({"heatmap": corner}, Crop(32, 32))[0, 0], (28, 0, 1))
