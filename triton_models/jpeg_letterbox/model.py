"""DALI on the CPU: JPEG bytes to the network's input, upright, at the upper left."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb

from tipoff.errors import InvalidInputError
from triton_models import graphs
from triton_models.backend import Outputs, Request, answer_each, settings
from triton_models.jpeg import check_jpeg


class TritonPythonModel:
    """IMAGE to image, float (1, height, width, 3), and source_shape (1, 3) as H, W, C."""

    def initialize(self, args: pb.Arguments) -> None:
        """Read the configuration and build the pipeline."""
        values = settings(args)
        self._frame = graphs.Frame(int(values["width"]), int(values["height"]))
        self._max_pixels = int(values["max_pixels"])
        self._pipeline = self._build()

    def execute(self, requests: list[pb.InferenceRequest]) -> list[pb.InferenceResponse]:
        """Answer each request."""
        return answer_each(requests, self._answer)

    def _answer(self, request: Request) -> Outputs:
        image = request.tensor("IMAGE")
        check_jpeg(image.tobytes(), self._max_pixels)
        try:
            self._pipeline.feed_input("JPEG", [image])
            picture, shape = self._pipeline.run()
        except RuntimeError as error:
            self._pipeline = self._build()  # one that has failed once stays broken
            pb.Logger.log_warn(str(error))
            raise InvalidInputError(
                "the JPEG cannot be decoded: it is damaged, or of a kind that no decoder knows"
            ) from error
        return {"image": np.stack([picture.at(0)]), "source_shape": np.stack([shape.at(0)])}

    def _build(self) -> Any:
        pipeline = graphs.build("jpeg", "cpu", self._frame)
        pipeline.build()
        return pipeline
