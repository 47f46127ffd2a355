"""The tracker: camera frames of keypoints in, identities with 3D joints and covariances out."""

from __future__ import annotations

import dataclasses
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np

from accel import _core
from accel.errors import InvalidInputError
from accel.health import Health, read_health
from accel.plan import Plan, PlanBudget
from accel.tracker_options import TrackerOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from accel.rig import Rig

_LARGEST_TIME_NS = 2**62
_MOST_ASKED = 1024


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All reported tracks at one time; T tracks with J joints, in the rig's world frame."""

    time_ns: int
    """The time asked for."""
    ids: npt.NDArray[np.int64]
    """(T,) identities, ascending in the order of their birth, never used twice."""
    joints_m: npt.NDArray[np.float64]
    """(T, J, 3) metres; NaN where a joint is not known."""
    covariance_m2: npt.NDArray[np.float64]
    """(T, J, 3, 3) covariance of each joint; NaN where it is not known."""
    confidence: npt.NDArray[np.float32]
    """(T, J) mean confidence of the keypoints behind a joint, 0..1; 0 where it is inferred."""
    views: npt.NDArray[np.int32]
    """(T, J) cameras whose newest frame supports the joint; 0 where it is inferred."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one camera frame should show of the tracks."""

    ids: npt.NDArray[np.int64]
    """(T,) identities."""
    boxes_px: npt.NDArray[np.float64]
    """(T, 4) x0, y0, x1, y1 around the body, margin included, not cut at the image's edge; NaN
    where no joint is in view."""
    keypoints: npt.NDArray[np.float32]
    """(T, J, 3) u, v in distorted pixels and the expected confidence; NaN where a joint has no
    image."""
    visible: npt.NDArray[np.bool_]
    """(T, J) in view and not behind another track's body."""

    def __len__(self) -> int:
        return len(self.ids)


class Tracker:
    """Tracks everybody in front of a rig, online.

    What it knows is a pure function of its options and the observations it has accepted: neither
    the order of their arrival nor any question asked changes a later answer. Any thread may call
    any method.

    Args:
        rig: The calibrated cameras.
        options: Limits and priors.
    """

    def __init__(self, rig: Rig, options: TrackerOptions | None = None) -> None:
        self.rig = rig
        self.options = options if options is not None else TrackerOptions()
        self._native = _core.Tracker(rig._native, self.options._native())

    def observe(
        self,
        camera: SupportsIndex | str,
        capture_time_ns: SupportsIndex,
        keypoints: npt.ArrayLike,
        evidence: npt.ArrayLike | None = None,
        *,
        asked: Iterable[SupportsIndex] | None = None,
    ) -> bool:
        """Take in what one camera saw at one time.

        Args:
            camera: Index into `rig.names`, or a name.
            capture_time_ns: Mid-exposure of the first row; row v was taken at capture_time +
                readout * v / height.
            keypoints: float32 (N, J, 3) u, v in distorted pixels and confidence; N may be 0. A
                keypoint is missing when its confidence is 0 or any of its numbers is not finite.
            evidence: float32 (N, R) log-likelihood of each roster entry, NaN unknown.
            asked: Identities that were looked for, where the frame was not searched as a whole:
                only of them does it count that they were not found. None: everybody was looked
                for. Do not observe a frame in which nobody was.

        Returns:
            False where the frame is refused, and counted, because it came later than
            `max_delay_ms` or because this camera's frame of this time is already here.

        Raises:
            InvalidInputError: The camera, the time, a shape or an identity cannot be.
        """
        if evidence is None and asked is None:
            accepted = self._native.observe_plain(camera, capture_time_ns, keypoints)
            if accepted is not None:
                return accepted
        index = self._camera(camera)
        points = self._keypoints(keypoints)
        rows = len(points)
        if evidence is None:
            support = np.empty((rows, 0), dtype=np.float32)
        else:
            support = np.ascontiguousarray(evidence, dtype=np.float32)
            if support.ndim != 2 or len(support) != rows:
                raise InvalidInputError(
                    f"evidence has shape {support.shape}; it must be ({rows}, R), one row for each"
                    " detection",
                    camera=self.rig.names[index],
                )
        looked_for = None if asked is None else _identities(asked, self.rig.names[index])
        return self._native.observe(index, _time_ns(capture_time_ns), points, support, looked_for)

    def snapshot(self, time_ns: SupportsIndex, smoothed: bool = False) -> Snapshot:
        """Give all tracks at a time.

        A time before the newest observation is smoothed by what was observed after it, as far back
        as `max_delay_ms`; a time after it is predicted, and a track is absent once it was not
        observed for `max_coast_ms`.

        Args:
            time_ns: The time asked for.
            smoothed: Answer from exactly the observations up to time_ns + `lag_ms`: later, and
                about a third more accurate. Such times are kept for `lag_ms` + `max_delay_ms`.

        Raises:
            NotYetError: Smoothed, and the observations up to time_ns + `lag_ms` have not come.
            TimeOutOfRangeError: The time is no longer kept.
        """
        time = _time_ns(time_ns)
        if smoothed:
            return Snapshot(time, *self._native.smoothed(time))
        return Snapshot(time, *self._native.snapshot(time))

    def predict(self, camera: SupportsIndex | str, time_ns: SupportsIndex) -> Prediction:
        """Give what a frame of `camera` captured at `time_ns` should show.

        Raises:
            InvalidInputError: The camera is not in the rig.
            TimeOutOfRangeError: The time lies further back than `max_delay_ms`.
        """
        return Prediction(*self._native.predict(self._camera(camera), _time_ns(time_ns)))

    def plan(self, budget: PlanBudget) -> Plan:
        """Say whom to pose in which views of the next frame-set, and which cameras to search.

        Give what was found back by `observe`, with `asked=plan.asked(camera)` for a camera in which
        people were posed and without it for one that was searched: when each camera was last
        searched is part of what the tracker knows. Planning changes nothing; equal observations and
        budgets give equal plans.

        Args:
            budget: What may be spent, what asking costs, and the time that is planned for.

        Raises:
            InvalidInputError: The budget names a camera that is not in the rig, or gives costs for
                another number of cameras.
        """
        native = budget._native(self.rig)
        return Plan._of(self._native.plan(budget.time_ns, native))

    def assigned(
        self, camera: SupportsIndex | str, capture_time_ns: SupportsIndex
    ) -> npt.NDArray[np.int64]:
        """Give the track of each detection of a frame observed within `max_delay_ms`.

        Returns:
            (N,) identities in the order of the frame's detections, -1 for none.

        Raises:
            TimeOutOfRangeError: This frame was not observed, or is no longer kept.
        """
        return self._native.assigned(self._camera(camera), _time_ns(capture_time_ns))

    def health(self) -> Health:
        """Tell what the residuals of the observations so far say about each camera.

        A camera is judged against its own baseline, learned in the first seconds of play and
        followed slowly; one that is accused counts less until it behaves again.
        """
        return read_health(self._native.health(), self.rig.names)

    @property
    def isa(self) -> str:
        """The instruction set that the kernels run on: what `TrackerOptions.isa` came to."""
        return self._native.isa()

    def checkpoint(self) -> bytes:
        """Give everything that later answers depend on, as bytes for `restore`.

        They hold the options with `isa`, a version, a digest of the rig and a checksum; about
        20 kB a person that is tracked, for the 200 ms of frames and the state before them.
        """
        return self._native.checkpoint()

    @classmethod
    def restore(cls, rig: Rig, checkpoint: bytes) -> Tracker:
        """Continue from a checkpoint, to the same bits as if there had been no break.

        Args:
            rig: The rig that the checkpoint was made with.
            checkpoint: What `checkpoint` gave.

        Raises:
            CheckpointError: It is damaged, or of another version, rig or instruction set.
        """
        native = _core.Tracker.restore(rig._native, bytes(checkpoint))
        tracker = cls.__new__(cls)
        tracker.rig = rig
        tracker.options = TrackerOptions._of_native(native.options())
        tracker._native = native
        return tracker

    @property
    def stats(self) -> dict[str, int]:
        """Counters since the start: frames accepted and refused, detections, births, deaths."""
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

    def _keypoints(self, keypoints: npt.ArrayLike) -> npt.NDArray[np.float32]:
        points = np.ascontiguousarray(keypoints, dtype=np.float32)
        joints = len(self.options.skeleton.joints)
        if points.size == 0 and points.ndim <= 3:
            return np.empty((0, joints, 3), dtype=np.float32)
        if points.ndim != 3 or points.shape[1:] != (joints, 3):
            raise InvalidInputError(
                f"keypoints have shape {points.shape}; skeleton {self.options.skeleton.name} needs"
                f" (N, {joints}, 3): u, v, confidence"
            )
        return points

    def __repr__(self) -> str:
        changed = {
            field.name: getattr(self.options, field.name)
            for field in dataclasses.fields(self.options)
            if getattr(self.options, field.name) != field.default
        }
        return f"Tracker({self.rig!r}, {changed})"


def _identities(asked: Iterable[SupportsIndex], camera: str) -> list[int]:
    try:
        ids = [operator.index(identity) for identity in asked]
    except TypeError:
        raise InvalidInputError(
            f"asked is {asked!r}; give the identities that were looked for, or None for everybody",
            camera=camera,
        ) from None
    if len(ids) > _MOST_ASKED or any(abs(identity) >= _LARGEST_TIME_NS for identity in ids):
        raise InvalidInputError(
            f"asked names {len(ids)} identities; give at most {_MOST_ASKED}, as snapshots name"
            " them",
            camera=camera,
        )
    return ids


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
