"""Any pose model for crops, as a frame and boxes in and joints in source pixels out.

The network itself is run by somebody else: here is what comes before and after it, as its manifest
says. Needs NumPy alone, so that it runs inside Triton.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from accel.decode import crop_resize
from accel.letterbox import Placement
from accel.letterbox import crop as place
from tipoff.errors import InternalError, InvalidInputError
from triton_models.errors import ModelError
from triton_models.pose_outputs import DECODERS
from triton_models.weights.catalog import SHORT_NAMES
from triton_models.weights.manifest import Crop, Manifest
from triton_models.weights.store import Store

Run: TypeAlias = Callable[[NDArray[Any]], Mapping[str, NDArray[np.float32]]]
"""Runs a network on one batch: its input -> its outputs by name."""

MAX_BATCH = 16
"""Crops given to a network at once; on a CPU larger batches gain nothing."""


def store_name(name: str) -> str:
    """The name in the store of a model as users name it."""
    return SHORT_NAMES.get(name, name)


@dataclass(frozen=True, slots=True)
class PoseModel:
    """How one model for crops is fed and read."""

    manifest: Manifest
    """What the store knows of it."""

    def __post_init__(self) -> None:
        """Refuse a model that does not read crops.

        Raises:
            ModelError: it finds people in whole frames.
        """
        if self.manifest.crop is None or self.manifest.layout not in DECODERS:
            raise ModelError(
                f"{self.manifest.name} reads whole frames, not crops of people: name a pose model "
                "such as lightning or thunder",
                model=self.manifest.name,
            )

    @classmethod
    def load(cls, store: Store, name: str) -> PoseModel:
        """Take a model from the store.

        Args:
            store: where it lies.
            name: its name there, or `lightning` or `thunder`.

        Raises:
            ModelNotFoundError: it was never pulled or added.
            ModelError: it is no model for crops.
        """
        return cls(store.manifest(store_name(name)))

    @property
    def crop(self) -> Crop:
        """How it wants its crops."""
        if self.manifest.crop is None:
            raise InternalError(f"{self.manifest.name} has no crop")
        return self.manifest.crop

    @property
    def batch(self) -> int | None:
        """How many crops it takes at once, exactly; None if any number will do."""
        count = self.manifest.inputs[0].shape[0]
        return count if isinstance(count, int) and count > 0 else None

    def poses(
        self, run: Run, frame: NDArray[np.uint8], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Pose the person in each box, in batches that the network takes.

        Args:
            run: runs the network.
            frame: uint8 (H, W, 3) RGB.
            boxes: (N, 4) x0, y0, x1, y1 in source pixels.

        Returns:
            float32 (N, J, 3) u, v in source pixels and confidence; NaN, NaN, 0 where a joint was
            not found.

        Raises:
            InvalidInputError: a box is not finite, is empty or is absurdly large.
        """
        size = self.batch or MAX_BATCH
        parts = [
            self._poses(run, frame, boxes[start : start + size])
            for start in range(0, len(boxes), size)
        ]
        return np.concatenate(parts) if parts else np.empty((0, 17, 3), np.float32)

    def prepare(self, frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[Any]:
        """Cut the boxes out of a frame, scale and normalise them.

        Args:
            frame: uint8 (H, W, 3) RGB.
            boxes: (N, 4) x0, y0, x1, y1 in source pixels.

        Returns:
            (N, H, W, 3) or (N, 3, H, W) of the type that the network reads.

        Raises:
            InvalidInputError: a box is not finite, is empty or is absurdly large.
        """
        crop = self.crop
        shape = (len(boxes), crop.height_px, crop.width_px, 3)
        batch: NDArray[np.float32] = np.empty(shape, np.float32)
        for pixels, placement in zip(batch, self._placements(boxes), strict=True):
            crop_resize(frame, placement.region, crop.height_px, crop.width_px, pixels)
        batch = _normalise(batch[..., ::-1] if crop.channels == "BGR" else batch, crop)
        if crop.axes == "NCHW":
            batch = batch.transpose(0, 3, 1, 2)
        dtype = np.dtype(self.manifest.inputs[0].dtype)
        whole = np.rint(batch) if np.issubdtype(dtype, np.integer) else batch
        return np.ascontiguousarray(whole, dtype)

    def decode(
        self, outputs: Mapping[str, NDArray[np.float32]], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Read the network's outputs for boxes that `prepare` cut out.

        Args:
            outputs: the network's outputs by name, for N crops or more.
            boxes: (N, 4), the same as were prepared.

        Returns:
            float32 (N, J, 3) u, v in source pixels and confidence.
        """
        roles = self.manifest.roles or {spec.name: spec.name for spec in self.manifest.outputs}
        by_role = {role: outputs[name][: len(boxes)] for role, name in roles.items()}
        joints = DECODERS[self.manifest.layout](by_role, self.crop)
        for pose, placement in zip(joints, self._placements(boxes), strict=True):
            pose[:, :2] = placement.to_source(pose[:, :2], self.crop.shift_px)
        return joints

    def _poses(
        self, run: Run, frame: NDArray[np.uint8], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        prepared = self.prepare(frame, boxes)
        missing = (self.batch or len(boxes)) - len(boxes)
        if missing:
            prepared = np.concatenate([prepared, np.repeat(prepared[-1:], missing, axis=0)])
        return self.decode(run(prepared), boxes)

    def _placements(self, boxes: NDArray[np.float32]) -> list[Placement]:
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise InvalidInputError(f"boxes are (N, 4), not {boxes.shape}")
        size = (self.crop.width_px, self.crop.height_px)
        return [place(box, size, self.crop.expand) for box in boxes]


def _normalise(batch: NDArray[np.float32], crop: Crop) -> NDArray[np.float32]:
    """Return (batch * scale - mean) / std, without work where that changes nothing."""
    if (crop.scale, crop.mean, crop.std) == (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
        return batch
    std = np.array(crop.std, np.float32)
    factor: NDArray[np.float32] = np.float32(crop.scale) / std
    return batch * factor - np.array(crop.mean, np.float32) / std
