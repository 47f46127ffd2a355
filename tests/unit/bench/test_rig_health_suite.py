"""suite=rig_health: faults are what they say, streams are residuals, and a small run measures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.config import BenchConfig, RigConfig
from bench.sim import Arena, preset
from bench.sim.faults import Fault, befallen, changed
from bench.sim.residuals import ResidualStream, StreamOptions
from bench.suites.rig_health import Config, alarms, run


@pytest.fixture(scope="module")
def arena() -> Arena:
    return Arena(preset("clean", cameras=4, people=3, frames=40))


def test_a_change_moves_images_as_it_should(arena: Arena) -> None:
    point = np.array([[[0.5, -1.0, 1.0]]])
    before = arena.rig.project(point)[0][:, 0]

    def moved(fault: Fault) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        after = changed(arena.rig, fault).project(point)[0][:, 0]
        others = np.arange(4) != fault.camera
        np.testing.assert_array_equal(after[others], before[others])
        return np.asarray(after[fault.camera] - before[fault.camera])

    focal = arena.rig.K[1, 0, 0]
    right = moved(Fault(1, turn_deg=(0.0, 0.2, 0.0)))
    assert right[0] == pytest.approx(-np.deg2rad(0.2) * focal, rel=0.05)
    assert abs(right[1]) < 0.5
    up = moved(Fault(1, turn_deg=(0.2, 0.0, 0.0)))
    assert up[1] == pytest.approx(np.deg2rad(0.2) * focal, rel=0.05)
    centre = arena.rig.K[1, :2, 2]
    np.testing.assert_allclose(moved(Fault(1, zoom=0.01)), 0.01 * (before[1] - centre))
    depth = float((arena.rig.R[1] @ point[0, 0] + arena.rig.t[1])[2])
    aside = moved(Fault(1, shift_m=(0.005, 0.0, 0.0)))
    assert aside[0] == pytest.approx(-0.005 * focal / depth, rel=0.05)


def test_a_late_camera_shows_what_was_before_and_a_swapped_one_another(arena: Arena) -> None:
    honest = list(arena.frame_sets())
    late = list(befallen(arena, Fault(2, late_frames=3), 20))
    swapped = list(befallen(arena, Fault(2, shows=0), 20, 30))
    for frame in (0, 19, 20, 39):
        views = {view.camera: view for view in late[frame].views}
        source = honest[frame - 3 if frame >= 20 else frame].views
        own = next(view for view in source if view.camera == 2)
        np.testing.assert_array_equal(views[2].keypoints, own.keypoints)
        assert views[2].capture_time_ns == honest[frame].views[0].capture_time_ns
    for frame, source_camera in ((19, 2), (20, 0), (29, 0), (30, 2)):
        shown = next(view for view in swapped[frame].views if view.camera == 2)
        own = next(view for view in honest[frame].views if view.camera == source_camera)
        np.testing.assert_array_equal(shown.keypoints, own.keypoints)


def test_a_stream_is_noise_until_its_fault_begins() -> None:
    options = StreamOptions(people=6, held_px=0.1, gross_share=0.0, wander_px=0.0)
    fault = Fault(1, turn_deg=(0.0, 0.2, 0.0))
    blocks = list(ResidualStream(options).chunks(40.0, fault, 20.0))
    means = np.concatenate([b.means_px for b in blocks])
    counts = np.concatenate([b.counts for b in blocks])
    begun = np.concatenate([b.times_ns for b in blocks]) > 20_000_000_000
    camera = means[:, :, 1, 0]
    seen = counts[:, :, 1] > 0
    assert abs(camera[~begun][seen[~begun]].mean()) < 0.2
    assert camera[begun][seen[begun]].mean() == pytest.approx(-5.5, abs=0.5)
    assert abs(means[begun][:, :, 0, 0][counts[begun][:, :, 0] > 0].mean()) < 0.2


def test_people_err_alike_for_seconds() -> None:
    options = StreamOptions(people=6, sigma_px=0.1, held_px=1.0, gross_share=0.0, held_s=4.0)
    blocks = next(ResidualStream(options).chunks(300.0))
    stays = (blocks.counts[1:] > 0) & (blocks.counts[:-1] > 0)
    pairs = blocks.means_px[:-1, ..., 0][stays], blocks.means_px[1:, ..., 0][stays]
    assert np.corrcoef(*pairs)[0, 1] > 0.5


@pytest.mark.parametrize(
    "options",
    [StreamOptions(), StreamOptions(constant_px=12.0), StreamOptions(people=8, tempo=2.0)],
    ids=["held", "biased", "fast"],
)
def test_no_alarm_in_some_minutes_of_a_healthy_stream(options: StreamOptions) -> None:
    assert alarms(replace(options, seed=3), 900.0) == 0


def test_a_small_run_measures_and_meets_its_targets() -> None:
    suite = Config(
        play_s=10.0,
        fault_s=2.0,
        faults=["pan 0.2 deg", "swapped"],
        stream_hours=0.25,
        starts=1,
        calm_s=0.0,
    )
    report = run(BenchConfig(suite=suite, rig=RigConfig(cameras=[6])))
    assert report.missed == []
    faults, healthy = report.tables
    rows = {str(row["fault"]): row for row in faults.rows}
    assert rows["pan 0.2 deg"]["verdict"] == "turned"
    assert rows["swapped"]["words"] == "camera cam3 shows the pictures of camera cam1"
    assert rows["none"]["verdict"] == "good"
    assert all(row["other_cameras_accused"] == 0 for row in rows.values())
    assert len(healthy.rows) == 5
