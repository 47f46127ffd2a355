"""What the store knows of a model, as `manifest.json` beside its `model.onnx`.

Only the standard library: the models inside Triton read manifests in their own environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from triton_models.errors import WeightsError

SCHEMA = 1

Layout: TypeAlias = Literal[
    "movenet-multipose-heads", "movenet-single-heads", "simcc", "heatmap", "keypoints"
]
"""How the outputs of a model are to be read."""

JointForm: TypeAlias = Literal["xy-px", "yx-px", "xy-unit", "yx-unit"]
"""Order of a direct keypoint's coordinates, and whether they are pixels or parts of the input."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model."""

    name: str
    """Its name in the ONNX graph."""
    dtype: str
    """NumPy's name of its element type."""
    shape: tuple[int | str, ...]
    """Its axes; a name stands for one that is free."""


@dataclass(frozen=True, slots=True)
class Crop:
    """How a crop model wants its person: cut, scaled and normalised as (x * scale - mean) / std."""

    width_px: int
    """Width of the input."""
    height_px: int
    """Height of the input."""
    axes: Literal["NHWC", "NCHW"] = "NHWC"
    """Order of the input's axes."""
    channels: Literal["RGB", "BGR"] = "RGB"
    """Order of the colour channels."""
    scale: float = 1.0
    """Factor on the pixel values 0..255, applied first."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted next, in the order of `channels`."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divided by last, in the order of `channels`."""
    expand: float = 1.25
    """Factor on the person's box, which is then widened or heightened to the input's aspect."""
    shift_px: float = 0.25
    """Added to the model's coordinates to make them edges of its input (`accel.letterbox`)."""
    joints: JointForm | None = None
    """How direct keypoints are written; None for other layouts."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One model: what it is, whose it is, and how it is fed and read."""

    name: str
    """Its name in the store."""
    layout: Layout
    """How its outputs are to be read."""
    skeleton: str
    """Name of the skeleton whose joints it gives."""
    sha256: str
    """Digest of model.onnx."""
    licence: str
    """SPDX expression, or what the user said of it."""
    attribution: str
    """Whose work it is."""
    source: Mapping[str, Any]
    """Where it came from: package, version and digests, or the file that was added."""
    converter: str
    """Version of the converter that wrote it; empty when it came as ONNX."""
    inputs: tuple[TensorSpec, ...]
    """What it reads."""
    outputs: tuple[TensorSpec, ...]
    """What it gives."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """What the layout calls an output -> its name in the graph, where they differ."""
    crop: Crop | None = None
    """How people are cut out for it; None for a model that reads whole frames."""
    schema: int = field(default=SCHEMA)
    """Version of this record."""

    def to_json(self) -> str:
        """The file's text; the same for equal manifests."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a manifest.

        Raises:
            WeightsError: it is damaged, or was written by a later version.
        """
        try:
            fields = json.loads(text)
            if fields["schema"] > SCHEMA:
                raise WeightsError(
                    f"the manifest of {fields.get('name')!r} has schema {fields['schema']}, newer "
                    f"than {SCHEMA}: update Tipoff, or run `tipoff models pull --force`"
                )
            fields["inputs"] = tuple(_tensor(spec) for spec in fields["inputs"])
            fields["outputs"] = tuple(_tensor(spec) for spec in fields["outputs"])
            fields["crop"] = _crop(fields["crop"]) if fields["crop"] else None
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"the manifest is damaged: {error!r}") from error


def _tensor(spec: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(spec["name"], spec["dtype"], tuple(spec["shape"]))


def _crop(fields: dict[str, Any]) -> Crop:
    return Crop(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})
