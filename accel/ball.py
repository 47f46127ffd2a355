"""The ball: candidates of every camera in; position, covariance, phase, arc and bounces out.

The world's z points up, and the floor is at `BallOptions.floor_m`.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal, SupportsIndex

import numpy as np

from accel import _core
from accel.ball_arc import BallArc, Bounce
from accel.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from accel.rig import Rig
    from accel.tracker import Snapshot

_LARGEST_TIME_NS = 2**62

_People = tuple["npt.NDArray[np.int64]", "npt.NDArray[np.float64]", "npt.NDArray[np.float64]"]
_NOBODY: Final[_People] = (
    np.empty(0, dtype=np.int64),
    np.empty((0, 0, 3)),
    np.empty((0, 0, 3, 3)),
)

Phase = Literal["held", "dribbled", "flight", "unknown"]
_PHASES: Final[tuple[Phase, ...]] = ("unknown", "held", "dribbled", "flight")
_POSITIVE: Final = ("max_std_m", "sigma_px", "radius_m")


@dataclass(frozen=True, slots=True)
class BallOptions:
    """What a ball tracker is told before its first frame; the defaults suit basketball."""

    max_delay_ms: float = 100.0
    """How late an observation may come, and how far back a snapshot may be asked."""
    max_coast_ms: float = 500.0
    """How long the ball is reported without an observation."""
    max_std_m: float = 0.5
    """The ball is known when its largest standard deviation is at most this."""
    sigma_px: float = 2.0
    """Noise of a candidate's pixel that is assumed until it has been learned."""
    radius_m: float = 0.12
    """The ball's radius: its centre bounces this high above the floor."""
    floor_m: float = 0.0
    """Height of the floor in the rig's world."""
    drag_per_m: float = 0.022
    """Quadratic drag, 1/m: half the air's density x drag coefficient x cross-section / mass."""
    restitution: float = 0.78
    """Speed upwards after the floor over the speed downwards before it; taken as uncertain."""
    wrists: tuple[int, ...] = (9, 10)
    """Which joints of `people` are wrists; the default is COCO-17's."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("max_delay_ms", "max_coast_ms"):
            value = getattr(self, name)
            if not 0.0 <= value <= 3.6e6:
                raise _refused(name, value, "milliseconds from 0 to an hour")
        for name in _POSITIVE:
            value = getattr(self, name)
            if not 0.0 < value < 1e6:
                raise _refused(name, value, "a positive number")
        if not -1e6 < self.floor_m < 1e6:
            raise _refused("floor_m", self.floor_m, "metres in the rig's world")
        if not 0.0 <= self.drag_per_m < 1.0:
            raise _refused("drag_per_m", self.drag_per_m, "0 to 1")
        if not 0.0 < self.restitution < 1.0:
            raise _refused("restitution", self.restitution, "a number between 0 and 1")
        if any(joint < 0 for joint in self.wrists):
            raise _refused("wrists", self.wrists, "indices of joints")

    def _native(self) -> dict[str, object]:
        native: dict[str, object] = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if not field.name.endswith("_ms")
        }
        native["max_delay_ns"] = round(self.max_delay_ms * 1e6)
        native["max_coast_ns"] = round(self.max_coast_ms * 1e6)
        return native

    @classmethod
    def _of_native(cls, native: Mapping[str, Any]) -> BallOptions:
        given = {name: value for name, value in native.items() if not name.endswith("_ns")}
        given["wrists"] = tuple(native["wrists"])
        return cls(
            max_delay_ms=native["max_delay_ns"] / 1e6,
            max_coast_ms=native["max_coast_ns"] / 1e6,
            **given,
        )


@dataclass(frozen=True, slots=True)
class BallSnapshot:
    """The ball at one time, in the rig's world frame."""

    time_ns: int
    """The time asked for."""
    position_m: npt.NDArray[np.float64]
    """(3,) its centre; NaN where it is not known."""
    velocity_mps: npt.NDArray[np.float64]
    """(3,) NaN where it is not known."""
    covariance_m2: npt.NDArray[np.float64]
    """(3, 3) covariance of the position, positive definite; NaN where it is not known."""
    velocity_covariance_m2ps2: npt.NDArray[np.float64]
    """(3, 3) covariance of the velocity."""
    phase: Phase
    """held and dribbled by the wrists of `people`, flight between hands, floor and rim; unknown
    where the ball is not known, lies or rolls, or nobody is near enough to hold it."""
    holder: int | None = None
    """Identity of whoever holds or dribbles it, where people were given."""
    views: int = 0
    """Cameras whose newest frame supports the position; 0 where it is predicted."""
    flight_probability: float = 0.0
    """How sure it is that nothing but gravity and air moves the ball, 0..1."""
    seen_ns: int | None = None
    """Time of the newest observation behind the position."""
    arc: BallArc | None = None
    """In flight, the fitted arc so far."""
    bounces: tuple[Bounce, ...] = ()
    """The newest floor bounces before `time_ns`, oldest first, at most eight; a bounce appears
    once two fixes after it are in, and is refined for 130 ms."""

    @property
    def known(self) -> bool:
        """Whether there is a position."""
        return bool(np.isfinite(self.position_m[0]))


class BallTracker:
    """Follows the one ball in play among false and missing candidates, online.

    What it knows is a pure function of its options and the observations it has accepted: neither
    the order of their arrival nor any question asked changes a later answer. Any thread may call
    any method. ARCHITECTURE.md has the formulas.

    Args:
        rig: The calibrated cameras; the world's z points up.
        options: Limits and priors.
    """

    def __init__(self, rig: Rig, options: BallOptions | None = None) -> None:
        self.rig = rig
        self.options = options if options is not None else BallOptions()
        self._native = _core.BallTracker(rig._native, self.options._native())

    def observe(
        self,
        camera: SupportsIndex | str,
        capture_time_ns: SupportsIndex,
        candidates: npt.ArrayLike,
    ) -> bool:
        """Take in where one camera saw something like a ball at one time.

        Args:
            camera: Index into `rig.names`, or a name.
            capture_time_ns: Mid-exposure of the first row; row v was taken at capture_time +
                readout * v / height.
            candidates: float32 (N, 3) u, v in distorted pixels and confidence; N may be 0. One is
                left out when its confidence is not positive, any of its numbers is not finite, or
                it lies more than four frame sizes away; of more than 64 the surest count.

        Returns:
            False where the frame is refused, and counted, because it came later than
            `max_delay_ms` or because this camera's frame of this time is already here.

        Raises:
            InvalidInputError: The camera, the time or the shape cannot be.
        """
        index = self._camera(camera)
        points = np.ascontiguousarray(candidates, dtype=np.float32)
        if points.size == 0 and points.ndim <= 2:
            points = np.empty((0, 3), dtype=np.float32)
        if points.ndim != 2 or points.shape[1] != 3:
            raise InvalidInputError(
                f"candidates have shape {points.shape}; give (N, 3): u, v, confidence",
                camera=self.rig.names[index],
            )
        return self._native.observe(index, _time_ns(capture_time_ns), points)

    def snapshot(self, time_ns: SupportsIndex, people: Snapshot | None = None) -> BallSnapshot:
        """Give the ball at a time.

        A time before the newest observation is answered from the observations up to it, as far
        back as `max_delay_ms`; a time after it is predicted. The ball is not known once it was not
        observed for `max_coast_ms`, or where it is less certain than `max_std_m`.

        Args:
            time_ns: The time asked for.
            people: Everybody at that time, as `Tracker.snapshot` gives them: their wrists say who
                holds or dribbles the ball, and where it is while no camera sees it in a hand. They
                colour this answer alone, never a later one.

        Raises:
            InvalidInputError: `people` lacks the joints of `BallOptions.wrists`.
            TimeOutOfRangeError: The time lies further back than `max_delay_ms`.
        """
        time = _time_ns(time_ns)
        found = self._native.snapshot(time, *self._people(people))
        if found is None:
            nan = np.full(3, np.nan)
            unknown = np.full((3, 3), np.nan)
            return BallSnapshot(time, nan, nan.copy(), unknown, unknown.copy(), "unknown")
        position, velocity, covariance, spread, phase, holder, views, flight, seen, arc, bounces = (
            found
        )
        return BallSnapshot(
            time_ns=time,
            position_m=position,
            velocity_mps=velocity,
            covariance_m2=covariance,
            velocity_covariance_m2ps2=spread,
            phase=_PHASES[phase],
            holder=holder,
            views=views,
            flight_probability=flight,
            seen_ns=seen,
            arc=None if arc is None else BallArc(*arc, drag_per_m=self.options.drag_per_m),
            bounces=tuple(Bounce(*bounce) for bounce in bounces),
        )

    def checkpoint(self) -> bytes:
        """Give everything that later answers depend on, as bytes for `restore`.

        They hold the options, a version, a digest of the rig and a checksum. The ball's arithmetic
        is the same on every processor, so there is no instruction set in them.
        """
        return self._native.checkpoint()

    @classmethod
    def restore(cls, rig: Rig, checkpoint: bytes) -> BallTracker:
        """Continue from a checkpoint, to the same bits as if there had been no break.

        Args:
            rig: The rig that the checkpoint was made with.
            checkpoint: What `checkpoint` gave.

        Raises:
            CheckpointError: It is damaged, or of another version or rig.
        """
        native = _core.BallTracker.restore(rig._native, bytes(checkpoint))
        tracker = cls.__new__(cls)
        tracker.rig = rig
        tracker.options = BallOptions._of_native(native.options())
        tracker._native = native
        return tracker

    @property
    def stats(self) -> dict[str, float]:
        """Counters since the start, and what was learned of the cameras.

        `sigma_px` is the learned pixel noise, `seen_share` the share of views that see the ball,
        `clutter` the other candidates in a frame.
        """
        return self._native.stats()

    def _camera(self, camera: SupportsIndex | str) -> int:
        if isinstance(camera, str):
            return self.rig.index(camera)
        index = operator.index(camera)
        if not 0 <= index < len(self.rig.names):
            raise InvalidInputError(
                f"camera {index} is not in the rig; give 0..{len(self.rig.names) - 1} or one of"
                f" {', '.join(self.rig.names)}",
                camera=index,
            )
        return index

    def _people(self, people: Snapshot | None) -> _People:
        """Whose joints, where and how surely, as the core takes them."""
        if people is None:
            return _NOBODY
        joints = people.joints_m.shape[1]
        if max(self.options.wrists, default=-1) >= joints:
            raise InvalidInputError(
                f"people have {joints} joints, BallOptions.wrists names {self.options.wrists};"
                " say which of the skeleton's joints are wrists",
                field="wrists",
            )
        return (
            np.ascontiguousarray(people.ids, dtype=np.int64),
            np.ascontiguousarray(people.joints_m, dtype=np.float64),
            np.ascontiguousarray(people.covariance_m2, dtype=np.float64),
        )

    def __repr__(self) -> str:
        changed = {
            field.name: getattr(self.options, field.name)
            for field in fields(self.options)
            if getattr(self.options, field.name) != field.default
        }
        return f"BallTracker({self.rig!r}, {changed})"


def _refused(name: str, value: object, wanted: str) -> InvalidInputError:
    return InvalidInputError(f"BallOptions.{name} is {value}; give {wanted}", field=name)


def _time_ns(time_ns: SupportsIndex) -> int:
    try:
        time = operator.index(time_ns)
    except TypeError:
        raise InvalidInputError(
            f"a time is {time_ns!r}; give integer nanoseconds, such as time.time_ns()"
        ) from None
    if abs(time) >= _LARGEST_TIME_NS:
        raise InvalidInputError(f"time {time} ns lies outside +-2**62; give nanoseconds UTC")
    return time
