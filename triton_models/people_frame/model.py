"""A raw frame, or a region of it, to the people in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accel.decode import crop_resize
from accel.letterbox import letterbox
from triton_models.backend import Outputs, Request, answer_each, settings
from triton_models.heads import Networks, network_options
from triton_models.people import (
    MULTIPOSE,
    check_frame,
    check_input_size,
    check_threshold,
    read_people,
)

if TYPE_CHECKING:
    import triton_python_backend_utils as pb
    from numpy.typing import NDArray

    from accel.letterbox import Placement


class TritonPythonModel:
    """FRAME uint8 (H, W, 3) and optional REGION to BOXES, KEYPOINTS and SCORES."""

    def initialize(self, args: pb.Arguments) -> None:
        """Read the configuration and open the network."""
        values = settings(args)
        self._size = check_input_size(int(values["width"]), int(values["height"]))
        self._threshold = float(values["threshold"])
        self._networks = Networks(network_options(values))
        self._networks.warm(MULTIPOSE)

    def execute(self, requests: list[pb.InferenceRequest]) -> list[pb.InferenceResponse]:
        """Answer each request."""
        return answer_each(requests, self._answer)

    def _answer(self, request: Request) -> Outputs:
        frame = request.tensor("FRAME")
        width, height = self._size
        size = check_input_size(
            request.number("input_width", width), request.number("input_height", height)
        )
        threshold = check_threshold(request.number("threshold", self._threshold))
        region = request.optional("REGION")
        placement = letterbox(check_frame(frame), size, None if region is None else region.tolist())
        heads = self._networks.get(MULTIPOSE).run(_picture(frame, placement, size))
        return read_people(heads, placement, threshold)


def _picture(
    frame: NDArray[np.uint8], placement: Placement, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the network's input: the region at the upper left, the rest black."""
    width, height = size
    picture = np.zeros((1, height, width, 3), np.float32)
    scaled = crop_resize(frame, placement.region, placement.height_px, placement.width_px)
    picture[0, : placement.height_px, : placement.width_px] = scaled
    return picture
