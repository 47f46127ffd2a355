"""What an ONNX model says about its inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import helper

from triton_models.weights.manifest import TensorSpec


def input_specs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """The inputs that a caller feeds; initializers that old exporters list too are left out."""
    constants = {initializer.name for initializer in model.graph.initializer}
    return _specs(value for value in model.graph.input if value.name not in constants)


def output_specs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """The outputs, in order."""
    return _specs(model.graph.output)


def _specs(values: Iterable[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
    return tuple(_spec(value) for value in values)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    """One tensor; an axis without a number or a name is called '?'."""
    tensor = value.type.tensor_type
    shape = tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?"
        for axis in tensor.shape.dim
    )
    return TensorSpec(value.name, _dtype(tensor.elem_type), shape)


def _dtype(element: int) -> str:
    if element not in helper.get_all_tensor_dtypes():
        return "unknown"
    return helper.tensor_dtype_to_np_dtype(element).name
