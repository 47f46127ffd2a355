"""The repositories of both profiles are what Triton can read, before any server reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tipoff.errors import InvalidInputError
from triton_models.canary import is_known
from triton_models.errors import ModelNotFoundError
from triton_models.repository import (
    HERE,
    PROFILES,
    ModelSpec,
    RepositoryOptions,
    build_repository,
    render_config,
)

EVERY = [(profile, spec) for profile, specs in PROFILES.items() for spec in specs]
IDS = [f"{profile}-{spec.name}" for profile, spec in EVERY]
HEAD_DEPTHS = {"heat": 17, "center": 1, "regress": 34, "offset": 34, "scale": 2, "boxoff": 2}


def parse(profile: str, spec: ModelSpec, **options: Any) -> Any:
    """Read a configuration as Triton does: an unknown field or a wrong type is an error."""
    text = render_config(spec, RepositoryOptions(profile=profile, **options))
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize(("profile", "spec"), EVERY, ids=IDS)
def test_every_configuration_is_one(profile: str, spec: ModelSpec) -> None:
    config = parse(profile, spec)
    assert config.name == spec.name
    assert config.input
    assert config.output
    kinds = {"python": "python", "dali": "dali", "onnx": "onnxruntime", "ensemble": ""}
    assert config.backend == kinds[spec.kind]
    assert (config.platform == "ensemble") == (spec.kind == "ensemble")
    assert not re.search(r"\$\{?\w", text_format.MessageToString(config)), "a placeholder is left"


@pytest.mark.parametrize(("profile", "spec"), EVERY, ids=IDS)
def test_no_queue_policy_that_stalls(profile: str, spec: ModelSpec) -> None:
    batching = parse(profile, spec).dynamic_batching
    assert text_format.MessageToString(batching) == "", "priorities and policies stall the queue"


@pytest.mark.parametrize(("profile", "spec"), EVERY, ids=IDS)
def test_instances_are_where_the_profile_has_them(profile: str, spec: ModelSpec) -> None:
    config = parse(profile, spec)
    kinds = {group.kind for group in config.instance_group}
    group = model_config_pb2.ModelInstanceGroup
    if spec.kind == "ensemble":
        assert kinds == set()
    elif spec.kind in {"dali", "onnx"}:
        assert kinds == {group.KIND_GPU}
    else:
        assert kinds == {group.KIND_CPU}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_steps_of_the_ensemble_fit_each_other(profile: str) -> None:
    specs = {spec.name: spec for spec in PROFILES[profile]}
    ensemble = parse(profile, specs["people_jpeg"])
    known = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        model = parse(profile, specs[step.model_name])
        assert list(specs).index(step.model_name) < list(specs).index("people_jpeg")
        inputs = {tensor.name: tensor for tensor in model.input}
        assert set(step.input_map) == set(inputs)
        for name, source in step.input_map.items():
            assert fits(known[source], inputs[name], model.max_batch_size), (step.model_name, name)
        outputs = {tensor.name: tensor for tensor in model.output}
        for name, target in step.output_map.items():
            known[target] = (outputs[name].data_type, full_dims(outputs[name], model))
    for tensor in ensemble.output:
        assert known[tensor.name] == (tensor.data_type, list(tensor.dims))


def full_dims(tensor: Any, model: Any) -> list[int]:
    """Return a tensor's shape with the batch axis that a batching model has."""
    return [-1, *tensor.dims] if model.max_batch_size else list(tensor.dims)


def fits(source: tuple[int, list[int]], tensor: Any, max_batch: int) -> bool:
    """Tell whether what a step gives can be what the next one takes."""
    wanted = [-1, *tensor.dims] if max_batch else list(tensor.dims)
    same_type = source[0] == tensor.data_type
    same_axes = len(source[1]) == len(wanted)
    return (
        same_type
        and same_axes
        and all(-1 in {a, b} or a == b for a, b in zip(source[1], wanted, strict=True))
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_what_a_user_calls_is_the_same_in_both_profiles(profile: str) -> None:
    specs = {spec.name: spec for spec in PROFILES[profile]}
    for name in ("people_jpeg", "people_frame", "pose_crops"):
        mine, cpu = parse(profile, specs[name]), parse("cpu", specs[name])
        assert list(mine.input) == list(cpu.input)
        assert list(mine.output) == list(cpu.output)


def test_the_gpu_profile_decodes_on_the_gpu() -> None:
    specs = {spec.name: spec for spec in PROFILES["gpu"]}
    video = parse("gpu", specs["video_letterbox"])
    assert video.model_transaction_policy.decoupled
    assert video.max_batch_size == 0
    for name in ("people_heads", "lightning_heads", "thunder_heads"):
        heads = parse("gpu", specs[name], max_batch=8)
        (accelerator,) = heads.optimization.execution_accelerators.gpu_execution_accelerator
        assert accelerator.name == "tensorrt"
        assert heads.max_batch_size == 8
        assert all(output.dims[-1] == HEAD_DEPTHS[output.name] for output in heads.output)


def fill_store(store: Path) -> None:
    """Write a weights store whose models nobody opens."""
    for name in ("movenet-multipose", "movenet-lightning", "movenet-thunder"):
        (store / name).mkdir(parents=True)
        (store / name / "model.onnx").write_bytes(b"weights")
        manifest: dict[str, Any] = {
            "name": name, "layout": "movenet-single-heads", "skeleton": "coco17",
            "sha256": "0", "licence": "", "attribution": "", "source": {}, "converter": "",
            "inputs": [], "outputs": [], "crop": None, "schema": 1,
        }  # fmt: skip
        (store / name / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_repository_is_whole_and_can_be_built_again(tmp_path: Path, profile: str) -> None:
    fill_store(tmp_path / "store")
    options = RepositoryOptions(profile=profile, weights=tmp_path / "store")
    build_repository(tmp_path, options)
    (tmp_path / "repository" / "left_over").mkdir()
    names = build_repository(tmp_path, options)
    assert {path.name for path in (tmp_path / "repository").iterdir()} == set(names)
    files = {"python": "model.py", "dali": "dali.py", "onnx": "model.onnx"}
    for spec in PROFILES[profile]:
        version = tmp_path / "repository" / spec.name / "1"
        expected = {files[spec.kind]} if spec.kind in files else set()
        assert {path.name for path in version.iterdir()} == expected
        for file in version.glob("*.py"):
            compile(file.read_text(), str(file), "exec")
    code = tmp_path / "code"
    assert {path.name for path in code.iterdir()} == {"accel", "tipoff", "triton_models"}
    assert (code / "triton_models" / "people_frame" / "model.py").is_file()
    assert all(path.is_symlink() == (profile == "cpu") for path in code.iterdir())
    links = [path for path in tmp_path.rglob("*") if path.is_symlink()]
    assert bool(links) == (profile == "cpu"), "the gpu profile can be carried elsewhere whole"


def test_every_model_of_the_cpu_profile_has_a_canary() -> None:
    assert all(is_known(spec.name) for spec in PROFILES["cpu"])


@pytest.mark.parametrize(("profile", "spec"), EVERY, ids=IDS)
def test_every_model_says_what_it_is(profile: str, spec: ModelSpec) -> None:
    assert profile in PROFILES
    card = (spec.folder / "MODEL_CARD.md").read_text()
    manifest = json.loads((spec.folder / "manifest.json").read_text())
    assert card.startswith(f"# {spec.folder.name}\n")
    assert manifest["name"] == spec.folder.name
    assert manifest["licence"]
    assert spec.folder.parent == HERE


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"profile": "tpu"}, "there is no profile 'tpu'"),
        ({"jpeg_width": 100}, "jpeg_width is 100 px"),
        ({"frame_height": 4096}, "frame_height is 4096 px"),
        ({"threads": 0}, "must each be at least 1"),
        ({"threshold": 1.0}, "the threshold is 1.0"),
    ],
)
def test_an_option_that_no_model_can_be_built_with(
    tmp_path: Path, wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInputError, match=told):
        build_repository(tmp_path, RepositoryOptions(**wrong))


def test_weights_are_asked_for_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"movenet-multipose, .*tipoff models pull"):
        build_repository(tmp_path / "run", RepositoryOptions(weights=tmp_path / "weights"))
    assert not (tmp_path / "run").exists()
