"""The tracker's Python surface; what the core does is tested beside its C++ sources too."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

import accel
from bench.sim import Arena, preset
from tests.support.tracking import assert_same, feed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.sim import FrameSet

FRAMES = 40


@pytest.fixture(scope="module")
def arena() -> Arena:
    return Arena(preset("standard", cameras=5, people=4, frames=FRAMES, seed=5))


@pytest.fixture(scope="module")
def frame_sets(arena: Arena) -> list[FrameSet]:
    return list(arena.frame_sets())


def test_a_snapshot_has_the_stated_shapes_and_types(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    feed(tracker, frame_sets)
    snapshot = tracker.snapshot(frame_sets[-1].time_ns)
    assert len(snapshot) == 4
    assert snapshot.ids.tolist() == sorted(snapshot.ids.tolist())
    assert snapshot.joints_m.shape == (4, 17, 3)
    assert snapshot.covariance_m2.shape == (4, 17, 3, 3)
    assert str(snapshot.ids.dtype) == "int64"
    assert str(snapshot.joints_m.dtype) == str(snapshot.covariance_m2.dtype) == "float64"
    assert str(snapshot.confidence.dtype) == "float32"
    assert str(snapshot.views.dtype) == "int32"
    assert snapshot.confidence.shape == snapshot.views.shape == (4, 17)


def test_joints_are_near_the_truth_and_their_covariances_positive(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    feed(tracker, frame_sets)
    snapshot = tracker.snapshot(frame_sets[-1].time_ns)
    truth = arena.truth(frame_sets[-1].time_ns)
    error = np.linalg.norm(snapshot.joints_m[:, None] - truth[None], axis=-1)
    nearest: NDArray[np.float64] = np.nanmean(error, axis=-1).min(axis=1)
    assert (nearest < 0.05).all()
    known = np.isfinite(snapshot.joints_m).all(axis=-1)
    assert known.mean() > 0.95
    assert (np.linalg.eigvalsh(snapshot.covariance_m2[known]) > 0).all()


def test_names_and_indices_of_cameras_mean_the_same(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    rig = arena.accel_rig()
    by_index, by_name = accel.Tracker(rig), accel.Tracker(rig)
    feed(by_index, frame_sets)
    for frame_set in frame_sets:
        for view in frame_set.views:
            by_name.observe(rig.names[view.camera], view.capture_time_ns, view.keypoints)
    time_ns = frame_sets[-1].time_ns
    assert_same(by_index.snapshot(time_ns), by_name.snapshot(time_ns))
    np.testing.assert_array_equal(
        by_index.predict(2, time_ns).keypoints, by_name.predict(rig.names[2], time_ns).keypoints
    )


def test_questions_change_no_later_answer(arena: Arena, frame_sets: list[FrameSet]) -> None:
    rig = arena.accel_rig()
    quiet, asked = accel.Tracker(rig), accel.Tracker(rig)
    feed(quiet, frame_sets)
    for frame_set in frame_sets:
        for view in frame_set.views:
            asked.observe(view.camera, view.capture_time_ns, view.keypoints)
            asked.snapshot(view.capture_time_ns + 5_000_000)
            asked.predict(view.camera, view.capture_time_ns)
            asked.assigned(view.camera, view.capture_time_ns)
    time_ns = frame_sets[-1].time_ns
    assert_same(quiet.snapshot(time_ns), asked.snapshot(time_ns))


def test_a_thread_for_each_camera_gives_the_same_bits(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    options = accel.TrackerOptions(max_delay_ms=10_000)
    alone, shared = (accel.Tracker(arena.accel_rig(), options) for _ in range(2))
    feed(alone, frame_sets)

    def play(camera: int) -> None:
        for frame_set in frame_sets:
            for view in frame_set.views:
                if view.camera == camera:
                    shared.observe(camera, view.capture_time_ns, view.keypoints)

    threads = [threading.Thread(target=play, args=(camera,)) for camera in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time_ns = frame_sets[-1].time_ns
    assert_same(alone.snapshot(time_ns), shared.snapshot(time_ns))


def test_a_frame_that_is_too_late_is_refused_and_counted(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    feed(tracker, frame_sets)
    first = frame_sets[0].views[0]
    assert not tracker.observe(first.camera, first.capture_time_ns, first.keypoints)
    assert tracker.stats["refused_late"] == 1
    with pytest.raises(accel.TimeOutOfRangeError, match="max_delay_ms"):
        tracker.snapshot(first.capture_time_ns)


def test_a_prediction_holds_the_next_detections(arena: Arena, frame_sets: list[FrameSet]) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    feed(tracker, frame_sets[:-1])
    for view in frame_sets[-1].views:
        predicted = tracker.predict(view.camera, view.capture_time_ns)
        assert predicted.boxes_px.shape == (4, 4)
        assert predicted.visible.dtype == np.bool_
        tracker.observe(view.camera, view.capture_time_ns, view.keypoints)
        ids = tracker.assigned(view.camera, view.capture_time_ns)
        for row, track in enumerate(ids):
            if track < 0:
                continue
            k = predicted.ids.tolist().index(track)
            seen = view.keypoints[row, :, 2] > 0
            x0, y0, x1, y1 = predicted.boxes_px[k]
            u, v = view.keypoints[row, seen, 0], view.keypoints[row, seen, 1]
            inside = (u > x0) & (u < x1) & (v > y0) & (v < y1)
            assert inside.mean() > 0.8


def test_the_roster_keeps_two_people_apart_who_swap_places_unseen() -> None:
    """Two people vanish and come back in each other's place: evidence knows them again."""
    arena = Arena(preset("clean", cameras=5, people=1, frames=30, seed=2))
    tracker = accel.Tracker(arena.accel_rig(), accel.TrackerOptions(max_lost_ms=4000))
    views = [view for frame_set in arena.frame_sets() for view in frame_set.views]
    rows = {True: np.array([[0.0, -9.0]], np.float32), False: np.array([[-9.0, 0.0]], np.float32)}
    for view in views:
        tracker.observe(
            view.camera, view.capture_time_ns, view.keypoints, rows[True][: len(view.keypoints)]
        )
    newest = views[-1].capture_time_ns
    assert tracker.snapshot(newest).ids.tolist() == [1]
    shift = 600_000_000 + newest
    for view in views[:50]:
        tracker.observe(
            view.camera,
            view.capture_time_ns + shift,
            view.keypoints,
            rows[False][: len(view.keypoints)],
        )
    last = views[49].capture_time_ns + shift
    assert tracker.snapshot(last).ids.tolist() == [2]


def test_a_skeleton_is_data() -> None:
    """Three points of a box, of nobody in particular, are tracked like bodies."""
    box = accel.Skeleton(
        name="box3",
        joints=("top", "middle", "bottom"),
        edges=((0, 1), (1, 2)),
        limbs=(),
        mirror=(0, 1, 2),
        trunk=(0, 1, 2),
        parents=(1, -1, 1),
    )
    rig = Arena(preset("clean", cameras=4, people=1, frames=2)).accel_rig()
    tracker = accel.Tracker(rig, accel.TrackerOptions(skeleton=box))
    points = np.array([[1.0, 0.5, 1.8], [1.0, 0.5, 1.0], [1.0, 0.5, 0.1]])
    uv = rig.project(points)
    for frame in range(10):
        for camera in range(4):
            keypoints = np.concatenate([uv[None, :, camera], np.ones((1, 3, 1))], axis=2)
            tracker.observe(camera, frame * 40_000_000, keypoints)
    snapshot = tracker.snapshot(9 * 40_000_000)
    assert snapshot.ids.tolist() == [1]
    np.testing.assert_allclose(snapshot.joints_m[0], points, atol=5e-3)


def test_before_any_observation_nobody_is_there(arena: Arena) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    assert len(tracker.snapshot(123)) == 0
    assert len(tracker.predict(0, 123)) == 0
    assert tracker.observe(0, 0, np.zeros((0, 17, 3), np.float32))
    assert len(tracker.snapshot(0)) == 0


@pytest.mark.parametrize(
    ("camera", "time_ns", "keypoints", "message"),
    [
        (7, 0, np.zeros((1, 17, 3)), "camera 7 is not in the rig"),
        (-1, 0, np.zeros((1, 17, 3)), "camera -1 is not in the rig"),
        ("nowhere", 0, np.zeros((1, 17, 3)), "nowhere"),
        (0, 0, np.zeros((1, 16, 3)), r"needs\s+\(N, 17, 3\)"),
        (0, 0, np.zeros((17, 3)), r"\(N, 17, 3\)"),
        (0, 2**63, np.zeros((1, 17, 3)), "nanoseconds"),
    ],
)
def test_input_that_cannot_be_is_refused_with_its_reason(
    arena: Arena, camera: int | str, time_ns: int, keypoints: NDArray[np.float64], message: str
) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    with pytest.raises(accel.TipoffError, match=message):
        tracker.observe(camera, time_ns, keypoints)
    assert tracker.stats["accepted"] == 0


def test_times_are_integers_and_evidence_has_a_row_for_each_detection(arena: Arena) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    with pytest.raises(accel.InvalidInputError, match="integer nanoseconds"):
        tracker.snapshot(1.5)  # type: ignore[arg-type]
    with pytest.raises(accel.InvalidInputError, match="evidence"):
        tracker.observe(0, 0, np.zeros((2, 17, 3)), np.zeros((1, 4)))


@pytest.mark.parametrize(
    "options",
    [{"max_delay_ms": -1.0}, {"max_std_m": 0.0}, {"sigma_px": float("nan")}, {"certain_views": 1}],
)
def test_options_that_cannot_be_are_refused_by_name(options: dict[str, float]) -> None:
    with pytest.raises(accel.InvalidInputError, match=next(iter(options))):
        accel.TrackerOptions(**options)  # type: ignore[arg-type]
