"""Trying a model out before it is added: what its outputs really are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triton_models.errors import ModelFormatError
from triton_models.weights.layouts import Picture
from triton_models.weights.manifest import TensorSpec

PROBED = 2
"""Pictures in a batch that shows whether the number of pictures is really free."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What was seen of a model."""

    input: TensorSpec
    """Its input; the first axis is a number where it takes so many pictures and no other number."""
    outputs: tuple[TensorSpec, ...]
    """Its outputs, every other axis a number."""
    values: dict[str, NDArray[Any]]
    """What it gave for noise."""


def available() -> bool:
    """Whether onnxruntime is there to try a model out."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


def probe(path: Path, spec: TensorSpec, image: Picture) -> Probed:
    """Run a model on a picture of noise.

    Args:
        path: the ONNX file.
        spec: its input.
        image: axes and size of that.

    Raises:
        ModelFormatError: it cannot be run, gives numbers that are not finite, or gives another
            number of results than it got pictures.
    """
    run = _runner(path, spec, image)
    fixed = spec.shape[0] if isinstance(spec.shape[0], int) and spec.shape[0] > 0 else None
    count = fixed or 1
    outputs = run(count)
    _check(outputs, count)
    if fixed is None and not _takes_more(run):
        fixed = 1
    first: int | str = fixed or "n"
    specs = [
        TensorSpec(name, values.dtype.name, (first, *values.shape[1:]))
        for name, values in outputs.items()
    ]
    return Probed(replace(spec, shape=(first, *_axes(image))), tuple(specs), outputs)


def _runner(path: Path, spec: TensorSpec, image: Picture) -> Any:
    import onnxruntime  # optional, and slow to import

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (PROBED, *_axes(image)))
    # Its own warnings about a stranger's model are of no use to the person who adds it.
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    except Exception as error:
        raise ModelFormatError(f"onnxruntime cannot load it: {_short(error)}") from error
    names = [output.name for output in session.get_outputs()]

    def run(count: int) -> dict[str, NDArray[Any]]:
        batch = np.resize(noise, (count, *noise.shape[1:])).astype(spec.dtype)
        try:
            values = session.run(names, {spec.name: batch})
        except Exception as error:
            raise ModelFormatError(
                f"onnxruntime cannot run it on a picture of {image.width_px}x{image.height_px} "
                f"px: {_short(error)}"
            ) from error
        return dict(zip(names, values, strict=True))

    return run


def _takes_more(run: Any) -> bool:
    try:
        outputs = run(PROBED)
        _check(outputs, PROBED)
    except ModelFormatError:
        return False
    return True


def _check(outputs: dict[str, NDArray[Any]], count: int) -> None:
    for name, values in outputs.items():
        if not isinstance(values, np.ndarray) or values.ndim == 0 or values.shape[0] != count:
            shape = getattr(values, "shape", type(values).__name__)
            raise ModelFormatError(
                f"the output {name} is {shape} for {count} pictures: its first axis must count them"
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ModelFormatError(f"the output {name} holds numbers that are not finite")


def _axes(image: Picture) -> tuple[int, int, int]:
    size = (image.height_px, image.width_px)
    return (3, *size) if image.axes == "NCHW" else (*size, 3)


def _short(error: Exception) -> str:
    """The first line of what onnxruntime says, without its codes."""
    return str(error).strip().split("\n")[0].split(" : ")[-1][:300]
