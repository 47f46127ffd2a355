"""The models without a server: onnxruntime in this process, before and after it our own code."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from accel.decode import crop_resize
from triton_models.people import MULTIPOSE, read_people, whole
from triton_models.pose_models import PoseModel, store_name
from triton_models.weights.store import Store

NAME = f"onnxruntime {onnxruntime.__version__} in-process"


class Network:
    """One network with the session options that the server's models have."""

    def __init__(self, store: Store, name: str, threads: int) -> None:
        """Check the weights and open the session."""
        self.manifest = store.verify(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            store.path(name), options, ["CPUExecutionProvider"]
        )

    def run(self, batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """The network's outputs for a batch, by name."""
        names = [output.name for output in self.manifest.outputs]
        values = self._session.run(names, {self.manifest.inputs[0].name: batch})
        return dict(zip(names, values, strict=True))


class People:
    """What the model people_frame does."""

    def __init__(self, store: Store, size: tuple[int, int], threshold: float, threads: int) -> None:
        """`size` is the input's width and height."""
        self._network = Network(store, MULTIPOSE, threads)
        self._size, self._threshold = size, threshold

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Keypoints (N, 17, 3) of the people in a frame, in its pixels."""
        width, height = self._size
        placement = whole((frame.shape[1], frame.shape[0]), self._size)
        picture = np.zeros((1, height, width, 3), np.float32)
        picture[0, : placement.height_px, : placement.width_px] = crop_resize(
            frame, placement.region, placement.height_px, placement.width_px
        )
        found = read_people(self._network.run(picture), placement, self._threshold)
        return np.asarray(found["KEYPOINTS"], dtype=np.float32)


class Poses:
    """What the model pose_crops does."""

    def __init__(self, store: Store, pose_model: str, threads: int) -> None:
        """`pose_model` as a request names it."""
        self._network = Network(store, store_name(pose_model), threads)
        self._model = PoseModel(self._network.manifest)

    def __call__(self, frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Keypoints (N, 17, 3) of the person in each box, in the frame's pixels."""
        return self._model.poses(self._network.run, frame, boxes)
