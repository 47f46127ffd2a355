"""Draws people into the heads of a pose model, as a perfect network would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STRIDE_PX = 4
# Where a standing person's joints lie in the box: (down, across), in halves of its sides.
PLAN = np.array(
    [
        (-0.85, 0.0), (-0.9, 0.1), (-0.9, -0.1), (-0.87, 0.2), (-0.87, -0.2), (-0.6, 0.5),
        (-0.6, -0.5), (-0.3, 0.7), (-0.3, -0.7), (0.0, 0.8), (0.0, -0.8), (0.05, 0.3),
        (0.05, -0.3), (0.45, 0.35), (0.45, -0.35), (0.9, 0.4), (0.9, -0.4),
    ]
)  # fmt: skip


class Heads(NamedTuple):
    """The heads of a multi-person model, in the order in which they are decoded."""

    heat: NDArray[np.float32]
    center: NDArray[np.float32]
    regress: NDArray[np.float32]
    offset: NDArray[np.float32]
    scale: NDArray[np.float32]
    boxoff: NDArray[np.float32]


@dataclass(frozen=True)
class Person:
    """Somebody to draw, in cells."""

    y: int
    x: int
    height: float
    width: float
    center: float = 0.9

    @property
    def joints(self) -> NDArray[np.float64]:
        """(17, 2) y, x in cells."""
        return np.array([self.y, self.x]) + PLAN * (self.height / 2, self.width / 2)

    @property
    def joints_px(self) -> NDArray[np.float64]:
        """(17, 2) u, v in input pixels."""
        return self.joints[:, ::-1] * STRIDE_PX

    @property
    def box_px(self) -> NDArray[np.float64]:
        """x0, y0, x1, y1 in input pixels."""
        half = np.array([self.width, self.height]) / 2
        centre = np.array([self.x, self.y])
        return np.concatenate([centre - half, centre + half]) * STRIDE_PX


def draw(people: Sequence[Person], height: int, width: int) -> Heads:
    """Draw people into heads of height x width cells."""
    heads = Heads(*(np.zeros((height, width, c), np.float32) for c in (17, 1, 34, 34, 2, 2)))
    for person in people:
        heads.center[person.y, person.x] = person.center
        heads.scale[person.y, person.x] = person.height, person.width
        for k, joint in enumerate(person.joints):
            cell = np.floor(joint).astype(int)
            heads.regress[person.y, person.x, 2 * k : 2 * k + 2] = joint - (person.y, person.x)
            heads.heat[cell[0], cell[1], k] = 0.95
            heads.offset[cell[0], cell[1], 2 * k : 2 * k + 2] = joint - cell
    return heads
