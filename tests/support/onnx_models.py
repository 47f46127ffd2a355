"""Makes tiny ONNX pose models that really look: all joints lie on the brightest spot of a crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

JOINTS = 17


@dataclass(frozen=True)
class Shape:
    """The picture that a model reads."""

    width: int = 48
    height: int = 64
    nchw: bool = True
    batch: int | str = "n"
    joints: int = JOINTS
    dtype: int = TensorProto.FLOAT

    @property
    def axes(self) -> list[int | str]:
        """Of the input."""
        size: list[int | str] = [self.height, self.width]
        return [self.batch, 3, *size] if self.nchw else [self.batch, *size, 3]


@dataclass
class Builder:
    """Collects the nodes of a model whose input is called `picture`."""

    shape: Shape
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Bring every picture to (N, 1, H, W): the mean over its colours."""
        read = self.emit("Cast", ["picture"], to=TensorProto.FLOAT)
        axis = 1 if self.shape.nchw else 3
        grey = self.emit("ReduceMean", [read], axes=[axis], keepdims=1)
        self.grey = grey if self.shape.nchw else self.emit("Transpose", [grey], perm=[0, 3, 1, 2])

    def emit(self, op: str, inputs: Sequence[str], output: str = "", **attributes: object) -> str:
        """Add a node; return the name of its output."""
        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))  # type: ignore[arg-type]
        return name

    def constant(self, values: NDArray[np.generic]) -> str:
        """Add a constant; return its name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def repeat(self, tensor: str, rank: int, output: str = "", axis: int = 1) -> str:
        """Repeat a tensor once for each joint."""
        times = np.ones(rank, np.int64)
        times[axis] = self.shape.joints
        return self.emit("Tile", [tensor, self.constant(times)], output)

    def finish(self, outputs: Sequence[str]) -> onnx.ModelProto:
        """End the model; the shapes of its outputs are left to inference."""
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info("picture", self.shape.dtype, self.shape.axes)],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        inferred = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(inferred)
        return inferred


def simcc(
    shape: Shape, bins: int = 2, names: tuple[str, str] = ("simcc_x", "simcc_y")
) -> onnx.ModelProto:
    """The profile of brightness along each axis, with so many bins a pixel."""
    b = Builder(shape)
    for name, axis in zip(names, (2, 3), strict=True):
        profile = b.emit("ReduceMax", [b.grey], axes=[axis], keepdims=0)
        scales = b.constant(np.array([1, 1, bins], np.float32))
        fine = b.emit("Resize", [profile, "", scales], mode="nearest")
        b.repeat(fine, 3, name)
    return b.finish(names)


def heatmap(shape: Shape, stride: int = 4, joints_last: bool = False) -> onnx.ModelProto:
    """The brightness itself, on a coarser grid."""
    b = Builder(shape)
    size = [stride, stride]
    pooled = b.emit("AveragePool", [b.grey], kernel_shape=size, strides=size)
    maps = b.repeat(pooled, 4, "" if joints_last else "heatmaps")
    if joints_last:
        b.emit("Transpose", [maps], "heatmaps", perm=[0, 2, 3, 1])
    return b.finish(["heatmaps"])


def keypoints(shape: Shape, form: str = "xy-px", four_axes: bool = False) -> onnx.ModelProto:
    """The middle of the brightness as coordinates, and a confidence of 0.9."""
    b = Builder(shape)
    total = b.emit("ReduceSum", [b.grey, b.constant(np.array([2, 3]))], keepdims=0)
    order, unit = form.split("-")
    columns = [_middle(b, total, axis, unit == "unit") for axis in (order == "yx", order == "xy")]
    sure = b.emit("Mul", [total, b.constant(np.zeros(1, np.float32))])
    columns.append(b.emit("Add", [sure, b.constant(np.array([0.9], np.float32))]))
    row = b.emit("Concat", columns, axis=1)
    axes = np.array([1, 2] if four_axes else [1])
    b.repeat(
        b.emit("Unsqueeze", [row, b.constant(axes)]), 4 if four_axes else 3, "out", axis=len(axes)
    )
    return b.finish(["out"])


def _middle(b: Builder, total: str, vertical: bool, unit: bool) -> str:
    """The mean place of the brightness along an axis: (N, 1)."""
    count = b.shape.height if vertical else b.shape.width
    places = np.arange(count, dtype=np.float32) + (0.5 if unit else 0.0)
    weights = (places / count if unit else places).reshape(
        (1, 1, -1, 1) if vertical else (1, 1, 1, -1)
    )
    weighted = b.emit("Mul", [b.grey, b.constant(weights.astype(np.float32))])
    moment = b.emit("ReduceSum", [weighted, b.constant(np.array([2, 3]))], keepdims=0)
    return b.emit("Div", [moment, total])


def single_output(shape: Shape, axes: Sequence[int]) -> onnx.ModelProto:
    """A model with one output of zeros, of these axes after the first."""
    b = Builder(shape)
    total = b.emit("ReduceMax", [b.grey], axes=[1, 2, 3], keepdims=0)
    nothing = b.emit("Mul", [total, b.constant(np.zeros(1, np.float32))])
    spread = b.emit("Unsqueeze", [nothing, b.constant(np.arange(1, len(axes) + 1))])
    b.emit("Tile", [spread, b.constant(np.array([1, *axes]))], "output0")
    return b.finish(["output0"])
