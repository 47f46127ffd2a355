"""The configuration: every choice composes, presets have one source, nonsense is refused."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from bench.app import CONF
from bench.config import BenchConfig, suite_names
from bench.sim import PRESETS
from tipoff.errors import InvalidInputError


def composed(*overrides: str) -> BenchConfig:
    with initialize_config_dir(CONF, version_base="1.3"):
        found = OmegaConf.to_object(compose("config", overrides=list(overrides)))
    assert isinstance(found, BenchConfig)
    return found


@pytest.mark.parametrize("suite", suite_names())
def test_every_suite_composes_and_knows_its_name(suite: str) -> None:
    assert composed(f"suite={suite}").suite.name == suite


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_workload_is_the_preset_of_that_name(name: str) -> None:
    config = composed(f"workload={name}", "rig=court8")
    arena, expected = config.workload.arena(config.rig), PRESETS[name]
    assert asdict(arena.observation) == asdict(expected.observation)
    assert asdict(arena.ring) == asdict(expected.ring)
    assert (arena.people, arena.fps) == (expected.people, expected.fps)


@pytest.mark.parametrize(
    ("rig", "cameras"),
    [("court4", [4]), ("court8", [8]), ("court14", [14]), ("courts", [4, 8, 14])],
)
def test_rigs_say_how_many_cameras(rig: str, cameras: list[int]) -> None:
    assert composed("suite=core", f"rig={rig}").rig.cameras == cameras


def test_any_value_can_be_overridden() -> None:
    config = composed("suite=core", "workload.observation.sigma_px=3", "workload.people=[2,26]")
    assert config.workload.observation.sigma_px == 3.0
    assert config.workload.people == [2, 26]


@pytest.mark.parametrize(
    "override",
    ["suite=nothing", "rig=nothing", "suite.frames=many", "suite.no_such_option=1"],
)
def test_what_does_not_fit_is_refused_by_hydra(override: str) -> None:
    with pytest.raises(HydraException):
        composed(override)


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("suite.frames=60", "suite.frames"),
        ("suite.repetitions=0", "suite.repetitions"),
        ("rig.cameras=[1]", "rig.cameras"),
        ("rig.cameras=[]", "rig.cameras"),
        ("workload.people=[0]", "workload.people"),
        ("workload.fps=nan", "workload.fps"),
        ("workload.observation.joint_miss=1.5", "workload.observation.joint_miss"),
        ("workload.observation.sigma_px=-1", "workload.observation.sigma_px"),
        ("seed=-1", "seed"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(override: str, field: str) -> None:
    with pytest.raises(InvalidInputError, match=field):
        composed("suite=core", override)
