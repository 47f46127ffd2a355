"""Refuse what must not reach the GPU's decoder: no JPEG, not a whole one, an absurd size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triton_models.backend import Outputs, Request, answer_each, settings
from triton_models.jpeg import check_jpeg

if TYPE_CHECKING:
    import triton_python_backend_utils as pb


class TritonPythonModel:
    """IMAGE, the bytes of a file, to JPEG, the same bytes as a batch of one."""

    def initialize(self, args: pb.Arguments) -> None:
        """Read the configuration."""
        self._max_pixels = int(settings(args)["max_pixels"])

    def execute(self, requests: list[pb.InferenceRequest]) -> list[pb.InferenceResponse]:
        """Answer each request."""
        return answer_each(requests, self._answer)

    def _answer(self, request: Request) -> Outputs:
        image = request.tensor("IMAGE")
        check_jpeg(image.tobytes(), self._max_pixels)
        return {"JPEG": image[None]}
