"""`tipoff models` as a user types it: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import onnx
import pytest

from tests.support import onnx_models
from tests.support.cli import run_tipoff
from tests.support.weights import pulled_store

Tipoff = Callable[..., CompletedProcess[str]]


@pytest.fixture
def tipoff(tmp_path: Path) -> Tipoff:
    """The command with a cache of its own, in which MoveNet has been pulled."""
    folder = tmp_path / "cache" / "tipoff"
    shutil.copytree(pulled_store().root, folder / "models")
    for name in pulled_store().names():
        if not name.startswith("movenet-"):
            shutil.rmtree(folder / "models" / name)
    return lambda *arguments: run_tipoff(
        "models", *arguments, env={"XDG_CACHE_HOME": str(tmp_path / "cache")}
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "spot.onnx"
    onnx.save(onnx_models.simcc(onnx_models.Shape()), path)
    return path


def test_a_model_is_added_listed_verified_and_removed(tipoff: Tipoff, model: Path) -> None:
    added = tipoff("add", model, "--skeleton", "coco17", "--licence", "MIT")
    assert added.returncode == 0, added.stderr
    assert added.stdout.splitlines()[0].startswith("spot  ")
    assert "simcc, crops of 48x64 px; tried out" in added.stdout
    assert "assumed: pixels are normalised as `--normalise imagenet`" in added.stdout
    listed = tipoff("ls")
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == [
        "movenet-lightning",
        "movenet-multipose",
        "movenet-thunder",
        "spot",
    ]
    assert tipoff("verify").stdout.count("whole") == 4
    assert tipoff("rm", "spot").returncode == 0
    assert "spot" not in tipoff("ls").stdout


def test_what_is_added_is_told_to_a_program(tipoff: Tipoff, model: Path) -> None:
    done = tipoff(
        *("add", model, "--skeleton", "coco17", "--name", "mine", "--normalise", "unit", "--json"),
        *("--mean", "1,2,3", "--channels", "BGR", "--input-size", "48x64"),
    )
    row = json.loads(done.stdout)
    assert (row["name"], row["layout"], row["probed"], row["assumed"]) == (
        "mine",
        "simcc",
        True,
        [],
    )
    assert row["crop"]["mean"] == [1.0, 2.0, 3.0]
    assert row["crop"]["channels"] == "BGR"
    listed = json.loads(tipoff("ls", "--json").stdout)
    assert [each["name"] for each in listed][:2] == ["mine", "movenet-lightning"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("add", "FILE"), 2, "--skeleton"),
        (("add", "FILE", "--skeleton", "body25"), 2, "'body25' is not known"),
        (("add", "absent.onnx", "--skeleton", "coco17"), 2, "cannot be read"),
        (("add", "FILE", "--skeleton", "coco17", "--mean", "1,2"), 2, "not three numbers"),
        (("add", "FILE", "--skeleton", "coco17", "--input-size", "big"), 2, "not a size"),
        (("add", "FILE", "--skeleton", "coco17", "--name", "movenet-thunder"), 2, "published"),
        (("pull", "movenet-pro"), 3, "not among the models that can be pulled"),
        (("verify", "absent"), 3, "there is no model 'absent'"),
        (("rm", "absent"), 3, "there is no model 'absent'"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_an_exit_code(
    tipoff: Tipoff, model: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = tipoff(*(str(model) if each == "FILE" else each for each in arguments))
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_damaged_model_hides_no_other(tipoff: Tipoff, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "tipoff" / "models"
    (folder / "movenet-lightning" / "manifest.json").write_text("{")
    with (folder / "movenet-thunder" / "model.onnx").open("ab") as file:
        file.write(b"!")
    listed = tipoff("ls")
    assert listed.returncode == 0
    assert "movenet-lightning  damaged" in listed.stdout
    assert "movenet-thunder" in listed.stdout
    verified = tipoff("verify")
    assert verified.returncode == 1
    assert verified.stdout.split()[0] == "movenet-multipose"
    assert "movenet-lightning/manifest.json: the manifest is damaged" in verified.stderr
    assert "movenet-thunder/model.onnx has sha256" in verified.stderr
    rows = json.loads(tipoff("verify", "--json").stdout)
    assert [row["name"] for row in rows if "error" in row] == [
        "movenet-lightning",
        "movenet-thunder",
    ]


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    for command in ("ls", "verify"):
        done = run_tipoff("models", command, env={"XDG_CACHE_HOME": str(tmp_path)})
        assert done.returncode == 0
        assert "tipoff models pull" in done.stdout
