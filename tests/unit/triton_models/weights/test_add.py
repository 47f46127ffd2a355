"""A user's model is taken in, and runs, if it can be fed and read; if not, it is told why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.support import onnx_models
from tests.support.onnx_models import Shape
from tests.support.weights import pulled_store
from triton_models.errors import ModelError, ModelFormatError
from triton_models.pose_models import PoseModel
from triton_models.weights import probe
from triton_models.weights.add import Added, AddOptions, add
from triton_models.weights.store import Store

COCO = AddOptions(skeleton="coco17")
SPOTS = np.array([[60.0, 50.0], [201.0, 120.0], [90.5, 160.0]])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def _file(tmp_path: Path, model: onnx.ModelProto, name: str = "Mine v2.onnx") -> Path:
    path = tmp_path / name
    onnx.save(model, path)
    return path


def _frame_with_spots() -> NDArray[np.uint8]:
    """Bright spots on black; the crops around them hold one each."""
    rows, columns = np.mgrid[:200, :280]
    squares = [(columns - u) ** 2 + (rows - v) ** 2 for u, v in SPOTS]
    light = sum(255 * np.exp(-square / 18) for square in squares)
    return np.repeat(np.rint(light).astype(np.uint8)[..., None], 3, axis=2)


def _poses(store: Store, name: str) -> NDArray[np.float32]:
    model = PoseModel.load(store, name)
    session = onnxruntime.InferenceSession(store.path(name))
    names = [output.name for output in session.get_outputs()]

    def run(batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        values = session.run(names, {session.get_inputs()[0].name: batch})
        return dict(zip(names, values, strict=True))

    corners = [SPOTS - np.array([25, 30]), SPOTS + np.array([15, 20])]
    boxes = np.concatenate(corners, axis=1).astype(np.float32)
    return model.poses(run, _frame_with_spots(), boxes)


WORKING: dict[str, tuple[onnx.ModelProto, dict[str, Any]]] = {
    "simcc": (onnx_models.simcc(Shape()), {}),
    "simcc, one bin a pixel, y first": (
        onnx_models.simcc(Shape(48, 48), bins=1, names=("x", "y")),
        {},
    ),
    "simcc, fixed batch": (onnx_models.simcc(Shape(batch=2)), {}),
    "simcc, NHWC": (onnx_models.simcc(Shape(nchw=False)), {"normalise": "signed"}),
    "heatmap": (onnx_models.heatmap(Shape(96, 128)), {}),
    "heatmap, joints last": (onnx_models.heatmap(Shape(96, 128), joints_last=True), {}),
    "heatmap, half precision": (
        onnx_models.heatmap(Shape(96, 128, dtype=TensorProto.FLOAT16)),
        {"normalise": "unit"},
    ),
    "keypoints in pixels": (onnx_models.keypoints(Shape()), {}),
    "keypoints as parts": (onnx_models.keypoints(Shape(), "xy-unit"), {}),
    "keypoints as MoveNet exports them": (
        onnx_models.keypoints(
            Shape(64, 64, nchw=False, batch=1, dtype=TensorProto.INT32), "yx-unit", four_axes=True
        ),
        {},
    ),
    "keypoints, y first": (onnx_models.keypoints(Shape(), "yx-px"), {"joints": "yx-px"}),
}


@pytest.mark.parametrize("case", WORKING)
def test_an_added_model_finds_what_it_looks_for(tmp_path: Path, store: Store, case: str) -> None:
    model, said = WORKING[case]
    added = add(store, _file(tmp_path, model), replace(COCO, **said))
    assert added.probed
    assert added.manifest == store.verify("mine-v2")
    poses = _poses(store, "mine-v2")
    assert poses.shape == (3, 17, 3)
    assert (poses[..., 2] > 0.1).all()
    spots = np.broadcast_to(SPOTS[:, None], (3, 17, 2))
    # A heatmap's cell is some source pixels wide.
    np.testing.assert_allclose(poses[..., :2], spots, atol=3.0 if "heatmap" in case else 1.3)


def test_movenets_own_heads_can_be_added(tmp_path: Path, store: Store) -> None:
    """The same bytes under another name give the same poses as the published model."""
    published = pulled_store()
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(published.path("movenet-thunder").read_bytes())
    added = add(store, copy, COCO)
    assert added.manifest.layout == "movenet-single-heads"
    assert added.manifest.crop == published.manifest("movenet-thunder").crop
    assert added.assumed == ("crops are `--input-size 256x256`",)
    np.testing.assert_array_equal(_poses(store, "copy"), _poses(published, "movenet-thunder"))


def test_what_was_assumed_is_said(tmp_path: Path, store: Store) -> None:
    path = _file(tmp_path, onnx_models.simcc(Shape()))
    assert add(store, path, COCO).assumed == ("pixels are normalised as `--normalise imagenet`",)
    said = replace(COCO, normalise="unit", replace=True)
    assert add(store, path, said).assumed == ()


def test_pixels_are_given_as_the_user_said(tmp_path: Path, store: Store) -> None:
    path = _file(tmp_path, onnx_models.simcc(Shape(8, 8)))
    said = replace(
        COCO, channels="BGR", scale=0.5, mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0), expand=1.0
    )
    add(store, path, said)
    frame = np.broadcast_to(np.array([10, 20, 30], np.uint8), (8, 8, 3))
    batch = PoseModel.load(store, "mine-v2").prepare(frame, np.array([[0, 0, 8, 8]], np.float32))
    assert batch.shape == (1, 3, 8, 8)
    expected = (np.array([30, 20, 10]) * 0.5 - (1, 2, 3)) / (2, 4, 8)
    np.testing.assert_allclose(batch[0, :, 4, 4], expected, rtol=1e-5)


def test_without_onnxruntime_the_shapes_decide(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "available", lambda: False)
    added = add(store, _file(tmp_path, onnx_models.simcc(Shape())), COCO)
    assert not added.probed
    assert _poses(store, "mine-v2").shape == (3, 17, 3)


def test_a_batch_that_is_not_as_free_as_it_says_is_found(tmp_path: Path, store: Store) -> None:
    b = onnx_models.Builder(Shape())
    for name, axis, count in (("x", 2, 48), ("y", 3, 64)):
        profile = b.emit("ReduceMax", [b.grey], axes=[axis], keepdims=0)
        one = b.emit("Reshape", [profile, b.constant(np.array([1, 1, count]))])
        b.repeat(one, 3, name)
    added = add(store, _file(tmp_path, b.finish(["x", "y"])), COCO)
    assert added.manifest.inputs[0].shape[0] == 1
    assert _poses(store, "mine-v2").shape == (3, 17, 3)


def _two_inputs() -> onnx.ModelProto:
    model = onnx_models.simcc(Shape())
    model.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))
    return model


def _not_finite() -> onnx.ModelProto:
    b = onnx_models.Builder(Shape())
    profile = b.emit("ReduceMax", [b.grey], axes=[1, 2], keepdims=1)
    zero = b.emit("Sub", [profile, profile])
    spread = b.emit("Squeeze", [b.emit("Div", [profile, zero]), b.constant(np.array([1]))])
    b.repeat(spread, 3, "x")
    b.repeat(spread, 3, "y")
    return b.finish(["x", "y"])


def _external(path: Path) -> None:
    onnx.save(
        onnx_models.keypoints(Shape()),
        path,
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )


REFUSED: dict[str, tuple[onnx.ModelProto, dict[str, Any], str]] = {
    "a YOLO pose head": (
        onnx_models.single_output(Shape(640, 640), (56, 8400)),
        {},
        r"output0 float32 \(n, 56, 8400\).*Accepted are:.*simcc: two outputs",
    ),
    "133 joints": (onnx_models.simcc(Shape(joints=133)), {}, r"\(n, 133, 96\)"),
    "another layout than was said": (
        onnx_models.simcc(Shape()),
        {"layout": "heatmap"},
        r"Accepted are:\s+heatmap: one output",
    ),
    "two inputs": (_two_inputs(), {}, "found 2 inputs"),
    "a grey picture": (
        onnx_models.single_output(Shape(3, 48, nchw=True), (17, 3)),
        {},
        "exactly one of its second and last axes",
    ),
    "a free size": (
        onnx_models.heatmap(Shape("w", "h")),  # type: ignore[arg-type]
        {},
        "--input-size WIDTHxHEIGHT",
    ),
    "another size than was said": (
        onnx_models.simcc(Shape()),
        {"input_size": (192, 256)},
        "48x64 px, not 192x256",
    ),
    "numbers that are not finite": (_not_finite(), {}, "not finite"),
    "a skeleton that nobody knows": (onnx_models.simcc(Shape()), {"skeleton": "h36m"}, "h36m"),
    "a name of ours": (onnx_models.simcc(Shape()), {"name": "thunder"}, "published model"),
    "a name that is none": (onnx_models.simcc(Shape()), {"name": "../x"}, "cannot name a model"),
    "std of 0": (onnx_models.simcc(Shape()), {"std": (1.0, 0.0, 1.0)}, "std not 0"),
    "an absurd expand": (onnx_models.simcc(Shape()), {"expand": 100.0}, "expand is 100"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_fed_or_read_is_refused(tmp_path: Path, store: Store, case: str) -> None:
    model, said, message = REFUSED[case]
    with pytest.raises(ModelFormatError, match=f"(?s){message}"):
        add(store, _file(tmp_path, model), replace(COCO, **said))
    assert store.names() == ()


def test_a_finder_of_people_is_refused_as_such(store: Store) -> None:
    path = pulled_store().path("movenet-multipose")
    with pytest.raises(ModelFormatError, match="finds people in whole frames"):
        add(store, path, replace(COCO, name="mine"))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x08", bytes(range(256)) * 9])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, store: Store, content: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match="is not an ONNX model"):
        add(store, path, COCO)


def test_a_file_that_is_not_there_is_named(tmp_path: Path, store: Store) -> None:
    with pytest.raises(ModelFormatError, match=r"absent\.onnx cannot be read: No such file"):
        add(store, tmp_path / "absent.onnx", COCO)


def test_weights_in_other_files_are_refused(tmp_path: Path, store: Store) -> None:
    _external(tmp_path / "x.onnx")
    with pytest.raises(ModelFormatError, match="save it as one file"):
        add(store, tmp_path / "x.onnx", COCO)


def test_a_name_that_is_taken_is_kept_unless_told(tmp_path: Path, store: Store) -> None:
    first = add(store, _file(tmp_path, onnx_models.simcc(Shape())), COCO)
    other = _file(tmp_path, onnx_models.keypoints(Shape()))
    with pytest.raises(ModelError, match="--replace"):
        add(store, other, COCO)
    assert store.verify("mine-v2") == first.manifest
    second: Added = add(store, other, replace(COCO, replace=True))
    assert store.verify("mine-v2") == second.manifest
    assert second.manifest.layout == "keypoints"
