"""A store gives back what was put in, says what is wrong with it, and how to get what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from triton_models.errors import ModelFormatError, ModelNotFoundError, StoreError, WeightsError
from triton_models.weights.manifest import SCHEMA, Crop, Manifest, TensorSpec
from triton_models.weights.store import Store, digest

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = b"not really a model"
MANIFEST = Manifest(
    name="mine",
    layout="simcc",
    skeleton="coco17",
    sha256=digest(MODEL),
    licence="MIT",
    attribution="me",
    source={"file": "mine.onnx"},
    converter="",
    inputs=(TensorSpec("input", "float32", ("n", 3, 256, 192)),),
    outputs=(TensorSpec("x", "float32", ("n", 17, 384)),),
    roles={"x": "x"},
    crop=Crop(192, 256, axes="NCHW", mean=(1.0, 2.0, 3.0), shift_px=0.5),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "models")
    store.install(MANIFEST, MODEL)
    return store


def test_what_was_installed_comes_back(store: Store) -> None:
    assert store.names() == ("mine",)
    assert store.verify("mine") == MANIFEST
    assert store.path("mine").read_bytes() == MODEL
    assert sorted(path.name for path in store.path("mine").parent.iterdir()) == [
        "manifest.json",
        "model.onnx",
    ]


def test_one_that_is_there_is_replaced(store: Store) -> None:
    other = replace(MANIFEST, sha256=digest(b"other"))
    store.install(other, b"other")
    assert store.verify("mine") == other


def test_a_changed_model_is_found(store: Store) -> None:
    store.path("mine").write_bytes(MODEL + b"!")
    with pytest.raises(WeightsError, match="changed or damaged") as caught:
        store.verify("mine")
    assert caught.value.ids == {"model": "mine"}


def test_a_model_without_its_file_is_found(store: Store) -> None:
    store.path("mine").unlink()
    with pytest.raises(WeightsError, match="is gone"):
        store.verify("mine")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"schema": "x"}'])
def test_a_damaged_manifest_says_how_to_repair_it(store: Store, content: bytes) -> None:
    store.path("mine").with_name("manifest.json").write_bytes(content)
    with pytest.raises(WeightsError, match="tipoff models add FILE --name mine"):
        store.manifest("mine")


def test_a_manifest_of_a_later_version_is_refused(store: Store) -> None:
    store.install(replace(MANIFEST, schema=SCHEMA + 1), MODEL)
    with pytest.raises(WeightsError, match="update Tipoff"):
        store.manifest("mine")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("movenet-thunder", "tipoff models pull movenet-thunder"),
        ("yours", "tipoff models add FILE"),
    ],
)
def test_an_absent_model_names_the_command_that_gets_it(
    store: Store, name: str, command: str
) -> None:
    with pytest.raises(ModelNotFoundError, match=command):
        store.manifest(name)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", "Ünter", "UPPER", "x" * 65, ".hidden"])
def test_no_name_leads_out_of_the_store(store: Store, name: str) -> None:
    for use in (store.path, store.manifest, store.verify):
        call: Callable[[str], object] = use
        with pytest.raises(ModelFormatError, match="cannot name a model"):
            call(name)


def test_scratch_is_gone_afterwards_and_is_no_model(store: Store) -> None:
    with store.writing() as scratch:
        (scratch / "manifest.json").write_text("{}")
        assert store.names() == ("mine",)
    assert not scratch.exists()


def test_a_removed_model_is_gone(store: Store) -> None:
    store.remove("mine")
    assert store.names() == ()
    with pytest.raises(ModelNotFoundError):
        store.remove("mine")


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(StoreError, match="cannot be written: Not a directory"),
        Store(tmp_path / "file" / "models").writing(),
    ):
        raise AssertionError("nothing to write to")
