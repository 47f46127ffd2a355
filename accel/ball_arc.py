"""What a ball does between hands: the fitted arc of a flight, and bounces on the floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

GRAVITY_MPS2: Final = 9.81
_STEP_S: Final = 0.01
_FARTHEST_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Bounce:
    """The ball met the floor."""

    time_ns: int
    """When."""
    std_s: float
    """Standard deviation of that time, seconds."""
    position_m: npt.NDArray[np.float64]
    """(3,) the ball's centre then."""
    down_mps: float
    """Vertical speed just before, negative."""
    up_mps: float
    """Vertical speed just after."""


@dataclass(frozen=True, slots=True)
class BallArc:
    """One stretch of free flight, fitted to everything seen of it so far."""

    release_ns: int
    """When it began: the hand, the floor or the rim let go."""
    release_std_s: float
    """Standard deviation of that time, seconds."""
    release_position_m: npt.NDArray[np.float64]
    """(3,) where it began."""
    release_velocity_mps: npt.NDArray[np.float64]
    """(3,) how fast."""
    from_floor: bool
    """Whether it began with a bounce on the floor."""
    fixes: int
    """Groups of camera frames that it was fitted to."""
    chi2: float
    """Mean square of their distances from the arc, in standard deviations, a coordinate: about 1
    where the physics hold."""
    time_ns: int
    """The newest of them."""
    position_m: npt.NDArray[np.float64]
    """(3,) the arc's position at `time_ns`."""
    velocity_mps: npt.NDArray[np.float64]
    """(3,) and its velocity there."""
    covariance: npt.NDArray[np.float64]
    """(6, 6) covariance of both, metres and metres a second."""
    landing_ns: int | None
    """When it meets the floor if nothing comes between, at most 3 s ahead."""
    drag_per_m: float
    """The quadratic drag it was fitted with."""

    def at(self, time_ns: int) -> npt.NDArray[np.float64]:
        """Give (3,) the arc's position at a time, at most 10 s away; no floor stops it."""
        seconds = float(np.clip((time_ns - self.time_ns) * 1e-9, -_FARTHEST_S, _FARTHEST_S))
        steps = int(abs(seconds) / _STEP_S) + 1
        step = seconds / steps
        position, velocity = self.position_m.copy(), self.velocity_mps.copy()
        for _ in range(steps):
            middle = velocity + 0.5 * step * self._acceleration(velocity)
            acceleration = self._acceleration(middle)
            position += step * velocity + 0.5 * step * step * acceleration
            velocity += step * acceleration
        return position

    def _acceleration(self, velocity: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Gravity and quadratic drag."""
        drag = -self.drag_per_m * float(np.linalg.norm(velocity)) * velocity
        return np.asarray(drag - np.array([0.0, 0.0, GRAVITY_MPS2]), dtype=np.float64)
