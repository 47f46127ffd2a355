"""Whether officials may rely on a stream: rules that one can read, on values that one can check.

Available while all four hold over the last window, degraded with the names of those that failed
otherwise, off by hand or when no snapshot has come for too long. The rules are configuration and
stand in the stream's header; the values that decided stand in every message.

- Views: every person on court is seen by enough cameras in every snapshot of the window. A person's
  views are the lower median over the joints that are given, inferred ones counting 0: a hand behind
  a body does not make a person unseen, and one seen by two cameras in most joints is. As many
  cameras are live and used, too: with fewer, that nobody is tracked says nothing.
- Standard deviations: the 95th percentile, by nearest rank over all people in all snapshots of the
  window, of each person's largest joint standard deviation. A joint's is that along its worst
  direction, the root of the covariance's largest eigenvalue; one without a covariance is infinite.
- Age: at no time in the window was the newest snapshot older than the limit. So late snapshots
  count, and missing ones, and a stream that has not run for a whole window yet. A snapshot from the
  future counts too: somebody's clock is wrong.
- Cameras: none fails without an explanation (:func:`unexplained`). A camera that is known to be
  frozen or gone and is left out does no harm: what is left is judged by the other rules. One whose
  silence nobody understands, or that is named as wrong and used all the same, may do any.

No clock in here: the caller says what time it is, on two of them. A snapshot's age when it comes is
told by the wall's clock, as its time is; how long ago that was by one that nobody sets.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge_node.description import TimeBase
from edge_node.frames import Availability, AvailabilityRule, AvailabilityState, CameraState
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from accel import Snapshot
    from edge_node.frames import CameraHealth, TrackedFrame

MAX_WINDOW_SNAPSHOTS = 4096
"""Most snapshots in a window: the oldest go before their time where there are more."""
SILENT_AFTER_NS = 1_000_000_000
"""A camera that is live and has given nothing for so long is silent: within that time whoever
watches it finds out why."""
PERCENTILE = 0.95
"""Part of the people's standard deviations that must be within the limit."""

_NAMED = frozenset(
    {
        CameraState.FROZEN,
        CameraState.BLACK,
        CameraState.DUPLICATED,
        CameraState.LATE,
        CameraState.SWAPPED,
        CameraState.MOVED,
    }
)
"""States that say what is wrong with frames that come."""
_GONE = frozenset({CameraState.DISCONNECTED, CameraState.ENDED, CameraState.BLIND})
"""States that say why nothing comes of it."""


@dataclass(frozen=True, slots=True)
class AvailabilityRules:
    """What the availability is decided by."""

    window_ns: int = 1_000_000_000
    """Time that everything is looked at over."""
    min_views: int = 3
    """Fewest cameras that must see every person on court."""
    max_std_m: float = 0.030
    """Highest 95th percentile of people's largest joint standard deviation."""
    max_snapshot_age_ns: int = 250_000_000
    """Highest age of the newest snapshot, at any time of the window."""
    off_after_ns: int = 1_000_000_000
    """Off after so long without a snapshot."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0 < self.max_snapshot_age_ns <= self.off_after_ns:
            raise InvalidInputError(
                f"max_snapshot_age_ns is {self.max_snapshot_age_ns} and off_after_ns "
                f"{self.off_after_ns}: give ages above 0, the first not above the second"
            )
        if self.window_ns <= 0 or self.min_views < 0 or not self.max_std_m > 0:
            raise InvalidInputError(
                f"{self} are no rules of availability: give a window_ns and a max_std_m above 0, "
                "and a min_views of 0 or more"
            )


def person_views(snapshot: Snapshot) -> NDArray[np.int64]:
    """Return how many cameras are behind each person.

    Returns:
        (T,): the lower median of ``views`` over the joints that are given; 0 where none is.
    """
    given = np.isfinite(snapshot.joints_m).all(axis=-1)
    views = np.where(given, snapshot.views, np.iinfo(np.int32).max)
    ranked = np.sort(views, axis=-1)
    counts = given.sum(axis=-1)
    middle = np.maximum(counts - 1, 0) // 2
    medians = np.take_along_axis(ranked, middle[:, None], axis=-1)[:, 0]
    return np.where(counts > 0, medians, 0).astype(np.int64)


def person_stds_m(snapshot: Snapshot) -> NDArray[np.float64]:
    """Return each person's largest joint standard deviation, along its worst direction.

    Returns:
        (T,): in m, over the joints that are given; infinite where one's covariance is not known,
        or no joint is given.
    """
    given = np.isfinite(snapshot.joints_m).all(axis=-1)
    known = np.isfinite(snapshot.covariance_m2).all(axis=(-1, -2))
    variances = np.full(given.shape, -np.inf)
    variances[given & ~known] = np.inf
    both = given & known
    variances[both] = np.linalg.eigvalsh(snapshot.covariance_m2[both])[:, -1]
    largest = variances.max(axis=-1, initial=-np.inf)
    largest[~given.any(axis=-1)] = np.inf
    stds: NDArray[np.float64] = np.sqrt(np.maximum(largest, 0.0))
    return stds


def unexplained(cameras: Iterable[CameraHealth], time_ns: int) -> tuple[str, ...]:
    """Name the cameras that fail without an explanation.

    Explained is a camera that cannot be reached, has ended or is blind; one whose frames are known
    to be wrong (frozen, black, duplicated, late, swapped, moved) and are left out; and one that is
    left out with the reason in words, as after it was removed by hand. Not explained is one that
    should give frames and does not, whether its state says so (failed, waiting) or its last capture
    time does, and one that is known to be wrong and used all the same.

    Args:
        cameras: Health of all cameras.
        time_ns: Time of the snapshot that they go with.
    """
    return tuple(camera.name for camera in cameras if _is_unexplained(camera, time_ns))


def _usable(cameras: Iterable[CameraHealth]) -> int | None:
    """Count the cameras that are live and used; None where nothing is known of any."""
    used = [camera.state is CameraState.LIVE and not camera.left_out for camera in cameras]
    return sum(used) if used else None


def _is_unexplained(camera: CameraHealth, time_ns: int) -> bool:
    if camera.state in _GONE:
        return False
    if camera.state in _NAMED:
        return not camera.left_out
    if camera.left_out and camera.detail and camera.state is not CameraState.FAILED:
        return False
    if camera.state is not CameraState.LIVE or camera.left_out:
        return True
    last_ns = camera.last_capture_time_ns
    return last_ns is None or time_ns - last_ns > SILENT_AFTER_NS


@dataclass(frozen=True, slots=True)
class _Noted:
    """What is kept of a snapshot."""

    came_ns: int
    """When it came, on the steady clock."""
    age_ns: int
    """Its age then; below 0: it is from the future."""
    oldest_ns: int
    """Highest age that the newest snapshot reached before this one came, and of this one then."""
    least_views: int | None
    stds_m: NDArray[np.float64]


class Officials:
    """Judges the availability of one session. Any thread may call any method.

    Args:
        rules: What it is decided by.
        time_base: Of the frames: where it is UTC, ages count from a snapshot's own time, else from
            when it was made.
    """

    def __init__(
        self, rules: AvailabilityRules | None = None, time_base: TimeBase = TimeBase.UTC
    ) -> None:
        self.rules = rules or AvailabilityRules()
        self._utc = time_base is TimeBase.UTC
        self._lock = threading.Lock()
        self._noted: deque[_Noted] = deque(maxlen=MAX_WINDOW_SNAPSHOTS)
        self._unexplained: tuple[str, ...] = ()
        self._usable: int | None = None
        self._off_reason = ""

    def note(self, frame: TrackedFrame, now_ns: int, steady_ns: int | None = None) -> None:
        """Take in a snapshot of the live stream.

        Args:
            frame: With the health of all cameras.
            now_ns: Now, in ns UTC.
            steady_ns: Now, on a clock that nobody sets; None: on the same.
        """
        tracks = frame.snapshot
        views = person_views(tracks)
        stds_m = person_stds_m(tracks)
        named, usable = unexplained(frame.cameras, frame.time_ns), _usable(frame.cameras)
        came_ns = now_ns if steady_ns is None else steady_ns
        age_ns = now_ns - frame.time_ns if self._utc else 0
        with self._lock:
            oldest_ns = age_ns
            if self._noted:
                before = self._noted[-1]
                oldest_ns = max(oldest_ns, before.age_ns + came_ns - before.came_ns)
            least = int(views.min()) if len(views) else None
            self._noted.append(_Noted(came_ns, age_ns, oldest_ns, least, stds_m))
            self._unexplained, self._usable = named, usable
            self._forget(came_ns)

    def note_cameras(self, cameras: Iterable[CameraHealth], time_ns: int) -> None:
        """Take in how the cameras do while no snapshot comes.

        Args:
            cameras: Health of all cameras.
            time_ns: Now, in the time base of their capture times.
        """
        cameras = tuple(cameras)
        named, usable = unexplained(cameras, time_ns), _usable(cameras)
        with self._lock:
            self._unexplained, self._usable = named, usable

    def _forget(self, steady_ns: int) -> None:
        # One more than the window holds: it says that the window is whole.
        start_ns = steady_ns - self.rules.window_ns
        while len(self._noted) > 1 and self._noted[1].came_ns <= start_ns:
            self._noted.popleft()

    def turn_off(self, reason: str) -> None:
        """Turn it off by hand.

        Raises:
            InvalidInputError: Nobody says who and why.
        """
        if not reason.strip():
            raise InvalidInputError("turning officials off needs a reason: say who does, and why")
        with self._lock:
            self._off_reason = reason.strip()

    def leave_to_rules(self) -> None:
        """Take back what was turned off by hand."""
        with self._lock:
            self._off_reason = ""

    def judge(self, steady_ns: int) -> Availability:
        """Say how it stands now, in ns on the steady clock of :meth:`note`."""
        with self._lock:
            self._forget(steady_ns)
            start_ns = steady_ns - self.rules.window_ns
            whole = bool(self._noted) and self._noted[0].came_ns <= start_ns
            newest = self._noted[-1] if self._noted else None
            # The newest counts in any case: it is what stands while none comes.
            window = [one for one in self._noted if one.came_ns > start_ns or one is newest]
            named, usable, by_hand = self._unexplained, self._usable, self._off_reason
        values = Availability(
            AvailabilityState.AVAILABLE,
            least_views=min(
                (one.least_views for one in window if one.least_views is not None), default=None
            ),
            std_p95_m=_percentile([one.stds_m for one in window]),
            snapshot_age_ns=None if newest is None else newest.age_ns + steady_ns - newest.came_ns,
            unexplained_cameras=named,
        )
        if by_hand:
            return replace(values, state=AvailabilityState.OFF, detail=f"by hand: {by_hand}")
        worst_ns = max((one.oldest_ns for one in window), default=0)
        future = any(one.age_ns < -self.rules.max_snapshot_age_ns for one in window)
        found = _judge_ages(values, self.rules, worst_ns, whole=whole, future=future)
        if found.state is AvailabilityState.OFF:
            return found
        return _judge_rest(found, self.rules, usable)


def _percentile(stds_m: list[NDArray[np.float64]]) -> float | None:
    """Take the 95th percentile by nearest rank; None where there was nobody."""
    values = np.concatenate(stds_m) if stds_m else np.empty(0)
    if not values.size:
        return None
    rank = math.ceil(PERCENTILE * values.size) - 1
    return float(np.partition(values, rank)[rank])


def _judge_ages(
    values: Availability, rules: AvailabilityRules, worst_ns: int, *, whole: bool, future: bool
) -> Availability:
    age_ns = values.snapshot_age_ns
    if age_ns is None:
        return replace(values, state=AvailabilityState.OFF, detail="no snapshot has come")
    if age_ns > rules.off_after_ns:
        detail = f"no snapshot for {age_ns / 1e9:.1f} s"
        return replace(values, state=AvailabilityState.OFF, detail=detail)
    limit_ns = rules.max_snapshot_age_ns
    if future:
        return _fail(values, AvailabilityRule.AGE, "snapshots come from the future")
    if max(age_ns, worst_ns) > limit_ns:
        detail = f"a snapshot was {max(age_ns, worst_ns) / 1e6:.0f} ms old"
        return _fail(values, AvailabilityRule.AGE, detail)
    if not whole:
        detail = f"snapshots have not come for {rules.window_ns / 1e9:g} s yet"
        return _fail(values, AvailabilityRule.AGE, detail)
    return values


def _judge_rest(values: Availability, rules: AvailabilityRules, usable: int | None) -> Availability:
    if usable is not None and usable < rules.min_views:
        detail = f"{usable} cameras are live and used, and {rules.min_views} must see everybody"
        values = _fail(values, AvailabilityRule.VIEWS, detail)
    elif values.least_views is not None and values.least_views < rules.min_views:
        detail = f"somebody was seen by {values.least_views} cameras"
        values = _fail(values, AvailabilityRule.VIEWS, detail)
    if values.std_p95_m is not None and not values.std_p95_m <= rules.max_std_m:
        detail = f"standard deviations reach {values.std_p95_m * 1e3:.0f} mm"
        values = _fail(values, AvailabilityRule.STD, detail)
    if values.unexplained_cameras:
        names = ", ".join(values.unexplained_cameras)
        values = _fail(values, AvailabilityRule.CAMERAS, f"nobody knows what is wrong with {names}")
    return values


def _fail(values: Availability, rule: AvailabilityRule, detail: str) -> Availability:
    """Add a rule that failed, and why."""
    return replace(
        values,
        state=AvailabilityState.DEGRADED,
        failed=(*values.failed, rule),
        detail=f"{values.detail}; {detail}" if values.detail else detail,
    )


def aged(said: Availability, elapsed_ns: int, rules: AvailabilityRules) -> Availability:
    """Say what is left of an availability when nothing new was said for a time.

    Whoever serves a stream needs no live node to stop vouching for it: a node that hangs says
    nothing, and its subscribers are told all the same.

    Args:
        said: What was said last.
        elapsed_ns: How long ago.
        rules: What it is decided by.
    """
    if said.state is AvailabilityState.OFF or said.snapshot_age_ns is None:
        return said
    age_ns = said.snapshot_age_ns + max(elapsed_ns, 0)
    older = replace(said, snapshot_age_ns=age_ns)
    if age_ns > rules.off_after_ns:
        detail = f"no snapshot for {age_ns / 1e9:.1f} s"
        return replace(older, state=AvailabilityState.OFF, failed=(), detail=detail)
    if age_ns > rules.max_snapshot_age_ns and AvailabilityRule.AGE not in said.failed:
        return _fail(older, AvailabilityRule.AGE, f"a snapshot is {age_ns / 1e6:.0f} ms old")
    return older
