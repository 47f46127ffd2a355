"""The inference protocol on the wire: requests from arrays, arrays from answers, typed errors.

This is the v2 protocol by its protobuf messages as tritonclient ships them. Its own client
wraps them once more and is not meant for several threads; a gRPC channel is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tipoff.errors import TipoffError
from triton_models.errors import (
    BadRequestError,
    CallTimedOutError,
    ModelFailedError,
    NotServedError,
    ServerUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MAX_MESSAGE_BYTES = 256 * 2**20
"""Largest message either way: a 4K frame as bytes takes 25 MB."""

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP32": np.dtype(np.float32),
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_DEAD_STUB = ("not healthy", "Failed to initialize Python stub", "Stub process")


@dataclass(frozen=True, slots=True)
class ArrayInput:
    """An input whose bytes travel in the message."""

    name: str
    """The input's name in the model's configuration."""
    values: NDArray[Any]
    """Its values; the type must be one of the protocol's."""


@dataclass(frozen=True, slots=True)
class RegionInput:
    """An input that lies in a registered region of shared memory."""

    name: str
    """The input's name in the model's configuration."""
    datatype: str
    """The protocol's name of its type, such as UINT8."""
    shape: tuple[int, ...]
    """Its shape."""
    region: str
    """The name under which the region was registered."""
    size: int
    """Bytes from the start of the region."""


def open_channel(address: str) -> grpc.Channel:
    """Return a channel to a server at ``host:port``; nothing is sent yet."""
    return grpc.insecure_channel(
        address,
        options=[
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.enable_http_proxy", 0),
        ],
    )


def open_stub(channel: grpc.Channel) -> Any:
    """Return the service's stub on a channel (tritonclient ships no types for it)."""
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


def build_request(
    model: str,
    inputs: Sequence[ArrayInput | RegionInput],
    parameters: Mapping[str, str | int | float] | None = None,
) -> Any:
    """Return a ModelInferRequest."""
    request = service_pb2.ModelInferRequest(model_name=model)
    for item in inputs:
        if isinstance(item, RegionInput):
            _add_region(request, item)
        else:
            _add_array(request, item)
    for key, value in (parameters or {}).items():
        _set_parameter(request.parameters[key], value)
    return request


def _add_region(request: Any, item: RegionInput) -> None:
    entry = request.inputs.add(name=item.name, datatype=item.datatype, shape=item.shape)
    entry.parameters["shared_memory_region"].string_param = item.region
    entry.parameters["shared_memory_byte_size"].int64_param = item.size


def _add_array(request: Any, item: ArrayInput) -> None:
    datatype = _NAMES.get(item.values.dtype)
    if datatype is None:
        msg = (
            f"{item.name} is an array of {item.values.dtype}, which no model takes: "
            f"convert it to one of {', '.join(str(dtype) for dtype in _NAMES)}"
        )
        raise BadRequestError(msg)
    request.inputs.add(name=item.name, datatype=datatype, shape=item.values.shape)
    request.raw_input_contents.append(np.ascontiguousarray(item.values).tobytes())


def _set_parameter(slot: Any, value: str | float) -> None:
    if isinstance(value, str):
        slot.string_param = value
    elif isinstance(value, int):
        slot.int64_param = value
    else:  # as text: older servers hand no doubles to the Python backend
        slot.string_param = repr(float(value))


def read_outputs(response: Any) -> dict[str, NDArray[Any]]:
    """Return the outputs of a ModelInferResponse by name; the arrays are read-only views.

    Raises:
        ModelFailedError: the answer does not hold what it says.
    """
    outputs = {}
    for entry, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        dtype, shape = DATATYPES[entry.datatype], tuple(entry.shape)
        if len(raw) != math.prod(shape) * dtype.itemsize:
            msg = (
                f"{response.model_name} answered {entry.name} with {len(raw)} bytes for shape "
                f"{list(shape)}: its environment is broken, run `tipoff triton status`"
            )
            raise ModelFailedError(msg, model=response.model_name)
        outputs[entry.name] = np.frombuffer(raw, dtype).reshape(shape)
    return outputs


def translate_error(error: grpc.RpcError, address: str, model: str) -> TipoffError:
    """Return the typed error for one of gRPC's."""
    code, details = error.code(), error.details() or ""
    ids = {"address": address, "model": model}
    if any(sign in details for sign in _DEAD_STUB):
        text = f"the process of {model} has died ({details.strip()}): run `tipoff triton repair`"
        return ServerUnavailableError(text, **ids)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = f"{model} at {address} did not answer in time: is the machine overloaded, or the "
        return CallTimedOutError(text + "server stopped? see `tipoff triton status`", **ids)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        text = f"no Triton answers at {address} ({details}): start it with `tipoff triton up`"
        return ServerUnavailableError(text, **ids)
    if code is grpc.StatusCode.NOT_FOUND or "unknown model" in details:
        text = f"the server at {address} has no model {model!r} ({details}): see `tipoff triton "
        return NotServedError(text + "status` for those it has", **ids)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE):
        return BadRequestError(f"{model}: {_own_words(details)}", **ids)
    return ModelFailedError(f"{model} failed: {_own_words(details)}", **ids)


def _own_words(details: str) -> str:
    """Return a model's message without what the server puts around it."""
    return details.rpartition("message: ")[2].strip() if "message: " in details else details
