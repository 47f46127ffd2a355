"""Graph models are read as written, and what does not fit is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.tfjs_files import graph_files, integers, node, text, texts
from triton_models.errors import ModelFormatError
from triton_models.weights import tfjs

WEIGHTS: dict[str, NDArray[Any]] = {
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "whole": np.array([7], np.int32),
}


def test_attributes_and_weights_come_back() -> None:
    attributes = {
        "padding": text("SAME"),
        "strides": integers(1, 2, 2, 1),
        "fused_ops": texts("BiasAdd", "Relu6"),
        "half_pixel_centers": {"b": True},
        "epsilon": {"f": 0.5},
        "N": {"i": "3"},
        "shape": {"shape": {"dim": [{"size": "1"}, {"size": "-1"}]}},
        "explicit_paddings": {"list": {}},
    }
    graph = tfjs.read(
        *graph_files([node("Op", "n", ["half:0", "^control"], **attributes)], WEIGHTS)
    )
    assert graph.nodes["n"].inputs == ("half",)
    assert graph.nodes["n"].attributes == {
        "padding": "SAME",
        "strides": (1, 2, 2, 1),
        "fused_ops": ("BiasAdd", "Relu6"),
        "half_pixel_centers": True,
        "epsilon": 0.5,
        "N": 3,
        "shape": (1, -1),
        "explicit_paddings": (),
    }
    assert graph.weights["half"].dtype == np.float16
    for name, values in WEIGHTS.items():
        np.testing.assert_array_equal(graph.weights[name], values)


def test_a_cut_is_ordered_and_holds_nothing_else() -> None:
    nodes = [
        node("Sigmoid", "head", ["sum"]),
        node("AddV2", "sum", ["left", "right"]),
        node("Relu", "right", ["image"]),
        node("Relu", "left", ["image"]),
        node("Relu", "elsewhere", ["image"]),
    ]
    graph = tfjs.read(*graph_files(nodes, {}))
    names = [each.name for each in graph.between("image", ("head",))]
    assert sorted(names) == ["head", "left", "right", "sum"]
    assert names.index("left") < names.index("sum") < names.index("head")


def test_a_graph_in_a_circle_is_refused() -> None:
    nodes = [node("Relu", "a", ["b"]), node("Relu", "b", ["a"])]
    with pytest.raises(ModelFormatError, match="circle"):
        tfjs.read(*graph_files(nodes, {})).between("image", ("a",))


def test_a_missing_node_is_named() -> None:
    with pytest.raises(ModelFormatError, match="'nowhere'"):
        tfjs.read(*graph_files([], {})).between("image", ("nowhere",))


@pytest.mark.parametrize("change", [-1, 1])
def test_a_blob_of_another_length_is_refused(change: int) -> None:
    topology, blob = graph_files([], WEIGHTS)
    with pytest.raises(ModelFormatError, match="the weights"):
        tfjs.read(topology, blob[:change] if change < 0 else blob + b"x")


@pytest.mark.parametrize("topology", [b"", b"{}", b"[]", b"\xff", b'{"modelTopology": 3}'])
def test_something_else_is_no_graph_model(topology: bytes) -> None:
    with pytest.raises(ModelFormatError, match="not a TensorFlow"):
        tfjs.read(topology, b"")
