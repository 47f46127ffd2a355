"""Reading TensorFlow.js graph models: a JSON topology and a blob of weights.

The topology is a TensorFlow GraphDef written as JSON (byte strings in base64, integers as
strings); the blob holds the weights one after the other, in the order of `weightsManifest`, here
as float16 or int32.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from triton_models.errors import ModelFormatError

Weights: TypeAlias = NDArray[np.generic]

# A resize also reads the size that it makes; that operand is a shape and carries no image.
_DATA_INPUTS = {"ResizeBilinear": 1}
_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int32": np.dtype("<i4"),
}


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph."""

    name: str
    """Unique in the graph; its result goes by the same name."""
    op: str
    """TensorFlow's name of the operation."""
    inputs: tuple[str, ...]
    """Names of the nodes (or weights) that it reads, in order."""
    attributes: Mapping[str, object]
    """Decoded attributes: str, bool, int, float or tuples of them."""

    @property
    def data_inputs(self) -> tuple[str, ...]:
        """The inputs that carry data, without those that only carry a shape."""
        return self.inputs[: _DATA_INPUTS.get(self.op)]


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph model: operations and their weights."""

    nodes: Mapping[str, Node]
    """Operations by name, in file order; constants are not among them."""
    weights: Mapping[str, Weights]
    """Constants by name, in the precision in which they were stored."""

    def between(self, image: str, heads: tuple[str, ...]) -> tuple[Node, ...]:
        """The nodes that lead from `image` (itself left out) to `heads`, each after what it reads.

        Raises:
            ModelFormatError: a name is missing, or a head does not depend on `image` alone.
        """
        ordered: dict[str, Node] = {}
        pending = list(reversed(heads))
        bound = sum(len(node.inputs) for node in self.nodes.values()) + len(heads)
        while pending:
            if len(pending) > bound:
                raise ModelFormatError(f"the graph runs in a circle through {pending[-1]!r}")
            node = self.node(pending[-1])
            missing = [i for i in node.data_inputs if self._is_open(i, image, ordered)]
            if missing:
                pending.extend(missing)
            else:
                ordered.setdefault(pending.pop(), node)
        return tuple(ordered.values())

    def node(self, name: str) -> Node:
        """The node of that name.

        Raises:
            ModelFormatError: there is none.
        """
        if name not in self.nodes:
            raise ModelFormatError(
                f"the graph has no node {name!r}: this is not the model that was expected",
                node=name,
            )
        return self.nodes[name]

    def _is_open(self, name: str, image: str, done: Mapping[str, Node]) -> bool:
        return name != image and name not in done and name not in self.weights


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a graph is cut out of its model."""

    image: str
    """The tensor that holds the float image, NHWC, 0..255."""
    heads: Mapping[str, str]
    """Name of each output -> the node that computes it."""
    nominal_px: int
    """Side of the square image for which constant sizes in the graph were written."""


def read(topology: bytes, blob: bytes) -> Graph:
    """Read a graph model.

    Args:
        topology: the JSON file.
        blob: the weights, one shard.

    Raises:
        ModelFormatError: not a graph model, or the blob's length does not fit the manifest.
    """
    try:
        model = json.loads(topology)
        entries = model["modelTopology"]["node"]
        manifest = [w for group in model["weightsManifest"] for w in group["weights"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(f"not a TensorFlow.js graph model: {error!r}") from error
    nodes = (_node(entry) for entry in entries if entry["op"] != "Const")
    return Graph({node.name: node for node in nodes}, _weights(manifest, blob))


def _weights(manifest: list[dict[str, Any]], blob: bytes) -> dict[str, Weights]:
    weights: dict[str, Weights] = {}
    at = 0
    for entry in manifest:
        stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
        if stored not in _DTYPES:
            raise ModelFormatError(
                f"weight {entry['name']!r} is stored as {stored}, which is not read here"
            )
        dtype = _DTYPES[stored]
        count = int(np.prod(entry["shape"], dtype=np.int64))
        end = at + count * dtype.itemsize
        if end > len(blob):
            raise ModelFormatError(
                f"the weights end at byte {len(blob)}, but {entry['name']!r} ends at {end}"
            )
        weights[entry["name"]] = np.frombuffer(blob, dtype, count, at).reshape(entry["shape"])
        at = end
    if at != len(blob):
        raise ModelFormatError(
            f"the weights have {len(blob) - at} bytes more than their manifest names"
        )
    return weights


def _node(entry: dict[str, Any]) -> Node:
    inputs = tuple(
        name.removesuffix(":0") for name in entry.get("input", ()) if not name.startswith("^")
    )
    attributes = {key: _attribute(value) for key, value in entry.get("attr", {}).items()}
    return Node(entry["name"], entry["op"], inputs, attributes)


def _attribute(value: dict[str, Any]) -> object:
    kind, content = next(iter(value.items()))
    if kind == "list":
        return tuple(_scalar(k, item) for k, items in content.items() for item in items)
    return _scalar(kind, content)


def _scalar(kind: str, content: Any) -> object:
    match kind:
        case "s":
            return base64.b64decode(content).decode("ascii", "replace")
        case "i":
            return int(content)
        case "f":
            return float(content)
        case "b":
            return bool(content)
        case "shape":
            return tuple(int(dim["size"]) for dim in content.get("shape", content).get("dim", ()))
        case _:
            return content
