"""Heads to people, back in the source pixels of the upright picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triton_models.backend import Outputs, Request, answer_each, settings
from triton_models.people import read_people, whole

if TYPE_CHECKING:
    import triton_python_backend_utils as pb

STRIDE_PX = 4
HEADS = ("heat", "center", "regress", "offset", "scale", "boxoff")


class TritonPythonModel:
    """The six heads and source_shape (1, 3) to BOXES, KEYPOINTS and SCORES."""

    def initialize(self, args: pb.Arguments) -> None:
        """Read the configuration."""
        self._threshold = float(settings(args)["threshold"])

    def execute(self, requests: list[pb.InferenceRequest]) -> list[pb.InferenceResponse]:
        """Answer each request."""
        return answer_each(requests, self._answer)

    def _answer(self, request: Request) -> Outputs:
        heads = {name: request.tensor(name) for name in HEADS}
        height, width = (int(side) for side in request.tensor("source_shape")[0, :2])
        rows, columns = heads["heat"].shape[1:3]
        placement = whole((width, height), (columns * STRIDE_PX, rows * STRIDE_PX))
        return read_people(heads, placement, self._threshold)
