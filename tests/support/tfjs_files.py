"""Makes small TensorFlow.js graph models, as the two files that they are."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def text(value: str) -> dict[str, str]:
    """A string attribute, in base64 as TensorFlow writes bytes."""
    return {"s": base64.b64encode(value.encode()).decode()}


def texts(*values: str) -> dict[str, Any]:
    """An attribute that lists strings."""
    return {"list": {"s": [text(value)["s"] for value in values]}}


def integers(*values: int) -> dict[str, Any]:
    """An attribute that lists integers, as strings."""
    return {"list": {"i": [str(value) for value in values]}}


def node(op: str, name: str, inputs: Sequence[str], **attributes: Any) -> dict[str, Any]:
    """One operation."""
    return {"op": op, "name": name, "input": list(inputs), "attr": attributes}


def graph_files(
    nodes: Sequence[dict[str, Any]], weights: Mapping[str, NDArray[Any]]
) -> tuple[bytes, bytes]:
    """Return the topology and the blob of a model; float16 weights are marked as quantised."""
    entries: list[dict[str, Any]] = []
    for name, values in weights.items():
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape)}
        entry["dtype"] = "int32" if values.dtype.kind == "i" else "float32"
        if values.dtype == np.float16:
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        entries.append(entry)
    constants = [node("Const", name, []) for name in weights]
    topology = {
        "format": "graph-model",
        "modelTopology": {"node": [*constants, *nodes]},
        "weightsManifest": [{"paths": ["model.bin"], "weights": entries}],
    }
    blob = b"".join(np.ascontiguousarray(values).tobytes() for values in weights.values())
    return json.dumps(topology).encode(), blob
