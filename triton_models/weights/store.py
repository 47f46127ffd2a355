"""The weights store: one folder a model, `model.onnx` and `manifest.json`.

Files appear in it whole or not at all: each is written beside its place and moved there. Whoever
writes holds the store's lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from triton_models.errors import ModelFormatError, ModelNotFoundError, StoreError, WeightsError
from triton_models.paths import weights_dir
from triton_models.weights.catalog import CATALOG
from triton_models.weights.manifest import Manifest

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def check_name(name: str) -> str:
    """Return `name` if it may name a model.

    Raises:
        ModelFormatError: it may not; the message says what may.
    """
    if not _NAME.fullmatch(name):
        raise ModelFormatError(
            f"{name!r} cannot name a model: use up to 64 lower-case letters, digits, '.', '_' "
            "and '-', the first a letter or digit",
            model=name,
        )
    return name


def digest(content: bytes) -> str:
    """The sha256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Store:
    """The models on this machine."""

    root: Path = field(default_factory=weights_dir)
    """Folder that holds one folder for each model."""

    def names(self) -> tuple[str, ...]:
        """Names of the models that are there, sorted."""
        folders = {path.parent.name for path in self.root.glob("*/manifest.json")}
        return tuple(sorted(name for name in folders if _NAME.fullmatch(name)))

    def path(self, name: str) -> Path:
        """Where the ONNX file of `name` lies, or would."""
        return self.root / check_name(name) / "model.onnx"

    def manifest(self, name: str) -> Manifest:
        """The manifest of a model.

        Raises:
            ModelNotFoundError: it is not in the store; the message names the command that gets it.
            WeightsError: its manifest is damaged.
        """
        path = self.path(name).with_name("manifest.json")
        if not path.is_file():
            raise ModelNotFoundError(self._how_to_get(name), model=name)
        try:
            return Manifest.from_json(path.read_text("utf-8"))
        except (WeightsError, UnicodeDecodeError, OSError) as error:
            raise WeightsError(f"{path}: {error}. {_repair(name)}", model=name) from error

    def verify(self, name: str) -> Manifest:
        """The manifest of a model whose file was read whole and has the digest that it should.

        Raises:
            ModelNotFoundError: it is not in the store.
            WeightsError: the file is gone or differs.
        """
        manifest = self.manifest(name)
        path = self.path(name)
        if not path.is_file():
            raise WeightsError(f"{path} is gone. {_repair(name)}", model=name)
        found = digest_of(path)
        if found != manifest.sha256:
            raise WeightsError(
                f"{path} has sha256 {found}, its manifest says {manifest.sha256}: the file was "
                f"changed or damaged. {_repair(name)}",
                model=name,
            )
        return manifest

    def install(self, manifest: Manifest, model: bytes) -> None:
        """Put a model in its place, over one of the same name."""
        folder = self.path(manifest.name).parent
        folder.mkdir(parents=True, exist_ok=True)
        _write_whole(folder / "model.onnx", model)
        _write_whole(folder / "manifest.json", manifest.to_json().encode())

    def remove(self, name: str) -> None:
        """Take a model out, whatever state it is in.

        Raises:
            ModelNotFoundError: it is not in the store.
            StoreError: its folder cannot be removed.
        """
        if name not in self.names():
            raise ModelNotFoundError(self._how_to_get(name), model=name)
        with self.writing():
            shutil.rmtree(self.path(name).parent)

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Hold the store's lock; gives a scratch folder on the same disk, gone afterwards.

        Raises:
            StoreError: something in its context could not be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                with TemporaryDirectory(prefix=".incoming-", dir=self.root) as scratch:
                    yield Path(scratch)
        except OSError as error:
            raise StoreError(
                f"the weights store {self.root} cannot be written: {error.strerror}. Make room, or "
                "set XDG_CACHE_HOME to a folder that can be written"
            ) from error

    def _how_to_get(self, name: str) -> str:
        if name in CATALOG:
            return f"{name} has not been pulled: run `tipoff models pull {name}`"
        there = ", ".join(self.names()) or "none"
        return (
            f"there is no model {name!r} in {self.root} (there: {there}): add your own with "
            f"`tipoff models add FILE --skeleton coco17 --name {name}`"
        )


def _repair(name: str) -> str:
    if name in CATALOG:
        return f"Run `tipoff models pull {name}` to get it again."
    return f"Add it again with `tipoff models add FILE --name {name} --replace`."


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_suffix(path.suffix + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
