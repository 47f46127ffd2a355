"""Telling from the shapes of a model's input and outputs how it is to be fed and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from accel.skeleton import COCO17
from triton_models.errors import ModelFormatError
from triton_models.weights.manifest import Layout, TensorSpec

JOINTS = len(COCO17.joints)

ACCEPTED: Mapping[Layout, str] = {
    "movenet-single-heads": (
        "four outputs named heat (N, H/4, W/4, 17), center (.., 1), regress and offset (.., 34)"
    ),
    "simcc": "two outputs (N, 17, W * k) and (N, 17, H * k), as RTMPose has",
    "heatmap": (
        "one output (N, 17, H / k, W / k) or (N, H / k, W / k, 17), as HRNet and ViTPose have"
    ),
    "keypoints": "one output (N, 17, 3) or (N, 1, 17, 3) of coordinates and confidence",
}
"""What the outputs of each layout look like."""

INPUT_TYPES = ("float32", "float16", "uint8", "int32")

Shape = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """What a model reads."""

    axes: Literal["NHWC", "NCHW"]
    """Order of the axes."""
    width_px: int
    """Width."""
    height_px: int
    """Height."""


def describe(specs: Sequence[TensorSpec]) -> str:
    """Tensors as a person reads them."""
    return "; ".join(
        f"{spec.name} {spec.dtype} ({', '.join(map(str, spec.shape))})" for spec in specs
    )


def picture(inputs: Sequence[TensorSpec], size: tuple[int, int] | None) -> Picture:
    """Tell the axes and the size of a model's input.

    Args:
        inputs: its inputs.
        size: width and height that the user gave, for a model that leaves them free.

    Raises:
        ModelFormatError: there is not one picture of three channels, or its size is not known or
            not the one that the user gave.
    """
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].dtype not in INPUT_TYPES:
        raise ModelFormatError(
            f"found {len(inputs)} inputs: {describe(inputs)}. Accepted is one, a picture (N, H, W, "
            f"3) or (N, 3, H, W) of {', '.join(INPUT_TYPES)}"
        )
    shape = inputs[0].shape
    if (shape[1] == 3) == (shape[3] == 3):
        raise ModelFormatError(
            f"found the input {describe(inputs)}: exactly one of its second and last axes must "
            "have length 3, the colours"
        )
    nchw = shape[1] == 3
    height, width = (shape[2], shape[3]) if nchw else (shape[1], shape[2])
    found = _sides(inputs, (width, height), size)
    return Picture("NCHW" if nchw else "NHWC", *found)


def _sides(
    inputs: Sequence[TensorSpec], shape: tuple[int | str, int | str], size: tuple[int, int] | None
) -> tuple[int, int]:
    sides = []
    for axis, side in enumerate(shape):
        if isinstance(side, int) and side > 0:
            sides.append(side)
        elif size is not None:
            sides.append(size[axis])
        else:
            raise ModelFormatError(
                f"the input {describe(inputs)} leaves its size free: say which one is wanted with "
                "--input-size WIDTHxHEIGHT"
            )
    if size is not None and tuple(sides) != size:
        raise ModelFormatError(
            f"the input is {sides[0]}x{sides[1]} px, not {size[0]}x{size[1]} as --input-size says"
        )
    return sides[0], sides[1]


def refuse_whole_frames(outputs: Sequence[TensorSpec]) -> None:
    """Refuse the heads of a model that finds people, before anything else is asked of it.

    Raises:
        ModelFormatError: these are such heads.
    """
    if {"heat", "center", "scale", "boxoff"} <= {spec.name for spec in outputs}:
        raise ModelFormatError(
            f"found the heads of a model that finds people in whole frames ({describe(outputs)}); "
            "only models that pose one person in a crop can be added"
        )


def recognise(
    outputs: Sequence[TensorSpec], image: Picture, wanted: Layout | None
) -> tuple[Layout, dict[str, str]]:
    """Tell the layout of a model's outputs.

    Args:
        outputs: its outputs, their axes after the first as numbers.
        image: its input.
        wanted: the layout that the user named, or None.

    Returns:
        The layout, and role -> name of the output that plays it.

    Raises:
        ModelFormatError: no layout fits, or not the one that was named.
    """
    for layout, fits in _FITS.items():
        roles = fits(outputs, image) if wanted in (None, layout) else None
        if roles is not None:
            return layout, roles
    accepted = [wanted] if wanted else list(ACCEPTED)
    listed = "\n".join(f"  {layout}: {ACCEPTED[layout]}" for layout in accepted)
    raise ModelFormatError(
        f"found the outputs {describe(outputs)} for an input of {image.width_px}x"
        f"{image.height_px} px, which cannot be read as joints. Accepted are:\n{listed}"
    )


def _heads(outputs: Sequence[TensorSpec], image: Picture) -> dict[str, str] | None:
    channels = {"heat": JOINTS, "center": 1, "regress": 2 * JOINTS, "offset": 2 * JOINTS}
    cells = (image.height_px // 4, image.width_px // 4)
    expected = {name: (*cells, count) for name, count in channels.items()}
    found = {spec.name: spec.shape[1:] for spec in outputs}
    return {name: name for name in channels} if found == expected else None


def _simcc(outputs: Sequence[TensorSpec], image: Picture) -> dict[str, str] | None:
    if len(outputs) != 2 or any(len(s.shape) != 3 or s.shape[1] != JOINTS for s in outputs):
        return None
    for across, down in (outputs, outputs[::-1]):
        bins = (_number(across.shape[2]), _number(down.shape[2]))
        named_otherwise = across.name.endswith("y") and down.name.endswith("x")
        if bins[0] * image.height_px == bins[1] * image.width_px > 0 and not named_otherwise:
            return {"x": across.name, "y": down.name}
    return None


def _heatmap(outputs: Sequence[TensorSpec], image: Picture) -> dict[str, str] | None:
    if len(outputs) != 1 or len(outputs[0].shape) != 4:
        return None
    shape = [_number(side) for side in outputs[0].shape[1:]]
    height, width = shape[1:] if shape[0] == JOINTS else shape[:2]
    fits = JOINTS in (shape[0], shape[2]) and height * image.width_px == width * image.height_px
    return {"heatmap": outputs[0].name} if fits and min(height, width) > 1 else None


def _keypoints(outputs: Sequence[TensorSpec], _image: Picture) -> dict[str, str] | None:
    if len(outputs) != 1 or outputs[0].shape[1:] not in ((JOINTS, 3), (1, JOINTS, 3)):
        return None
    return {"keypoints": outputs[0].name}


def _number(side: int | str) -> int:
    return side if isinstance(side, int) else 0


_FITS: Mapping[Layout, Callable[[Sequence[TensorSpec], Picture], dict[str, str] | None]] = {
    "movenet-single-heads": _heads,
    "simcc": _simcc,
    "keypoints": _keypoints,
    "heatmap": _heatmap,
}
