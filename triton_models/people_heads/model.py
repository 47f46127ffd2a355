"""MoveNet MultiPose up to its heads, by onnxruntime, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triton_models.backend import Outputs, Request, answer_each, settings
from triton_models.heads import Networks, network_options
from triton_models.people import MULTIPOSE

if TYPE_CHECKING:
    import triton_python_backend_utils as pb


class TritonPythonModel:
    """Image, float RGB 0..255 (1, H, W, 3), to the six heads."""

    def initialize(self, args: pb.Arguments) -> None:
        """Open the network."""
        self._networks = Networks(network_options(settings(args)))
        self._networks.warm(MULTIPOSE)

    def execute(self, requests: list[pb.InferenceRequest]) -> list[pb.InferenceResponse]:
        """Answer each request."""
        return answer_each(requests, self._answer)

    def _answer(self, request: Request) -> Outputs:
        return dict(self._networks.get(MULTIPOSE).run(request.tensor("image")))
