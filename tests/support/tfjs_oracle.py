"""Executes a TensorFlow.js graph in NumPy, NHWC, one operation at a time: slow, and independent.

It shares the reader of the files with the converter and nothing else; paddings are worked out from
the actual sizes, as TensorFlow does, and resizing is done by the coordinates of pixel centres.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triton_models.weights.tfjs import Cut, Graph, Node

Array = NDArray[np.float64]


def execute(graph: Graph, cut: Cut, image: NDArray[np.float32]) -> dict[str, Array]:
    """Run the part of a graph that `cut` names on an image (N, H, W, 3)."""
    values: dict[str, Any] = {
        name: weights.astype(np.float64) for name, weights in graph.weights.items()
    }
    values[cut.image] = image.astype(np.float64)
    for node in graph.between(cut.image, tuple(cut.heads.values())):
        values[node.name] = _run(node, values)
    return {head: values[name] for head, name in cut.heads.items()}


def _run(node: Node, values: Mapping[str, Any]) -> Array:
    inputs = [values[name] for name in node.data_inputs]
    result: Array = OPERATIONS[node.op](node, inputs)
    return result


def _fused(node: Node, result: Array, bias: list[Array]) -> Array:
    for fused in tuple_of(node, "fused_ops"):
        result = result + bias[0] if fused == "BiasAdd" else ACTIVATIONS[fused](result)
    return result


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Relu": lambda x: np.maximum(x, 0.0),
    "Relu6": lambda x: np.clip(x, 0.0, 6.0),
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
}
OPERATIONS: dict[str, Callable[[Node, list[Array]], Array]] = {
    "_FusedConv2D": lambda node, x: _fused(node, _convolve(node, x[0], x[1]), x[2:]),
    "FusedDepthwiseConv2dNative": lambda node, x: _fused(node, _depthwise(node, *x[:2]), x[2:]),
    "DepthwiseConv2dNative": lambda node, x: _fused(node, _depthwise(node, *x[:2]), x[2:]),
    "AddV2": lambda _, x: x[0] + x[1],
    "BiasAdd": lambda _, x: x[0] + x[1],
    "Sub": lambda _, x: x[0] - x[1],
    "Mul": lambda _, x: x[0] * x[1],
    # Every resize of these models doubles; a constant size is for the nominal image only.
    "ResizeBilinear": lambda _, x: _double(_double(x[0], 1), 2),
    "Relu": lambda _, x: ACTIVATIONS["Relu"](x[0]),
    "Relu6": lambda _, x: ACTIVATIONS["Relu6"](x[0]),
    "Sigmoid": lambda _, x: ACTIVATIONS["Sigmoid"](x[0]),
}


def tuple_of(node: Node, attribute: str) -> tuple[Any, ...]:
    """An attribute that is a list, empty where it is not there."""
    values = node.attributes.get(attribute, ())
    assert isinstance(values, tuple)
    return values


def _windows(node: Node, image: Array, kernel: Array) -> Array:
    """The patches under the kernel: (N, H', W', C, kh, kw)."""
    strides = tuple_of(node, "strides")[1:3]
    padding = [(0, 0)] * 4
    for axis, (size, k, s) in enumerate(
        zip(image.shape[1:3], kernel.shape[:2], strides, strict=True)
    ):
        if node.attributes["padding"] == "SAME":
            total = max((-(-size // s) - 1) * s + k - size, 0)
            padding[1 + axis] = (total // 2, total - total // 2)
    padded = np.pad(image, padding)
    windows: Array = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))
    return windows[:, :: strides[0], :: strides[1]]


def _convolve(node: Node, image: Array, kernel: Array) -> Array:
    windows = _windows(node, image, kernel)
    result: Array = np.einsum("nyxcij,ijco->nyxo", windows, kernel, optimize=True)
    return result


def _depthwise(node: Node, image: Array, kernel: Array) -> Array:
    windows = _windows(node, image, kernel)
    result: Array = np.einsum("nyxcij,ijcm->nyxcm", windows, kernel, optimize=True)
    return result.reshape(*result.shape[:3], -1)


def _double(image: Array, axis: int) -> Array:
    """Twice the size along an axis; new pixel i looks at (i + 0.5) / 2 - 0.5."""
    size = image.shape[axis]
    at = (np.arange(2 * size) + 0.5) / 2.0 - 0.5
    low = np.floor(at).astype(int)
    share = (at - low).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
    before, after = (np.take(image, np.clip(i, 0, size - 1), axis) for i in (low, low + 1))
    result: Array = before * (1.0 - share) + after * share
    return result
