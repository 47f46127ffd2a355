"""Named workloads: standard, hard and async, as the figures of the tracking core are stated."""

from __future__ import annotations

from dataclasses import replace

from bench.sim.options import ArenaOptions, ObservationOptions, RingOptions

PRESETS: dict[str, ArenaOptions] = {
    "clean": ArenaOptions(
        observation=ObservationOptions(
            joint_miss=0.0, person_miss=0.0, false_rate=0.0, snap=0.0, drop=0.0, flip=0.0
        )
    ),
    "standard": ArenaOptions(),
    "hard": ArenaOptions(
        observation=ObservationOptions(
            sigma_px=3.5, joint_miss=0.15, person_miss=0.12, false_rate=1.0, snap=0.4, flip=0.02
        )
    ),
    "async": ArenaOptions(ring=RingOptions(offset_ms=16.6, readout_ms=8.0)),
    "persistent": ArenaOptions(
        observation=ObservationOptions(camera_spread=0.3, confidence_spread=0.4, hold_ms=120.0)
    ),
}


def preset(
    name: str, *, cameras: int = 8, people: int = 13, frames: int = 600, seed: int = 1
) -> ArenaOptions:
    """The named workload on a court of `cameras` and `people`.

    Raises:
        KeyError: no workload has that name.
    """
    base = PRESETS[name]
    ring = replace(base.ring, cameras=cameras)
    return replace(base, ring=ring, people=people, frames=frames, seed=seed)
