"""Each translated operation computes what TensorFlow's does, and any other is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from tests.support import tfjs_oracle
from tests.support.tfjs_files import graph_files, integers, node, text, texts
from triton_models.errors import ModelFormatError
from triton_models.weights import tfjs
from triton_models.weights.convert import convert

CHANNELS = 3
RNG = np.random.default_rng(5)

ONE = {"strides": integers(1, 1, 1, 1)}
TWO = {"strides": integers(1, 2, 2, 1)}
SAME = {"padding": text("SAME"), "dilations": integers(1, 1, 1, 1), "data_format": text("NHWC")}
VALID = {**SAME, "padding": text("VALID")}
RESIZE = {"half_pixel_centers": {"b": True}, "align_corners": {"b": False}}


def _weights(*shape: int) -> NDArray[np.float16]:
    return RNG.normal(0, 1, shape).astype(np.float16)


def _fused(*names: str) -> dict[str, Any]:
    return {"fused_ops": texts(*names)}


KERNEL = {"kernel": _weights(3, 3, CHANNELS, 5), "bias": _weights(5)}
DEPTH = {"kernel": _weights(3, 3, CHANNELS, 1), "bias": _weights(CHANNELS)}
CONV = ["image", "kernel", "bias"]

CASES: dict[str, tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]] = {
    "conv same": ([node("_FusedConv2D", "y", CONV, **SAME, **ONE, **_fused("BiasAdd"))], KERNEL),
    "conv same, stride 2, relu6": (
        [node("_FusedConv2D", "y", CONV, **SAME, **TWO, **_fused("BiasAdd", "Relu6"))],
        KERNEL,
    ),
    "conv 1x1 valid, relu": (
        [node("_FusedConv2D", "y", CONV, **VALID, **ONE, **_fused("BiasAdd", "Relu"))],
        {"kernel": _weights(1, 1, CHANNELS, 4), "bias": _weights(4)},
    ),
    "conv 5x5 same, stride 2": (
        [node("_FusedConv2D", "y", CONV, **SAME, **TWO, **_fused("BiasAdd"))],
        {"kernel": _weights(5, 5, CHANNELS, 2), "bias": _weights(2)},
    ),
    "depthwise same, stride 2, relu6": (
        [
            node(
                "FusedDepthwiseConv2dNative",
                "y",
                CONV,
                **SAME,
                **TWO,
                **_fused("BiasAdd", "Relu6"),
            )
        ],
        DEPTH,
    ),
    "depthwise without bias": (
        [node("DepthwiseConv2dNative", "y", CONV[:2], **SAME, **ONE)],
        {"kernel": DEPTH["kernel"]},
    ),
    "depthwise with a multiplier": (
        [node("DepthwiseConv2dNative", "y", CONV[:2], **SAME, **ONE)],
        {"kernel": _weights(3, 3, CHANNELS, 2)},
    ),
    "add of tensors": (
        [node("Relu", "r", ["image"]), node("AddV2", "y", ["r", "image"])],
        {},
    ),
    "bias add": ([node("BiasAdd", "y", ["image", "c"])], {"c": _weights(CHANNELS)}),
    "mul by a constant": ([node("Mul", "y", ["image", "c"])], {"c": _weights(1, 1, 1, CHANNELS)}),
    "sub of a scalar": ([node("Sub", "y", ["image", "c"])], {"c": np.array(3, np.float16)}),
    "sub of zero": (
        [node("Sub", "z", ["image", "c"]), node("Relu", "y", ["z"])],
        {"c": np.zeros((1, 1, 1, CHANNELS), np.float16)},
    ),
    "relu": ([node("Relu", "y", ["image"])], {}),
    "relu6": ([node("Relu6", "y", ["image"])], {}),
    "sigmoid": ([node("Sigmoid", "y", ["image"])], {}),
    "resize by a shape": (
        [
            node("Shape", "shape", ["image"]),
            node("Mul", "size", ["shape", "two"]),
            node("AvgPool", "never", ["image"]),
            node("_FusedConv2D", "half", CONV, **SAME, **TWO, **_fused("BiasAdd")),
            node("ResizeBilinear", "y", ["half", "size"], **RESIZE),
        ],
        {**KERNEL, "two": np.array([2, 2], np.int32)},
    ),
    "resize to a constant": (
        [
            node("_FusedConv2D", "half", CONV, **SAME, **TWO, **_fused("BiasAdd")),
            node("ResizeBilinear", "y", ["half", "size"], **RESIZE),
        ],
        {**KERNEL, "size": np.array([64, 64], np.int32)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_operation_agrees_with_the_oracle(case: str) -> None:
    nodes, weights = CASES[case]
    graph = tfjs.read(*graph_files(nodes, weights))
    cut = tfjs.Cut("image", {"out": "y"}, nominal_px=64)
    image = RNG.normal(0, 4, (2, 32, 64, CHANNELS)).astype(np.float32)
    session = onnxruntime.InferenceSession(convert(graph, cut, "case").SerializeToString())
    (found,) = session.run(["out"], {"image": image})
    expected = tfjs_oracle.execute(graph, cut, image)["out"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "weights", "message"),
    [
        ([node("MaxPool", "y", ["image"])], {}, "operation MaxPool"),
        (
            [node("_FusedConv2D", "y", CONV, **SAME, **ONE, **_fused("BiasAdd", "Elu"))],
            KERNEL,
            "Elu",
        ),
        (
            [node("_FusedConv2D", "y", CONV, **{**SAME, "padding": text("EXPLICIT")}, **ONE)],
            KERNEL,
            "EXPLICIT",
        ),
        (
            [
                node(
                    "DepthwiseConv2dNative",
                    "y",
                    CONV[:2],
                    **{**SAME, "dilations": integers(1, 2, 2, 1)},
                    **ONE,
                )
            ],
            DEPTH,
            "dilations",
        ),
        (
            [node("_FusedConv2D", "y", CONV, **SAME, strides=integers(1, 2, 1, 1))],
            KERNEL,
            "strides",
        ),
        (
            [
                node(
                    "ResizeBilinear",
                    "y",
                    ["image", "size"],
                    half_pixel_centers={"b": False},
                    align_corners={"b": False},
                )
            ],
            {"size": np.array([128, 128], np.int32)},
            "half_pixel_centers",
        ),
        (
            [node("ResizeBilinear", "y", ["image", "size"], **RESIZE)],
            {"size": np.array([100, 100], np.int32)},
            "resizes by",
        ),
        ([node("Placeholder", "y", [])], {}, "operation Placeholder"),
    ],
)
def test_what_has_no_translation_is_named(
    nodes: list[dict[str, Any]], weights: dict[str, NDArray[Any]], message: str
) -> None:
    graph = tfjs.read(*graph_files(nodes, weights))
    with pytest.raises(ModelFormatError, match=message):
        convert(graph, tfjs.Cut("image", {"out": "y"}, nominal_px=64), "case")
