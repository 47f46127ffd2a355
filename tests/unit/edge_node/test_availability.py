"""The availability for officials: each rule by itself, on values worked out by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from accel.tracker import Snapshot
from edge_node.availability import (
    SILENT_AFTER_NS,
    AvailabilityRules,
    Officials,
    aged,
    person_stds_m,
    person_views,
    unexplained,
)
from edge_node.description import TimeBase
from edge_node.frames import (
    Availability,
    AvailabilityRule,
    AvailabilityState,
    CameraHealth,
    CameraState,
    TrackedFrame,
)
from tipoff.errors import InvalidInputError

START_NS = 1_800_000_000_000_000_000
MS = 1_000_000
PERIOD_NS = 20 * MS
JOINTS = 5
AVAILABLE, DEGRADED, OFF = AvailabilityState
NAMED = (
    CameraState.FROZEN,
    CameraState.BLACK,
    CameraState.DUPLICATED,
    CameraState.LATE,
    CameraState.SWAPPED,
    CameraState.MOVED,
)


def _camera(state: CameraState = CameraState.LIVE, **more: object) -> CameraHealth:
    last_ns = more.pop("last_ns", START_NS)
    return CameraHealth("left", state, 10, 0, last_ns, **more)  # type: ignore[arg-type]


def _frame(
    time_ns: int,
    views: tuple[int, ...] = (4, 4),
    std_m: float = 0.01,
    cameras: tuple[CameraHealth, ...] = (),
) -> TrackedFrame:
    """Make a frame with a person for each of ``views``, every joint alike."""
    people = len(views)
    snapshot = Snapshot(
        time_ns=time_ns,
        ids=np.arange(people, dtype=np.int64),
        joints_m=np.zeros((people, JOINTS, 3)),
        covariance_m2=np.broadcast_to(np.eye(3) * std_m**2, (people, JOINTS, 3, 3)).copy(),
        confidence=np.ones((people, JOINTS), np.float32),
        views=np.repeat(np.array(views, np.int32)[:, None], JOINTS, axis=1),
    )
    return TrackedFrame(time_ns, snapshot, cameras)


def _frames(count: int, first: int = 0, **more: object) -> Iterator[TrackedFrame]:
    for number in range(first, first + count):
        yield _frame(START_NS + number * PERIOD_NS, **more)  # type: ignore[arg-type]


def _feed(officials: Officials, frames: Iterator[TrackedFrame], late_ns: int = 50 * MS) -> int:
    """Feed frames that come ``late_ns`` after their time; return when the last one came."""
    now_ns = 0
    for frame in frames:
        now_ns = frame.time_ns + late_ns
        officials.note(frame, now_ns)
    return now_ns


def test_all_rules_hold_after_a_whole_window() -> None:
    officials = Officials()
    now_ns = _feed(officials, _frames(60))
    said = officials.judge(now_ns)
    assert (said.state, said.failed, said.detail) == (AVAILABLE, (), "")
    assert said.least_views == 4
    assert said.std_p95_m == pytest.approx(0.01)
    assert said.snapshot_age_ns == 50 * MS


def test_before_a_whole_window_nobody_vouches() -> None:
    officials = Officials()
    assert officials.judge(START_NS).state is OFF
    now_ns = _feed(officials, _frames(50))
    said = officials.judge(now_ns)
    assert (said.state, said.failed) == (DEGRADED, (AvailabilityRule.AGE,))
    assert "not come for 1 s yet" in said.detail
    now_ns = _feed(officials, _frames(1, first=50))
    assert officials.judge(now_ns).state is AVAILABLE


def test_one_person_of_one_snapshot_fails_the_views_for_a_window() -> None:
    officials = Officials()
    _feed(officials, _frames(60))
    _feed(officials, _frames(1, first=60, views=(4, 2)))
    now_ns = _feed(officials, _frames(49, first=61))
    said = officials.judge(now_ns)
    assert (said.state, said.failed, said.least_views) == (DEGRADED, (AvailabilityRule.VIEWS,), 2)
    assert said.detail == "somebody was seen by 2 cameras"
    now_ns = _feed(officials, _frames(1, first=110))
    assert officials.judge(now_ns).state is AVAILABLE


def test_a_persons_views_are_the_lower_median_over_its_given_joints() -> None:
    snapshot = _frame(0, views=(0, 0, 0)).snapshot
    snapshot.views[0] = [0, 0, 4, 5, 6]
    snapshot.views[1] = [0, 0, 4, 5, 6]
    snapshot.joints_m[1, 0] = np.nan
    snapshot.joints_m[2] = np.nan
    assert person_views(snapshot).tolist() == [4, 4, 0]
    snapshot.joints_m[1, 4] = np.nan
    assert person_views(snapshot).tolist() == [4, 4, 0]
    snapshot.joints_m[1, 3] = np.nan
    assert person_views(snapshot).tolist() == [4, 0, 0]


def test_a_persons_std_is_that_of_its_worst_joint_in_its_worst_direction() -> None:
    snapshot = _frame(0, views=(4, 4, 4)).snapshot
    turn = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    snapshot.covariance_m2[0, 3] = turn @ np.diag([0.09**2, 0.01**2, 0.01**2]) @ turn.T
    snapshot.covariance_m2[1, 2] = np.nan
    snapshot.covariance_m2[2, 2] = np.nan
    snapshot.joints_m[2, 2] = np.nan
    assert person_stds_m(snapshot).tolist() == pytest.approx([0.09, np.inf, 0.01])


@pytest.mark.parametrize(("wide", "state"), [(50, AVAILABLE), (51, DEGRADED)])
def test_one_in_twenty_may_be_beyond_the_limit(wide: int, state: AvailabilityState) -> None:
    """A window of 50 snapshots with 20 people: of 1,000 values the 950th counts."""
    officials = Officials()
    _feed(officials, _frames(60, views=(4,) * 20, std_m=0.02))
    frames = list(_frames(50, first=60, views=(4,) * 20, std_m=0.02))
    for one in range(wide):
        frames[one % 50].snapshot.covariance_m2[one // 50] = np.eye(3) * 0.5**2
    said = officials.judge(_feed(officials, iter(frames)))
    assert said.state is state
    assert said.std_p95_m == pytest.approx(0.02 if state is AVAILABLE else 0.5)
    assert said.failed == (() if state is AVAILABLE else (AvailabilityRule.STD,))


def test_nobody_on_court_is_no_failure() -> None:
    officials = Officials()
    said = officials.judge(_feed(officials, _frames(60, views=())))
    assert said.state is AVAILABLE
    assert (said.least_views, said.std_p95_m) == (None, None)


@pytest.mark.parametrize("late_ns", [251 * MS, 900 * MS])
def test_late_snapshots_fail_by_their_age(late_ns: int) -> None:
    officials = Officials()
    said = officials.judge(_feed(officials, _frames(120), late_ns))
    assert (said.state, said.failed) == (DEGRADED, (AvailabilityRule.AGE,))
    assert said.snapshot_age_ns == late_ns


def test_a_pause_is_told_by_its_length_and_for_a_window_after_it() -> None:
    officials = Officials()
    now_ns = _feed(officials, _frames(60))
    states = [officials.judge(now_ns + ms * MS).state for ms in (200, 201, 950, 951)]
    assert states == [AVAILABLE, DEGRADED, DEGRADED, OFF]
    now_ns = _feed(officials, _frames(49, first=75))
    said = officials.judge(now_ns)
    assert (said.state, said.failed) == (DEGRADED, (AvailabilityRule.AGE,))
    assert "370 ms old" in said.detail
    assert officials.judge(_feed(officials, _frames(3, first=124))).state is AVAILABLE


def test_snapshots_from_the_future_fail() -> None:
    officials = Officials()
    said = officials.judge(_feed(officials, _frames(60), late_ns=-300 * MS))
    assert (said.state, said.failed) == (DEGRADED, (AvailabilityRule.AGE,))
    assert "future" in said.detail


def test_where_times_are_no_utc_ages_count_from_the_making() -> None:
    officials = Officials(time_base=TimeBase.RECORDING)
    for number in range(60):
        officials.note(_frame(number * PERIOD_NS), START_NS + number * PERIOD_NS)
    said = officials.judge(START_NS + 59 * PERIOD_NS + 30 * MS)
    assert (said.state, said.snapshot_age_ns) == (AVAILABLE, 30 * MS)


def test_a_clock_that_is_set_back_keeps_nobody_available() -> None:
    """How long no snapshot has come is told by a clock that nobody sets."""
    officials, steady_ns = Officials(), 7_000 * MS
    for frame in _frames(60):
        officials.note(frame, frame.time_ns + 50 * MS, steady_ns)
        steady_ns += PERIOD_NS
    # The wall's clock is set back by a minute here, and nothing comes any more.
    steady_ns -= PERIOD_NS
    states = [officials.judge(steady_ns + ms * MS).state for ms in (200, 201, 950, 951)]
    assert states == [AVAILABLE, DEGRADED, DEGRADED, OFF]


def test_the_newest_snapshot_counts_also_where_the_window_is_over() -> None:
    """With a window shorter than the age that is borne nothing lies in it in between."""
    officials = Officials(AvailabilityRules(window_ns=100 * MS))
    now_ns = _feed(officials, _frames(60, views=(4, 2), std_m=0.5))
    said = officials.judge(now_ns + 150 * MS)
    assert said.failed == (AvailabilityRule.VIEWS, AvailabilityRule.STD)
    assert (said.least_views, said.std_p95_m) == (2, 0.5)


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        (_camera(), False),
        (_camera(last_ns=START_NS - SILENT_AFTER_NS), False),
        (_camera(last_ns=START_NS - SILENT_AFTER_NS - 1), True),
        (_camera(last_ns=None), True),
        (_camera(left_out=True), True),
        (_camera(left_out=True, detail="by hand"), False),
        (_camera(CameraState.WAITING), True),
        (_camera(CameraState.WAITING, left_out=True, detail="it has no source"), False),
        (_camera(CameraState.FAILED, left_out=True, detail="broken"), True),
        (_camera(CameraState.DISCONNECTED), False),
        (_camera(CameraState.ENDED), False),
        (_camera(CameraState.BLIND), False),
        *((_camera(state), True) for state in NAMED),
        *((_camera(state, left_out=True), False) for state in NAMED),
    ],
)
def test_a_camera_that_fails_needs_an_explanation(camera: CameraHealth, expected: bool) -> None:
    assert unexplained([camera], START_NS) == (("left",) if expected else ())


def test_an_unexplained_camera_degrades_at_once_and_only_while_it_is() -> None:
    officials = Officials()
    now_ns = _feed(officials, _frames(60))
    others = [_camera()] * 3
    officials.note_cameras([_camera(CameraState.FAILED), *others], START_NS)
    said = officials.judge(now_ns)
    assert (said.state, said.failed) == (DEGRADED, (AvailabilityRule.CAMERAS,))
    assert said.unexplained_cameras == ("left",)
    assert "left" in said.detail
    officials.note_cameras([_camera(CameraState.DISCONNECTED), *others], START_NS)
    assert officials.judge(now_ns).state is AVAILABLE


@pytest.mark.parametrize(
    ("lost", "state"),
    [
        ([], AVAILABLE),
        ([_camera(CameraState.DISCONNECTED, detail="the switch is dead")], DEGRADED),
        ([_camera(CameraState.BLIND, left_out=True)], DEGRADED),
        ([_camera(left_out=True, detail="by hand")], DEGRADED),
    ],
)
def test_nobody_is_vouched_for_who_cannot_be_seen(
    lost: list[CameraHealth], state: AvailabilityState
) -> None:
    """Every loss is explained and nobody is tracked any more: no other rule says anything."""
    cameras = (*[_camera()] * (3 - len(lost)), *lost * 6)
    officials = Officials()
    now_ns = _feed(officials, _frames(60, views=(), cameras=cameras))
    officials.note_cameras(cameras, START_NS)
    said = officials.judge(now_ns)
    assert said.state is state
    if lost:
        assert said.failed == (AvailabilityRule.VIEWS,)
        assert said.detail == "2 cameras are live and used, and 3 must see everybody"


def test_all_that_fail_are_named() -> None:
    officials = Officials()
    cameras = (_camera(CameraState.FROZEN),)
    frames = _frames(120, views=(1,), std_m=0.5, cameras=cameras)
    said = officials.judge(_feed(officials, frames, 300 * MS))
    assert set(said.failed) == set(AvailabilityRule)


def test_by_hand_it_is_off_whatever_the_rules_say() -> None:
    officials = Officials()
    now_ns = _feed(officials, _frames(60))
    officials.turn_off(" the referee: a rail is loose ")
    said = officials.judge(now_ns)
    assert (said.state, said.failed) == (OFF, ())
    assert said.detail == "by hand: the referee: a rail is loose"
    assert said.least_views == 4
    officials.leave_to_rules()
    assert officials.judge(now_ns).state is AVAILABLE
    with pytest.raises(InvalidInputError, match="say who"):
        officials.turn_off(" ")


def test_what_is_kept_is_bounded() -> None:
    officials = Officials()
    _feed(officials, _frames(500))
    assert len(officials._noted) == 51


@pytest.mark.parametrize(
    "rules",
    [
        {"window_ns": 0},
        {"min_views": -1},
        {"max_std_m": float("nan")},
        {"max_snapshot_age_ns": 2_000_000_000},
        {"max_snapshot_age_ns": 0},
    ],
)
def test_rules_that_cannot_be_are_refused(rules: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError):
        AvailabilityRules(**rules)  # type: ignore[arg-type]


def test_what_nobody_renews_runs_out() -> None:
    rules = AvailabilityRules()
    said = Availability(AVAILABLE, least_views=4, std_p95_m=0.01, snapshot_age_ns=50 * MS)
    assert aged(said, 200 * MS, rules).state is AVAILABLE
    older = aged(said, 201 * MS, rules)
    assert (older.state, older.failed) == (DEGRADED, (AvailabilityRule.AGE,))
    assert older.snapshot_age_ns == 251 * MS
    gone = aged(said, 951 * MS, rules)
    assert (gone.state, gone.failed, gone.detail) == (OFF, (), "no snapshot for 1.0 s")
    by_hand = dataclasses.replace(said, state=OFF, detail="by hand: rain")
    assert aged(by_hand, 10_000 * MS, rules) == by_hand
