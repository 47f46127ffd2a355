"""What our models share inside Triton's Python backend: inputs, answers, refusals.

Each request is answered for itself: one that is refused, or fails, does no harm to the next.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb

from tipoff.errors import InvalidInputError, TipoffError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

REFUSALS = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE"})
"""What the caller can mend. All become one status: NOT_FOUND would speak of the Triton model."""

Outputs = dict[str, "NDArray[Any]"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its inputs checked when they are asked for."""

    raw: pb.InferenceRequest
    """The backend's own object."""
    parameters: Mapping[str, Any]
    """Its parameters by name."""

    def tensor(self, name: str) -> NDArray[Any]:
        """Return an input.

        Raises:
            InvalidInputError: it is missing.
        """
        values = self.optional(name)
        if values is None:
            raise InvalidInputError(f"the input {name} is missing")
        return values

    def optional(self, name: str) -> NDArray[Any] | None:
        """Return an input, or None where it was not sent."""
        tensor = pb.get_input_tensor_by_name(self.raw, name)
        return None if tensor is None else tensor.as_numpy()

    def number(self, name: str, default: float) -> float:
        """Return a numeric parameter.

        Raises:
            InvalidInputError: it is no number.
        """
        value = self.parameters.get(name, default)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InvalidInputError(f"{name} is {value!r}, no number") from None

    def text(self, name: str, default: str) -> str:
        """Return a textual parameter.

        Raises:
            InvalidInputError: it is no text.
        """
        value = self.parameters.get(name, default)
        if not isinstance(value, str):
            raise InvalidInputError(f"{name} is {value!r}, no text")
        return value


def answer_each(
    requests: list[pb.InferenceRequest], answer: Callable[[Request], Outputs]
) -> list[pb.InferenceResponse]:
    """Answer every request of an execution on its own."""
    return [_answer(raw, answer) for raw in requests]


def _answer(raw: pb.InferenceRequest, answer: Callable[[Request], Outputs]) -> pb.InferenceResponse:
    try:
        outputs = answer(Request(raw, _parameters(raw)))
    except TipoffError as error:
        return pb.InferenceResponse(error=pb.TritonError(str(error), _code(error)))
    except Exception as error:  # whatever it is, the next request has to work
        pb.Logger.log_error(traceback.format_exc())
        text = f"{type(error).__name__}: {error} (the server's log has more)"
        return pb.InferenceResponse(error=pb.TritonError(text, pb.TritonError.INTERNAL))
    return pb.InferenceResponse([pb.Tensor(name, values) for name, values in outputs.items()])


def _parameters(raw: pb.InferenceRequest) -> Mapping[str, Any]:
    text = raw.parameters()
    values = json.loads(text) if text else {}
    return values if isinstance(values, dict) else {}


def _code(error: TipoffError) -> int:
    if error.status in REFUSALS:
        return pb.TritonError.INVALID_ARG
    return pb.TritonError.UNAVAILABLE if error.retryable else pb.TritonError.INTERNAL


def settings(arguments: pb.Arguments) -> dict[str, str]:
    """Return the parameters of a model's configuration, a relative ``weights`` made absolute."""
    configuration = json.loads(arguments["model_config"])
    entries = configuration.get("parameters", {})
    values = {name: entry["string_value"] for name, entry in entries.items()}
    if "weights" in values:  # relative to the folder that holds the repository
        values["weights"] = str(Path(arguments["model_repository"]).parents[1] / values["weights"])
    return values
