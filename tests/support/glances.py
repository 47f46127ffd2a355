"""Small pictures of a court as cameras would show it, in virtual time, for tests of the watch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_node.cameras.watch import Look

ROWS, COLUMNS = 36, 64


@dataclass
class Court:
    """Players who walk between places, pause together now and then, and leave halves empty."""

    people: int = 8
    seed: int = 1
    pause_every_s: float = 60.0
    pause_s: float = 12.0
    half_every_s: float = 0.0
    """For the second half of each such time everybody is in the left half; 0: never."""
    _rng: np.random.Generator = field(init=False)
    _place: NDArray[np.float64] = field(init=False)
    _goal: NDArray[np.float64] = field(init=False)
    _time_s: float = 0.0
    stopped: bool = False

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._place = self._rng.random((self.people, 2))
        self._goal = self._rng.random((self.people, 2))

    def at(self, time_s: float) -> NDArray[np.float64]:
        """Places (P, 2) within the unit square; call it with rising times."""
        elapsed, self._time_s = time_s - self._time_s, time_s
        paused = self.stopped or time_s % self.pause_every_s > self.pause_every_s - self.pause_s
        if not paused:
            way = self._goal - self._place
            far = np.linalg.norm(way, axis=1, keepdims=True)
            self._place += way / np.maximum(far, 1e-9) * np.minimum(0.12 * elapsed, far)
            there = far[:, 0] < 0.02
            self._goal[there] = self._rng.random((int(there.sum()), 2))
            if self.half_every_s and time_s % self.half_every_s > self.half_every_s / 2:
                self._goal[:, 0] = np.minimum(self._goal[:, 0], 0.45)
        return self._place


@dataclass
class Eye:
    """A camera: its own ground, its own part of the court, its own noise."""

    number: int
    noise: float = 0.25
    """Standard deviation of a block mean, in levels."""
    flicker: float = 0.4
    """Share of samples that differ from look to look where nothing moves; 0: quantised away."""
    from_x: float = 0.0
    """It sees the court from here on, along x."""
    pulse: float = 0.0
    """Levels by which every key frame differs from the pictures before it."""
    light: float = 1.0
    """How bright it shows everything; another one is another gain, with other noise."""
    empty: bool = False
    """Nobody is in its picture."""
    board: float | None = None
    """Level of a board of lights at its edge; None: it has none."""
    _rng: np.random.Generator = field(init=False)
    _ground: NDArray[np.float32] = field(init=False)
    frozen: NDArray[np.float32] | None = None
    """What it shows to the bit, whatever happens."""
    instead: NDArray[np.float32] | None = None
    """What it shows instead of the court, with its noise."""
    last: NDArray[np.float32] | None = None
    looks: int = 0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(100 + self.number)
        coarse = self._rng.uniform(50, 190, (9, 16))
        self._ground = np.kron(coarse, np.ones((4, 4))).astype(np.float32)

    def scene(self, places: NDArray[np.float64]) -> NDArray[np.float32]:
        """The picture without noise."""
        if self.instead is not None:
            return self.instead
        picture = self._ground.copy()
        if self.board is not None:
            picture[16:19, :10] = self.board
        for person, (x, y) in enumerate(() if self.empty else places):
            across = (x - self.from_x) / (1.0 - self.from_x)
            if across < 0.0:
                continue
            # Every camera looks from another side.
            u, v = (across, y) if self.number % 2 else (1.0 - across, 1.0 - y)
            column, row = u * (COLUMNS - 3), v * (ROWS - 8)
            left, top = int(column), int(row)
            share = column - left
            level = np.float32(40.0 if person % 2 else 210.0)
            for offset, part in ((0, 1.0 - share), (1, 1.0), (2, share)):
                body = picture[top : top + 6, left + offset]
                body += np.float32(part) * (level - body)
        return picture

    def look(self, places: NDArray[np.float64]) -> Look:
        """What a look gives."""
        self.looks += 1
        frozen = self.frozen is not None
        clean = self.frozen if self.frozen is not None else self.light * self.scene(places)
        noise = self._rng.normal(0.0, self.noise, clean.shape) if self.noise and not frozen else 0.0
        thumb = (clean + noise).astype(np.float32)
        key = self.looks % 20 == 0
        if key and self.pulse:
            thumb += self._rng.uniform(-self.pulse, self.pulse, thumb.shape).astype(np.float32)
        return self._compared(thumb, flicker=0.0 if frozen else self.flicker, key=key)

    def _compared(self, thumb: NDArray[np.float32], *, flicker: float, key: bool) -> Look:
        before, self.last = self.last, thumb
        if before is None:
            return Look(thumb, float("nan"))
        changed = flicker * float(self._rng.uniform(0.7, 1.1))
        if key and self.pulse:
            changed = max(changed, 0.3)
        return Look(thumb, changed)
