"""The definitions by which a run is judged, on input whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from accel import COCO17, Rig, Snapshot
from edge_node.frames import CameraHealth, CameraState, TrackedFrame, ViewDetections
from edge_node.summary import (
    SummarySink,
    arm_and_leg_limbs,
    limb_lengths,
    limb_ratios,
    limb_variation,
    reprojection_px,
)
from tests.support.rigs import ring_rig

J = len(COCO17.joints)


def person(rng: np.random.Generator) -> np.ndarray:
    return rng.normal([0.0, 0.0, 1.0], [0.3, 0.3, 0.5], (J, 3))


def snapshot(time_ns: int, people: dict[int, np.ndarray]) -> Snapshot:
    joints = np.array(list(people.values())).reshape(-1, J, 3)
    count = len(people)
    return Snapshot(
        time_ns,
        np.array(list(people), np.int64),
        joints,
        np.tile(np.eye(3) * 1e-4, (count, J, 1, 1)),
        np.ones((count, J), np.float32),
        np.full((count, J), 3, np.int32),
    )


def view_of(
    rig: Rig, camera: int, now: Snapshot, shift_px: float, assigned: list[int]
) -> ViewDetections:
    uv = rig.project(now.joints_m)[:, :, camera]
    uv[..., 0] += shift_px
    keypoints = np.concatenate([uv, np.ones((*uv.shape[:2], 1))], axis=-1).astype(np.float32)
    return ViewDetections(camera, now.time_ns, 0, keypoints, np.array(assigned, np.int64), now)


def test_the_eight_limbs_of_arms_and_legs() -> None:
    names = {frozenset((COCO17.joints[a], COCO17.joints[b])) for a, b in arm_and_leg_limbs(COCO17)}
    assert names == {
        frozenset((f"{side}_{a}", f"{side}_{b}"))
        for side in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    }


def test_limb_variation_is_the_mean_over_limbs_and_tracks_of_deviation_over_mean() -> None:
    steady = np.full((10, 2), 0.4)
    wavering = np.tile([[0.3], [0.5]], (5, 2))
    assert limb_variation({1: steady}) == 0.0
    assert limb_variation({1: steady, 2: wavering}) == pytest.approx((0.0 + 0.25) / 2)
    assert limb_variation({}) is None
    assert limb_variation({1: np.full((3, 2), np.nan)}) is None


def test_a_limb_with_an_unknown_end_is_left_out_of_its_snapshot() -> None:
    lengths = np.array([[0.3], [np.nan], [0.5]])
    assert limb_ratios(lengths)[0] == pytest.approx(0.25)
    assert np.isnan(limb_ratios(lengths[:2])[0])
    joints = np.zeros((J, 3))
    joints[7] = [0.0, 0.3, 0.4]
    assert limb_lengths(joints, ((5, 7),))[0] == pytest.approx(0.5)
    joints[5] = np.nan
    assert np.isnan(limb_lengths(joints, ((5, 7),))[0])


def test_reprojection_is_over_confident_keypoints_of_assigned_detections_outliers_included() -> (
    None
):
    rig, rng = ring_rig(4), np.random.default_rng(0)
    now = snapshot(5, {3: person(rng), 8: person(rng)})
    view = view_of(rig, 2, now, 4.0, [8, -1])
    view.keypoints[0, :, :2] = rig.project(now.joints_m[1])[:, 2] + [4.0, 0.0]
    view.keypoints[0, 0, 0] += 300.0
    view.keypoints[0, 1, 2] = 0.149
    view.keypoints[0, 2, 0] = np.nan
    view.keypoints[0, 3, 2] = 0.15
    ids, distances = reprojection_px(view, rig)
    assert ids.tolist() == [8] * (J - 2)
    assert distances[0] == pytest.approx(304.0, abs=0.01)
    assert np.median(distances) == pytest.approx(4.0, abs=0.01)


def test_a_detection_of_a_track_that_is_not_reported_does_not_count() -> None:
    rig, rng = ring_rig(4), np.random.default_rng(0)
    now = snapshot(5, {3: person(rng)})
    assert not len(reprojection_px(view_of(rig, 0, now, 0.0, [77]), rig)[1])


def test_a_joint_that_the_track_does_not_know_is_counted_apart() -> None:
    rig, rng = ring_rig(4), np.random.default_rng(0)
    body = person(rng)
    now = snapshot(5, {3: body})
    view = view_of(rig, 0, now, 1.0, [3])
    now.joints_m[0, 4] = np.nan
    sink = SummarySink(rig, COCO17)
    sink.write(tracked(now, view))
    assert sink.keypoints() == (J - 1, 1)
    assert sink.reprojection()["median"] == pytest.approx(1.0, abs=0.01)


def tracked(now: Snapshot, *views: ViewDetections) -> TrackedFrame:
    health = tuple(
        CameraHealth(f"cam{c:02}", CameraState.LIVE, 1, 0, now.time_ns) for c in range(4)
    )
    return TrackedFrame(now.time_ns, now, health, views)


def test_tracks_have_their_first_and_last_time_and_count() -> None:
    rig, rng = ring_rig(4), np.random.default_rng(0)
    a, b = person(rng), person(rng)
    sink = SummarySink(rig, COCO17)
    for time_ns, people in ((10, {1: a}), (20, {1: a, 2: b}), (30, {2: b}), (40, {})):
        sink.write(tracked(snapshot(time_ns, people)))
    said = sink.as_dict()
    assert said["frames"] == 4
    assert [
        (t["id"], t["first_time_ns"], t["last_time_ns"], t["snapshots"]) for t in said["tracks"]
    ] == [(1, 10, 20, 2), (2, 20, 30, 2)]
    assert said["limb_length_variation"] == 0.0
    assert said["reprojection_px"] == {"median": None, "p95": None}


def test_nobody_at_all_is_no_error() -> None:
    said = SummarySink(ring_rig(4), COCO17).as_dict()
    assert said["tracks"] == []
    assert said["limb_length_variation"] is None
