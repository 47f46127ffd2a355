"""From a TensorFlow.js graph to ONNX, cut between the image and the heads.

MoveNet needs eleven TensorFlow operations; each has one function here, and any other is refused by
name. The graph computes in NCHW, the layout that runtimes are fast in; `image` and the heads are
NHWC at the boundary. Weights stay float16 as they were published and are cast when a session loads
them. The bytes depend on the graph alone: no clock, no host, fixed versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from triton_models.errors import ModelFormatError
from triton_models.weights.tfjs import Cut, Graph, Node, Weights

CONVERTER_VERSION = "1"
"""Rises whenever the same source would become other bytes."""

OPSET = 17
IR_VERSION = 8
"""Old enough for the onnxruntime of any Triton release from 2023 on."""

INPUT_MULTIPLE_PX = 32
"""Height and width of the image are multiples of this, so that every stride divides evenly."""

_TO_NCHW = (0, 3, 1, 2)
_TO_NHWC = (0, 2, 3, 1)


def convert(graph: Graph, cut: Cut, name: str) -> onnx.ModelProto:
    """Convert the part of `graph` between `cut.image` and `cut.heads`.

    Args:
        graph: the model as read from its files.
        cut: where it begins and ends.
        name: name of the ONNX graph.

    Returns:
        A checked model: `image` float32 (N, H, W, 3) in, the heads float32 NHWC out; N, H and W are
        free, H and W multiples of `INPUT_MULTIPLE_PX`.

    Raises:
        ModelFormatError: an operation or one of its options has no translation; it is named.
    """
    emitter = _Emitter(graph, cut)
    for node in graph.between(cut.image, tuple(cut.heads.values())):
        emitter.translate(node)
    outputs = [emitter.head(*head) for head in cut.heads.items()]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", "h", "w", 3])
    proto = helper.make_graph(
        emitter.nodes, name, [image], outputs, list(emitter.initializers.values())
    )
    model = helper.make_model(
        proto,
        producer_name="tipoff",
        producer_version=CONVERTER_VERSION,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    return model


@dataclass(slots=True)
class _Emitter:
    """Collects ONNX nodes while a graph is walked in order."""

    graph: Graph
    cut: Cut
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    strides: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.strides[self.cut.image] = 1
        self.channels[self.cut.image] = 3
        nchw = self.emit("Transpose", ["image"], "image_nchw", perm=_TO_NCHW)
        self.tensors[self.cut.image] = nchw

    def translate(self, node: Node) -> None:
        """Emit what `node` does."""
        if node.op not in _TRANSLATIONS:
            raise ModelFormatError(
                f"operation {node.op} (node {node.name!r}) has no translation to ONNX here; "
                f"known are {', '.join(sorted(_TRANSLATIONS))}",
                op=node.op,
                node=node.name,
            )
        first = node.inputs[0]
        self.strides[node.name] = self.strides.get(first, 1)
        self.channels[node.name] = self.channels.get(first, 0)
        self.tensors[node.name] = _TRANSLATIONS[node.op](self, node)

    def emit(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append one ONNX node and return the name of its only output."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: Weights) -> str:
        """An initializer as float32; values stored in half precision are cast when loaded."""
        if name in self.initializers:
            return name
        if values.dtype != np.float16:
            self.initializers[name] = numpy_helper.from_array(values.astype(np.float32), name)
            return name
        stored = f"{name}:half"
        if stored not in self.initializers:
            self.initializers[stored] = numpy_helper.from_array(
                np.ascontiguousarray(values), stored
            )
            self.emit("Cast", [stored], name, to=TensorProto.FLOAT)
        return name

    def operand(self, name: str) -> str:
        """An input of an elementwise operation: a tensor, or a constant brought to NCHW."""
        if name in self.tensors:
            return self.tensors[name]
        values = self.graph.weights[name]
        if values.ndim == 4:
            values = values.transpose(_TO_NCHW)
        elif values.ndim == 1:
            values = values.reshape(1, -1, 1, 1)
        elif values.ndim != 0:
            raise ModelFormatError(f"constant {name!r} has {values.ndim} axes, not 0, 1 or 4")
        return self.constant(name, values)

    def activate(self, tensor: str, kind: str, name: str) -> str:
        """Apply an activation by its TensorFlow name."""
        if kind == "Relu":
            return self.emit("Relu", [tensor], name)
        low = self.constant("relu6_min", np.array(0, np.float32))
        high = self.constant("relu6_max", np.array(6, np.float32))
        return self.emit("Clip", [tensor, low, high], name)

    def head(self, output: str, node: str) -> onnx.ValueInfoProto:
        """End the graph in an output, NHWC."""
        self.emit("Transpose", [self.tensors[node]], output, perm=_TO_NHWC)
        shape: list[str | int | None] = ["n", "h4", "w4", self.channels[node]]
        return helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)


def _fused_convolution(emitter: _Emitter, node: Node) -> str:
    kernel = emitter.graph.weights[node.inputs[1]]
    emitter.channels[node.name] = kernel.shape[3]
    return _convolve(emitter, node, kernel.transpose(3, 2, 0, 1), group=1)


def _depthwise_convolution(emitter: _Emitter, node: Node) -> str:
    kernel = emitter.graph.weights[node.inputs[1]]
    height, width, channels, multiplier = kernel.shape
    emitter.channels[node.name] = channels * multiplier
    kernel = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return _convolve(emitter, node, kernel, group=channels)


def _convolve(emitter: _Emitter, node: Node, kernel: Weights, group: int) -> str:
    """A convolution with the bias and activation that TensorFlow fused into it."""
    _require(node, "data_format", "NHWC")
    _require(node, "dilations", (1, 1, 1, 1))
    strides = _spatial(node, "strides")
    fused = _fused_activation(node)
    inputs = [emitter.tensors[node.inputs[0]], emitter.constant(node.inputs[1], kernel)]
    if len(node.inputs) > 2:
        inputs.append(emitter.constant(node.inputs[2], emitter.graph.weights[node.inputs[2]]))
    emitter.strides[node.name] *= strides[0]
    result = emitter.emit(
        "Conv",
        inputs,
        f"{node.name}:linear" if fused else node.name,
        kernel_shape=kernel.shape[2:],
        strides=strides,
        pads=_pads(node, kernel.shape[2:], strides),
        group=group,
    )
    return emitter.activate(result, fused, node.name) if fused else result


def _fused_activation(node: Node) -> str | None:
    """The activation fused into a convolution; a bias alone is none."""
    match node.attributes.get("fused_ops", ()):
        case () | ("BiasAdd",):
            return None
        case ("BiasAdd", ("Relu" | "Relu6") as activation):
            return str(activation)
        case other:
            raise ModelFormatError(
                f"{node.op} fused with {other} has no translation", node=node.name
            )


def _pads(node: Node, kernel: Sequence[int], strides: Sequence[int]) -> list[int]:
    """ONNX padding (begins, then ends) of TensorFlow's SAME or VALID.

    SAME pads max(k - s, 0) in all when s divides the size, as it does for images of the required
    multiple; the odd pixel goes to the end.
    """
    padding = node.attributes.get("padding")
    if padding == "VALID":
        return [0, 0, 0, 0]
    if padding != "SAME":
        raise ModelFormatError(f"padding {padding!r} of {node.name!r} has no translation")
    total = [max(k - s, 0) for k, s in zip(kernel, strides, strict=True)]
    begin = [t // 2 for t in total]
    return begin + [t - b for t, b in zip(total, begin, strict=True)]


def _resize(emitter: _Emitter, node: Node) -> str:
    _require(node, "half_pixel_centers", True)
    _require(node, "align_corners", False)
    factor = _resize_factor(emitter, node)
    emitter.strides[node.name] //= factor
    scales = emitter.constant(f"resize_by_{factor}", np.array([1, 1, factor, factor], np.float32))
    return emitter.emit(
        "Resize",
        [emitter.tensors[node.inputs[0]], "", scales],
        node.name,
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )


def _resize_factor(emitter: _Emitter, node: Node) -> int:
    """How much a resize enlarges: its size operand is a constant, or a shape times a constant."""
    size, stride = node.inputs[1], emitter.strides[node.inputs[0]]
    if size in emitter.graph.weights:
        factors = emitter.graph.weights[size].astype(np.float64) * stride / emitter.cut.nominal_px
    else:
        factors = _shape_factor(emitter.graph, size).astype(np.float64)
    factor = int(factors.flat[0])
    if factor < 2 or stride % factor or np.any(factors != factor):
        raise ModelFormatError(
            f"{node.name!r} resizes by {factors.tolist()}; only whole enlargements are translated"
        )
    return factor


def _shape_factor(graph: Graph, size: str) -> NDArray[np.generic]:
    product = graph.node(size)
    constants = [graph.weights[i] for i in product.inputs if i in graph.weights]
    if product.op != "Mul" or len(constants) != 1:
        raise ModelFormatError(f"the size {size!r} is not a shape times a constant")
    return constants[0]


def _subtract(emitter: _Emitter, node: Node) -> str:
    subtrahend = emitter.graph.weights.get(node.inputs[1])
    if subtrahend is not None and not subtrahend.any():
        return emitter.tensors[node.inputs[0]]
    return _elementwise("Sub")(emitter, node)


def _elementwise(op: str) -> Callable[[_Emitter, Node], str]:
    def translate(emitter: _Emitter, node: Node) -> str:
        return emitter.emit(op, [emitter.operand(name) for name in node.inputs], node.name)

    return translate


def _activation(emitter: _Emitter, node: Node) -> str:
    return emitter.activate(emitter.tensors[node.inputs[0]], node.op, node.name)


def _spatial(node: Node, attribute: str) -> tuple[int, int]:
    values = node.attributes.get(attribute)
    match values:
        case (1, int(down), int(across), 1) if down == across:
            return down, across
        case _:
            raise ModelFormatError(f"{attribute} {values} of {node.name!r} has no translation")


def _require(node: Node, attribute: str, value: object) -> None:
    if node.attributes.get(attribute, value) != value:
        raise ModelFormatError(
            f"{attribute} {node.attributes[attribute]} of {node.op} (node {node.name!r}) has no "
            f"translation; only {value} has"
        )


_TRANSLATIONS: Mapping[str, Callable[[_Emitter, Node], str]] = {
    "_FusedConv2D": _fused_convolution,
    "FusedDepthwiseConv2dNative": _depthwise_convolution,
    "DepthwiseConv2dNative": _depthwise_convolution,
    "AddV2": _elementwise("Add"),
    "BiasAdd": _elementwise("Add"),
    "Mul": _elementwise("Mul"),
    "Sub": _subtract,
    "Relu": _activation,
    "Relu6": _activation,
    "ResizeBilinear": _resize,
    "Sigmoid": _elementwise("Sigmoid"),
}
