"""People who come and go: a game in which everybody leaves through a gate now and then."""

from __future__ import annotations

import numpy as np

from bench.arrays import Bools, Floats, Ints
from bench.sim.arena import Arena
from bench.sim.options import ArenaOptions

GATES_M = np.array([[-4.0, -9.0], [4.0, -9.0], [-12.0, 9.0], [12.0, 9.0]])
"""Where people vanish and appear, (G, 2) metres."""
WALK_S = 4.0
"""How long the way between the gate and the game takes."""
AWAY_Z_M = 1e4
"""Whoever is away is this far above the court, in nobody's view."""


class TrafficArena(Arena):
    """An arena whose people are away at times; equal options and rates give equal games.

    Args:
        options: The arena.
        stay_s: Mean time between coming and leaving; 0: everybody stays.
        away_s: Mean time away.
    """

    def __init__(self, options: ArenaOptions, stay_s: float, away_s: float) -> None:
        super().__init__(options)
        rng = np.random.default_rng([options.seed, 77])
        end_s = options.frames / options.fps + 2.0
        self._visits = [_visits(rng, stay_s, away_s, end_s) for _ in range(options.people)]
        self._gates = rng.integers(len(GATES_M), size=options.people)

    def present(self, times_ns: Ints) -> Bools:
        """Who is there at (T,) times: (T, P)."""
        return np.asarray(self._blend((times_ns - self.options.start_ns) * 1e-9) < 1.0)

    def _blend(self, times_s: Floats) -> Floats:
        """(T, P): 0 in the game, towards 1 on the way to the gate, 1 away."""
        out = np.ones((len(times_s), len(self._visits)))
        for person, visits in enumerate(self._visits):
            for come, leave in visits:
                edge = np.minimum(times_s - come, leave - times_s) / WALK_S
                s = np.clip(edge, 0.0, 1.0)
                out[:, person] = np.minimum(out[:, person], 1.0 - s * s * (3.0 - 2.0 * s))
        return out

    def _joints(self, times_s: Floats) -> Floats:
        joints = super()._joints(times_s)
        blend = self._blend(times_s)
        middle = joints[:, :, 11:13, :2].mean(axis=2)
        joints[..., :2] += (blend[..., None] * (GATES_M[self._gates] - middle))[:, :, None]
        joints[..., 2] += np.where(blend >= 1.0, AWAY_Z_M, 0.0)[..., None]
        return joints


def _visits(
    rng: np.random.Generator, stay_s: float, away_s: float, end_s: float
) -> list[tuple[float, float]]:
    """When somebody comes and leaves; whoever is there at the start came long before."""
    if stay_s <= 0.0:
        return [(-1e3, 1e6)]
    at, visits = -1e3, []
    while at < end_s:
        stays = 2.0 * WALK_S + rng.exponential(stay_s)
        leave = rng.uniform(1.0, stays) if at < 0.0 else at + stays
        visits.append((at, leave))
        at = leave + 0.5 + rng.exponential(away_s)
    return visits
