"""Building a model repository for a profile: what Triton serves from, and what it imports.

    FOLDER/repository/<model>/config.pbtxt     the template of the model, filled in
    FOLDER/repository/<model>/1/model.py       three lines that import the model from the package
    FOLDER/code/                               links to accel, tipoff and triton_models
    FOLDER/weights/                            copies of the weights, in the gpu profile only

The models' own Python sees these three packages only, never the application's: there is NumPy 2,
with which the server's stub answers nothing.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import Literal

from tipoff.errors import InvalidInputError
from triton_models.errors import ModelNotFoundError
from triton_models.paths import cache_dir, weights_dir
from triton_models.runs import REPOSITORY
from triton_models.weights.store import Store

Kind = Literal["python", "dali", "onnx", "ensemble"]

HERE = Path(__file__).parent
CODE = "code"
WEIGHTS = "weights"
PACKAGES = ("accel", "tipoff", "triton_models")
STRIDE_PX = 32
"""Sides of a MoveNet input are multiples of this."""
MAX_SIDE_PX = 2048
"""Longest side of a MoveNet input: more takes minutes on a CPU."""


@dataclass(frozen=True, slots=True)
class RepositoryOptions:
    """Which models, for which machine."""

    profile: str = "cpu"
    """``cpu`` or ``gpu``."""
    weights: Path | None = None
    """The weights store; None is the user's."""
    frame_instances: int = 2
    """Processes that serve people_frame."""
    pose_instances: int = 2
    """Processes that serve pose_crops."""
    heads_instances: int = 1
    """Processes that serve the heads of people_jpeg, on the CPU."""
    threads: int = 1
    """Threads of each of these processes."""
    frame_width: int = 512
    """Input width of people_frame where the request names none."""
    frame_height: int = 288
    """Input height of people_frame where the request names none."""
    jpeg_width: int = 640
    """Input width of people_jpeg."""
    jpeg_height: int = 384
    """Input height of people_jpeg."""
    threshold: float = 0.15
    """Least score of a person where the request names none."""
    pose_model: str = "lightning"
    """What pose_crops uses where the request names none."""
    max_pixels: int = 50_000_000
    """Largest JPEG that is decoded."""
    max_batch: int = 16
    """Largest batch of a model on the GPU."""
    heads_by: str | None = None
    """Who runs the heads: ``onnxruntime`` inside the model (cpu) or ``triton``, by models of their
    own (gpu); None is the profile's."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model of a profile."""

    name: str
    """Its name in the server."""
    kind: Kind
    """What its version folder holds."""
    template: str = ""
    """The folder of its template, by default its name."""
    weights: str = ""
    """The model of the weights store that it serves, for kind ``onnx``."""

    @property
    def folder(self) -> Path:
        """The folder of its template."""
        return HERE / (self.template or self.name)


PROFILES: dict[str, tuple[ModelSpec, ...]] = {
    "cpu": (
        ModelSpec("jpeg_letterbox", "python"),
        ModelSpec("people_heads", "python"),
        ModelSpec("people_decode", "python"),
        ModelSpec("people_jpeg", "ensemble"),
        ModelSpec("people_frame", "python"),
        ModelSpec("pose_crops", "python"),
    ),
    "gpu": (
        ModelSpec("jpeg_check", "python"),
        ModelSpec("jpeg_letterbox", "dali"),
        ModelSpec("people_heads", "onnx", weights="movenet-multipose"),
        ModelSpec("people_decode", "python"),
        ModelSpec("people_jpeg", "ensemble"),
        ModelSpec("lightning_heads", "onnx", "pose_heads", "movenet-lightning"),
        ModelSpec("thunder_heads", "onnx", "pose_heads", "movenet-thunder"),
        ModelSpec("people_frame", "python"),
        ModelSpec("pose_crops", "python"),
        ModelSpec("video_letterbox", "dali"),
    ),
}
"""The models of each profile, those inside an ensemble before it."""

REQUIRED_WEIGHTS = ("movenet-multipose", "movenet-lightning", "movenet-thunder")


def build_repository(folder: Path, options: RepositoryOptions) -> tuple[str, ...]:
    """Write a repository and the code beside it, over what was there.

    Args:
        folder: Where; ``repository`` and ``code`` in it are replaced.
        options: Which models, for which machine.

    Returns:
        The names of the models.

    Raises:
        InvalidInputError: an option that no model can be built with.
        ModelNotFoundError: weights were never pulled.
    """
    store = require_weights(options)
    _link_code(folder / CODE, copy=options.profile == "gpu")
    if options.profile == "gpu":
        _copy_weights(folder / WEIGHTS, store)
    repository = folder / REPOSITORY
    shutil.rmtree(repository, ignore_errors=True)
    for spec in PROFILES[options.profile]:
        _write_model(repository / spec.name, spec, options, store)
    return tuple(spec.name for spec in PROFILES[options.profile])


def require_weights(options: RepositoryOptions) -> Store:
    """Refuse options that no repository can be built with; return the weights store.

    Raises:
        InvalidInputError: an option that no model can be built with.
        ModelNotFoundError: weights were never pulled.
    """
    _check(options)
    store = Store(options.weights or weights_dir())
    missing = [name for name in REQUIRED_WEIGHTS if name not in store.names()]
    if missing:
        raise ModelNotFoundError(
            f"{', '.join(missing)} not in {store.root}: run `tipoff models pull`", models=missing
        )
    return store


def render_config(spec: ModelSpec, options: RepositoryOptions) -> str:
    """Return a model's ``config.pbtxt`` with every placeholder filled in."""
    template = spec.folder / f"config.{options.profile}.pbtxt"
    if not template.is_file():
        template = spec.folder / "config.pbtxt"
    heads_by = "triton" if options.profile == "gpu" else "onnxruntime"
    values = asdict(options) | {
        "name": spec.name,
        "weights": WEIGHTS if options.profile == "gpu" else options.weights or weights_dir(),
        "heads_by": options.heads_by or heads_by,
        "engine_cache": cache_dir() / "triton" / "engines",
    }
    return Template(template.read_text()).substitute(values)


def _write_model(folder: Path, spec: ModelSpec, options: RepositoryOptions, store: Store) -> None:
    version = folder / "1"
    version.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(render_config(spec, options))
    if spec.kind == "python":
        (version / "model.py").write_text(_MODEL.format(model=spec.name))
    elif spec.kind == "dali":
        (version / "dali.py").write_text(_dali(spec, options))
    elif spec.kind == "onnx":
        shutil.copyfile(store.path(spec.weights), version / "model.onnx")


_MODEL = '''\
"""Written by the repository builder: the model itself is triton_models/{model}/model.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "code"))

from triton_models.{model}.model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''

_DALI = '''\
"""Written by the repository builder: the graph itself is in triton_models/graphs.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "code"))

from nvidia.dali import pipeline_def
from nvidia.dali.plugin.triton import autoserialize

from triton_models.graphs import Frame, {kind}_outputs


@autoserialize
@pipeline_def(batch_size={batch}, num_threads=4, device_id=0)
def pipeline():
    return {kind}_outputs("gpu", Frame({width}, {height}))
'''


def _dali(spec: ModelSpec, options: RepositoryOptions) -> str:
    kind = spec.name.partition("_")[0]
    batch = options.max_batch if kind == "jpeg" else 1
    return _DALI.format(
        kind=kind, width=options.jpeg_width, height=options.jpeg_height, batch=batch
    )


def _copy_weights(folder: Path, store: Store) -> None:
    """Put the weights beside the repository, so that it can be carried elsewhere whole."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in REQUIRED_WEIGHTS:
        shutil.copytree(store.path(name).parent, folder / name)


def _link_code(folder: Path, *, copy: bool) -> None:
    """Put the packages that the models import beside the repository.

    Links on this machine, so that they are what the application uses; copies for the gpu profile,
    whose repository is carried elsewhere.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in PACKAGES:
        source = _package_folder(name)
        if copy:
            ignored = shutil.ignore_patterns("__pycache__", "*.cpp", "*.hpp", "*.pyx", "bindings")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            (folder / name).symlink_to(source, target_is_directory=True)


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None, name
    assert spec.origin is not None, name
    return Path(spec.origin).resolve().parent


def _check(options: RepositoryOptions) -> None:
    if options.profile not in PROFILES:
        raise InvalidInputError(
            f"there is no profile {options.profile!r}: use {' or '.join(PROFILES)}"
        )
    sides = {
        "frame_width": options.frame_width,
        "frame_height": options.frame_height,
        "jpeg_width": options.jpeg_width,
        "jpeg_height": options.jpeg_height,
    }
    for name, side in sides.items():
        if side % STRIDE_PX or not 0 < side <= MAX_SIDE_PX:
            raise InvalidInputError(
                f"{name} is {side} px: a multiple of {STRIDE_PX} up to {MAX_SIDE_PX} is needed"
            )
    counts = (options.frame_instances, options.pose_instances, options.heads_instances)
    if min(*counts, options.threads, options.max_batch, options.max_pixels) < 1:
        raise InvalidInputError("instances, threads, batch and pixels must each be at least 1")
    if not 0.0 < options.threshold < 1.0:
        raise InvalidInputError(f"the threshold is {options.threshold}, not between 0 and 1")
