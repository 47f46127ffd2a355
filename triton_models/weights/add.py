"""`tipoff models add`: a user's own ONNX pose model, checked before anything runs on it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import onnx
from google.protobuf.message import DecodeError

from accel.letterbox import MOVENET_SHIFT_PX
from accel.skeleton import COCO17
from triton_models.errors import ModelError, ModelFormatError
from triton_models.weights import probe
from triton_models.weights.catalog import CATALOG, SHORT_NAMES
from triton_models.weights.layouts import describe, picture, recognise, refuse_whole_frames
from triton_models.weights.manifest import Crop, JointForm, Layout, Manifest, TensorSpec
from triton_models.weights.onnx_file import input_specs, output_specs
from triton_models.weights.store import Store, check_name, digest

SKELETONS = (COCO17.name,)
HEADS_SIZE = (256, 256)
RESERVED = (*SHORT_NAMES, *CATALOG)

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a model wants of its pixels: (x * scale - mean) / std."""

    scale: float = 1.0
    """Factor on 0..255, applied first."""
    mean: Triple = (0.0, 0.0, 0.0)
    """Subtracted next."""
    std: Triple = (1.0, 1.0, 1.0)
    """Divided by last."""


NORMALISATIONS: Mapping[str, Normalisation] = {
    "none": Normalisation(),
    "unit": Normalisation(scale=1 / 255),
    "signed": Normalisation(scale=1 / 127.5, mean=(1.0, 1.0, 1.0)),
    "imagenet": Normalisation(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
}
"""Usual ones by name; `imagenet` is what models trained with MMPose expect."""


@dataclass(frozen=True, slots=True)
class AddOptions:
    """What a user says of a model; what is left out is told from the file, or assumed and said."""

    skeleton: str
    """The joints that it gives; `coco17` is known."""
    name: str | None = None
    """Its name in the store; None takes the file's."""
    layout: Layout | None = None
    """How its outputs are to be read; None tells by their shapes."""
    input_size: tuple[int, int] | None = None
    """Width and height, for a model that leaves them free."""
    channels: Literal["RGB", "BGR"] = "RGB"
    """RGB or BGR."""
    normalise: str | None = None
    """One of `NORMALISATIONS`; None is the usual one of the layout."""
    mean: Triple | None = None
    """Instead of the named normalisation's."""
    std: Triple | None = None
    """Instead of the named normalisation's."""
    scale: float | None = None
    """Instead of the named normalisation's."""
    expand: float = 1.25
    """Factor on a person's box."""
    joints: JointForm | None = None
    """How direct keypoints are written; None is the usual one of their shape."""
    licence: str = "NOASSERTION"
    """SPDX expression of its licence."""
    attribution: str = ""
    """Whose work it is."""
    replace: bool = False
    """Whether it may take the place of one that is there."""


@dataclass(frozen=True, slots=True)
class Added:
    """A model that is now in the store."""

    manifest: Manifest
    """What the store knows of it."""
    probed: bool
    """Whether it was tried out; False without onnxruntime."""
    assumed: tuple[str, ...] = field(default=())
    """What neither the file nor the user said, as sentences."""


def add(store: Store, path: Path, options: AddOptions) -> Added:
    """Check a model and take it into the store.

    Args:
        store: where it goes.
        path: the ONNX file.
        options: what the user says of it.

    Raises:
        ModelFormatError: the file is no ONNX model, or not one that can be fed and read; the
            message says what was found and what is accepted.
        ModelError: the name is taken.
    """
    name = _name(store, path, options)
    content = _read(path)
    model = _load(path, content)
    try:
        manifest, probed, assumed = _manifest(name, path, model, options, digest(content))
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}", model=name) from error
    with store.writing():
        store.install(manifest, content)
    return Added(manifest, probed, assumed)


def _name(store: Store, path: Path, options: AddOptions) -> str:
    if options.skeleton not in SKELETONS:
        raise ModelFormatError(
            f"the skeleton {options.skeleton!r} is not known; known is {', '.join(SKELETONS)}"
        )
    stem = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("._-")[:64]
    name = check_name(options.name or stem)
    if name in RESERVED:
        raise ModelFormatError(
            f"{name} is the name of a published model: choose another with --name", model=name
        )
    if name in store.names() and not options.replace:
        raise ModelError(
            f"there is a model {name} already: give --replace, or another name with --name",
            model=name,
        )
    return name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error.strerror}") from error


def _load(path: Path, content: bytes) -> onnx.ModelProto:
    """Parse and check a model that lies in one file."""
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise ModelFormatError(f"{path} is not an ONNX model") from error
    if not model.graph.node:
        raise ModelFormatError(f"{path} is not an ONNX model, or an empty one")
    if any(onnx.external_data_helper.uses_external_data(t) for t in model.graph.initializer):
        raise ModelFormatError(
            f"{path} keeps its weights in other files: save it as one file, with "
            "`onnx.save(onnx.load(FILE), FILE2)`"
        )
    try:
        onnx.checker.check_model(model)
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first = str(error).strip().split("\n")[0]
        raise ModelFormatError(f"{path} is not a valid ONNX model: {first}") from error


def _manifest(
    name: str, path: Path, model: onnx.ModelProto, options: AddOptions, sha256: str
) -> tuple[Manifest, bool, tuple[str, ...]]:
    inputs, outputs = input_specs(model), output_specs(model)
    refuse_whole_frames(outputs)
    size, assumed = _input_size(inputs, outputs, options)
    image = picture(inputs, size)
    probed = probe.probe(path, inputs[0], image) if probe.available() else None
    if probed is not None:
        inputs, outputs = (probed.input,), probed.outputs
    layout, roles = recognise(outputs, image, options.layout)
    normal, assumed_normal = _normalisation(inputs[0], layout, options)
    joints, assumed_joints = _joint_form(outputs[0], probed, layout, options)
    crop = Crop(
        width_px=image.width_px,
        height_px=image.height_px,
        axes=image.axes,
        channels=options.channels,
        scale=normal.scale,
        mean=normal.mean,
        std=normal.std,
        expand=options.expand,
        shift_px=_shift_px(layout, joints),
        joints=joints,
    )
    _check_crop(crop, describe(inputs))
    manifest = Manifest(
        name=name,
        layout=layout,
        skeleton=options.skeleton,
        sha256=sha256,
        licence=options.licence,
        attribution=options.attribution,
        source={"file": path.name},
        converter="",
        inputs=inputs,
        outputs=outputs,
        roles=roles,
        crop=crop,
    )
    return manifest, probed is not None, (*assumed, *assumed_normal, *assumed_joints)


def _input_size(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], options: AddOptions
) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
    """The size that the user gave, or for MoveNet's heads, which take any, Thunder's."""
    free = any(isinstance(side, str) for spec in inputs for side in spec.shape[1:])
    heads = {"heat", "center", "regress", "offset"} == {spec.name for spec in outputs}
    if options.input_size is None and free and heads:
        return HEADS_SIZE, (f"crops are `--input-size {HEADS_SIZE[0]}x{HEADS_SIZE[1]}`",)
    return options.input_size, ()


def _normalisation(
    spec: TensorSpec, layout: Layout, options: AddOptions
) -> tuple[Normalisation, tuple[str, ...]]:
    """What the user said; or what is usual, and a sentence that says so."""
    own = (options.scale, options.mean, options.std)
    if options.normalise is None and own == (None, None, None):
        kind = _usual_normalisation(spec, layout)
        sentence = f"pixels are normalised as `--normalise {kind}`"
        certain = layout == "movenet-single-heads"
        return NORMALISATIONS[kind], () if certain else (sentence,)
    base = NORMALISATIONS[options.normalise or "none"]
    return Normalisation(
        base.scale if options.scale is None else options.scale,
        base.mean if options.mean is None else options.mean,
        base.std if options.std is None else options.std,
    ), ()


def _usual_normalisation(spec: TensorSpec, layout: Layout) -> str:
    """Heads and integers are MoveNet's, which normalises by itself; others are mostly MMPose's."""
    if layout == "movenet-single-heads" or spec.dtype in ("uint8", "int32"):
        return "none"
    return "unit" if layout == "keypoints" else "imagenet"


def _joint_form(
    spec: TensorSpec, probed: probe.Probed | None, layout: Layout, options: AddOptions
) -> tuple[JointForm | None, tuple[str, ...]]:
    """How direct keypoints are written: as the user said, or as they look."""
    if layout != "keypoints":
        return None, ()
    if options.joints is not None:
        return options.joints, ()
    # Four axes are what MoveNet's own exports have: y before x, as parts of the picture.
    swapped = len(spec.shape) == 4
    unit = swapped if probed is None else bool((probed.values[spec.name][..., :2] <= 1.5).all())
    forms: Mapping[tuple[bool, bool], JointForm] = {
        (False, False): "xy-px",
        (False, True): "xy-unit",
        (True, False): "yx-px",
        (True, True): "yx-unit",
    }
    form = forms[swapped, unit]
    return form, (f"keypoints are written as `--joints {form}`",)


def _shift_px(layout: Layout, joints: JointForm | None) -> float:
    """What makes a model's coordinates edges: see `accel.letterbox.Placement.to_source`."""
    if layout == "movenet-single-heads" or joints == "yx-unit":
        return MOVENET_SHIFT_PX
    return 0.0 if joints == "xy-unit" else 0.5


def _check_crop(crop: Crop, found: str) -> None:
    numbers = (crop.scale, *crop.mean, *crop.std, crop.expand)
    if not all(abs(v) < 1e9 for v in numbers) or 0.0 in (crop.scale, *crop.std):
        raise ModelFormatError("scale, mean and std must be finite, scale and std not 0")
    if not 0.5 <= crop.expand <= 4.0:
        raise ModelFormatError(f"expand is {crop.expand:g}; 0.5 to 4 makes sense")
    if not (8 <= crop.width_px <= 2048 and 8 <= crop.height_px <= 2048):
        raise ModelFormatError(f"the input {found} is not of 8 to 2048 px a side")
