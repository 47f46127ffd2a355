"""A raw frame and boxes to the joints of the person in each box."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tipoff.errors import InvalidInputError
from triton_models.backend import Outputs, Request, answer_each, settings
from triton_models.heads import Networks, network_options
from triton_models.people import check_frame
from triton_models.pose_models import PoseModel, store_name

if TYPE_CHECKING:
    import triton_python_backend_utils as pb
    from numpy.typing import NDArray

MAX_BOXES = 128
MAX_BOX_PX = 32768
MISSING = (np.nan, np.nan, 0.0)


class TritonPythonModel:
    """FRAME uint8 (H, W, 3) and BOXES (N, 4) to KEYPOINTS (N, J, 3)."""

    def initialize(self, args: pb.Arguments) -> None:
        """Read the configuration and open the default network."""
        values = settings(args)
        self._default = values["pose_model"]
        self._networks = Networks(network_options(values))
        self._networks.warm(store_name(self._default))

    def execute(self, requests: list[pb.InferenceRequest]) -> list[pb.InferenceResponse]:
        """Answer each request."""
        return answer_each(requests, self._answer)

    def _answer(self, request: Request) -> Outputs:
        frame, boxes = request.tensor("FRAME"), request.tensor("BOXES")
        size = check_frame(frame)
        check_boxes(boxes)
        network = self._networks.get(store_name(request.text("pose_model", self._default)))
        model = PoseModel(network.manifest)
        seen = touching(boxes, size)
        poses = model.poses(network.run, frame, boxes[seen])
        keypoints = np.full((len(boxes), *poses.shape[1:]), MISSING, np.float32)
        keypoints[seen] = poses
        return {"KEYPOINTS": keypoints}


def check_boxes(boxes: NDArray[np.float32]) -> None:
    """Refuse boxes that are none, naming the first.

    Raises:
        InvalidInputError: too many, not finite, turned round, empty or absurdly large.
    """
    if len(boxes) > MAX_BOXES:
        raise InvalidInputError(
            f"{len(boxes)} boxes are more than the {MAX_BOXES} of one request: send several"
        )
    for index, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        good = -MAX_BOX_PX <= x0 < x1 <= MAX_BOX_PX and -MAX_BOX_PX <= y0 < y1 <= MAX_BOX_PX
        if not good:  # also where a number is NaN
            raise InvalidInputError(
                f"box {index} is {x0:g}, {y0:g}, {x1:g}, {y1:g}: x0 < x1 and y0 < y1 are needed, "
                f"finite and within {MAX_BOX_PX} px; leave out who is not in view"
            )


def touching(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which boxes hold a part of the frame, whose width and height are given."""
    width, height = size
    x0, y0, x1, y1 = boxes.T
    inside: NDArray[np.bool_] = (x0 < width) & (y0 < height) & (x1 > 0) & (y1 > 0)
    return inside
