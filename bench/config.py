"""What a run of the benches is told: structured, so that Hydra refuses what does not fit."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from bench.sim import PRESETS, ArenaOptions, ObservationOptions, RingOptions
from tipoff.errors import InvalidInputError

_RING = RingOptions()
PEERS = ("opencv", "aniposelib", "pose2sim")
"""Who is measured beside the tracker; the first one's time is the yardstick."""


@dataclass
class SuiteConfig:
    """What every suite's config has; a suite derives its own."""

    name: str = MISSING
    """The suite's module in bench/suites."""


@dataclass
class RigConfig:
    """Group `rig`: the cameras of the simulated court."""

    name: str = "courts"
    """For the table and the run folder."""
    cameras: list[int] = field(default_factory=lambda: [4, 8, 14])
    """How many cameras; each number is a row of the table."""
    semi_axes_m: list[float] = field(default_factory=lambda: list(_RING.semi_axes_m))
    """Half axes of the ring."""
    height_m: list[float] = field(default_factory=lambda: list(_RING.height_m))
    """Lowest and highest camera."""
    focal_px: float = _RING.focal_px
    """Mean focal length."""
    size_px: list[int] = field(default_factory=lambda: list(_RING.size_px))
    """Width and height of the images."""
    distortion: float = _RING.distortion
    """Scale of the Brown coefficients."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        at_least("the number of rig.cameras", len(self.cameras), 1)
        for cameras in self.cameras:
            within("rig.cameras", cameras, 2, 64)
        for axis in self.semi_axes_m:
            within("rig.semi_axes_m", axis, 9.0, 500.0)
        within("rig.focal_px", self.focal_px, 100.0, 20_000.0)


_SHARES = ("joint_miss", "person_miss", "snap", "drop", "flip")


def _check_observation(self: object) -> None:
    """Refuse probabilities that are none, and negative amounts."""
    for f in fields(ObservationOptions):
        most = 1.0 if f.name in _SHARES else 1000.0
        within(f"workload.observation.{f.name}", getattr(self, f.name), 0.0, most)


ObservationConfig: Any = make_dataclass(
    "ObservationConfig",
    [(f.name, float, field(default=f.default)) for f in fields(ObservationOptions)],
    namespace={
        "__doc__": "`bench.sim.ObservationOptions`, open to overrides.",
        "__post_init__": _check_observation,
    },
)


@dataclass
class WorkloadConfig:
    """Group `workload`: the people, and how wrongly they are detected."""

    name: str = "standard"
    """For the table and the run folder."""
    people: list[int] = field(default_factory=lambda: [13])
    """How many people; each number is a row of the table."""
    fps: float = 60.0
    """Frame-sets a second."""
    tempo: float = 1.0
    """How fast the game is played."""
    offset_ms: float = 0.0
    """Cameras are out of step by up to this much."""
    readout_ms: float = 0.0
    """Rolling shutter, first row to last."""
    observation: Any = field(default_factory=ObservationConfig)
    """Noise, misses, false skeletons, snaps, flips."""

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        at_least("the number of workload.people", len(self.people), 1)
        for people in self.people:
            within("workload.people", people, 1, 64)
        within("workload.fps", self.fps, 1.0, 1000.0)
        within("workload.tempo", self.tempo, 0.0, 10.0)
        within("workload.offset_ms", self.offset_ms, 0.0, 100.0)
        within("workload.readout_ms", self.readout_ms, 0.0, 50.0)

    def arena(self, rig: RigConfig) -> ArenaOptions:
        """The arena of this workload and rig, with the first number of cameras and people."""
        ring = RingOptions(
            cameras=rig.cameras[0],
            semi_axes_m=(rig.semi_axes_m[0], rig.semi_axes_m[1]),
            height_m=(rig.height_m[0], rig.height_m[1]),
            focal_px=rig.focal_px,
            size_px=(rig.size_px[0], rig.size_px[1]),
            distortion=rig.distortion,
            offset_ms=self.offset_ms,
            readout_ms=self.readout_ms,
        )
        observation = ObservationOptions(**asdict(self.observation))
        return ArenaOptions(
            people=self.people[0],
            fps=self.fps,
            tempo=self.tempo,
            ring=ring,
            observation=observation,
        )


@dataclass
class PeerConfig:
    """Group `peer`: who is measured beside Tipoff."""

    name: str = "all"
    """For the table and the run folder."""
    modules: list[str] = field(default_factory=lambda: list(PEERS))
    """Modules of bench/peers; those that are not installed are left out, and it is said."""


@dataclass
class BenchConfig:
    """Everything; `suite` is the config of the suite that runs."""

    suite: Any = MISSING
    """Group `suite`."""
    rig: RigConfig = field(default_factory=RigConfig)
    """Group `rig`."""
    workload: WorkloadConfig = field(default_factory=WorkloadConfig)
    """Group `workload`."""
    peer: PeerConfig = field(default_factory=PeerConfig)
    """Group `peer`."""
    seed: int = 1
    """Everything random follows from it."""
    out: str = "out/bench"
    """Where the run folders go: OUT/SUITE/TIMESTAMP."""

    def __post_init__(self) -> None:
        """Refuse a seed that no generator takes."""
        at_least("seed", self.seed, 0)


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a value below `least`."""
    if not value >= least:
        raise InvalidInputError(f"{name} is {value}; give {least} or more", field=name)


def within(name: str, value: float, least: float, most: float) -> None:
    """Refuse a value outside least..most."""
    if not least <= value <= most:
        raise InvalidInputError(f"{name} is {value}; give {least} to {most}", field=name)


def suite_names() -> list[str]:
    """Every module of bench/suites, by name."""
    import bench.suites

    return sorted(m.name for m in pkgutil.iter_modules(bench.suites.__path__))


def register() -> None:
    """Tell Hydra the schemas, and the workloads of `bench.sim.presets`."""
    store = ConfigStore.instance()
    store.store(name="bench_schema", node=BenchConfig)
    store.store(group="schema/rig", name="ring", node=RigConfig)
    store.store(group="peer", name="all", node=PeerConfig)
    store.store(group="peer", name="none", node=PeerConfig(name="none", modules=[]))
    for name in PEERS:
        store.store(group="peer", name=name, node=PeerConfig(name=name, modules=[name]))
    for name, options in PRESETS.items():
        store.store(group="workload", name=name, node=_workload(name, options))
    matrix = _workload("standard", PRESETS["standard"])
    matrix.people = [2, 13, 26]
    store.store(group="workload", name="matrix", node=matrix)
    for name in suite_names():
        module = importlib.import_module(f"bench.suites.{name}")
        store.store(group="schema/suite", name=name, node=module.Config)


def _workload(name: str, options: ArenaOptions) -> WorkloadConfig:
    observation = options.observation
    values = {f.name: getattr(observation, f.name) for f in fields(observation)}
    return WorkloadConfig(
        name=name,
        people=[options.people],
        fps=options.fps,
        tempo=options.tempo,
        offset_ms=options.ring.offset_ms,
        readout_ms=options.ring.readout_ms,
        observation=ObservationConfig(**values),
    )
