"""Where people count: the part of the world whose people are reported.

Around every court are people who are no part of the game. Without an area of its own a rig of four
or more cameras reports people from when three of its cameras have them in view; somebody at the
edge of the scene, whom only two cameras can see, is still tracked inside but not reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from accel import Snapshot
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from accel import Prediction, Rig

COVERED_VIEWS = 3
"""Cameras that have a reported person in view, where the rig has more than these."""


KNOWN_SHARE = 0.25
"""Part of the joints that has to be known before a track counts as in or out."""


class Area(Protocol):
    """A part of the world."""

    def holds(self, points_m: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which of the points (N, 3) lie in it; NaN lies nowhere."""


@dataclass(frozen=True, slots=True)
class Everywhere:
    """The whole world."""

    def __str__(self) -> str:
        return "everywhere"

    def holds(self, points_m: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say that all points lie in it."""
        return np.ones(len(points_m), np.bool_)


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle on the floor."""

    x0_m: float
    """Least x."""
    y0_m: float
    """Least y."""
    x1_m: float
    """Largest x."""
    y1_m: float
    """Largest y."""

    def __str__(self) -> str:
        edges = (self.x0_m, self.y0_m, self.x1_m, self.y1_m)
        return "x0,y0,x1,y1 = " + ",".join(f"{edge:g}" for edge in edges) + " m"

    def __post_init__(self) -> None:
        """Refuse an empty one."""
        if not (self.x0_m < self.x1_m and self.y0_m < self.y1_m):
            raise InvalidInputError(
                f"the area {self.x0_m:g},{self.y0_m:g},{self.x1_m:g},{self.y1_m:g} is empty: give "
                "x0,y0,x1,y1 in metres with x0 < x1 and y0 < y1"
            )

    def holds(self, points_m: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which points lie over the rectangle."""
        x, y = points_m[:, 0], points_m[:, 1]
        inside: NDArray[np.bool_] = (
            (x >= self.x0_m) & (x <= self.x1_m) & (y >= self.y0_m) & (y <= self.y1_m)
        )
        return inside


class Covered:
    """Where enough cameras look.

    Args:
        rig: The cameras.
        views: How many of them have to see a point.
    """

    def __init__(self, rig: Rig, views: int) -> None:
        self._rig, self._views = rig, views

    def __str__(self) -> str:
        return f"where {self._views} cameras look"

    def holds(self, points_m: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which points enough cameras have in view."""
        uv = self._rig.project(points_m)
        with np.errstate(invalid="ignore"):
            seen = ((uv >= 0) & (uv < self._rig.size)).all(axis=-1)
        covered: NDArray[np.bool_] = seen.sum(axis=-1) >= self._views
        return covered


def default_area(rig: Rig) -> Area:
    """Give the area of a rig for which none was given."""
    return Covered(rig, COVERED_VIEWS) if len(rig.names) > COVERED_VIEWS else Everywhere()


class Membership:
    """Who belongs to an area: from when most of their joints are first in it, to their track's end.

    Args:
        area: The area.
    """

    def __init__(self, area: Area) -> None:
        self._area = area
        self._members: set[int] = set()
        self._outside: set[int] = set()

    def state(self) -> dict[str, list[int]]:
        """Give all that it knows, for :meth:`resume`."""
        return {"members": sorted(self._members), "outside": sorted(self._outside)}

    def resume(self, state: Mapping[str, Sequence[int]]) -> None:
        """Go on from what :meth:`state` gave."""
        self._members = {int(i) for i in state["members"]}
        self._outside = {int(i) for i in state["outside"]}

    @property
    def outside(self) -> frozenset[int]:
        """Tracks that have never been in the area."""
        return frozenset(self._outside)

    def update(self, snapshot: Snapshot) -> None:
        """Take in where everybody is; call it in order of time.

        Who is known by a few joints only is neither in nor out: such joints may lie anywhere.
        """
        joints = snapshot.joints_m
        known = np.isfinite(joints).all(axis=-1)
        held = self._area.holds(joints.reshape(-1, 3)).reshape(known.shape) & known
        decided = known.sum(axis=1) >= KNOWN_SHARE * known.shape[1]
        inside = 2 * held.sum(axis=1) > known.sum(axis=1)
        self._members.update(int(i) for i in snapshot.ids[decided & inside])
        self._outside.update(int(i) for i in snapshot.ids[decided & ~inside])
        self._outside -= self._members

    def of(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which tracks belong."""
        return np.array([int(i) in self._members for i in ids], np.bool_)

    def select(self, snapshot: Snapshot) -> Snapshot:
        """Give the part of a snapshot that belongs."""
        keep = self.of(snapshot.ids)
        if keep.all():
            return snapshot
        return Snapshot(
            time_ns=snapshot.time_ns,
            ids=snapshot.ids[keep],
            joints_m=snapshot.joints_m[keep],
            covariance_m2=snapshot.covariance_m2[keep],
            confidence=snapshot.confidence[keep],
            views=snapshot.views[keep],
        )

    def expected(self, people: Prediction) -> NDArray[np.bool_]:
        """Say which predicted people to pose: those who do not stand outside."""
        return np.array([int(i) not in self._outside for i in people.ids], np.bool_)
