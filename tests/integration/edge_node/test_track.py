"""`tipoff track` on real video with the real server, as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from edge_node.demo import CALIBRATION, CAMERAS, fetch_clips
from tests.support.cli import run_tipoff, tipoff_command
from tests.support.triton import triton_server
from tests.support.videos import VideoSpec, make_video
from triton_models.server import TritonServer

__all__ = ["triton_server"]

FRAMES = 12
RESULTS = ["overlay.mp4", "report.html", "summary.json", "tracks.parquet"]


@pytest.fixture(scope="module")
def clip() -> Path:
    """The two-person clip with its calibration, fetched once into the user's cache."""
    return fetch_clips() / "two-person"


def arguments(clip: Path, out: Path, server: TritonServer, *more: str) -> list[str]:
    videos = [str(clip / f"{camera}.mp4") for camera in CAMERAS]
    rig = str(clip / CALIBRATION)
    where = ["--rig", rig, "--out", str(out), "--triton", server.grpc_address]
    return ["track", *where, *more, *videos]


@pytest.fixture(scope="module")
def tracked(
    tmp_path_factory: pytest.TempPathFactory, clip: Path, triton_server: TritonServer
) -> tuple[Path, dict[str, Any]]:
    """A dozen frames of the clip, tracked."""
    out = tmp_path_factory.mktemp("tracked") / "deep" / "folder"
    done = run_tipoff(*arguments(clip, out, triton_server, "--max-frames", str(FRAMES), "--json"))
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


Tracked = tuple[Path, dict[str, Any]]


def test_two_players_are_tracked_from_the_first_frame_to_the_last(tracked: Tracked) -> None:
    out, summary = tracked
    assert sorted(path.name for path in out.iterdir()) == RESULTS
    assert json.loads((out / "summary.json").read_text()) == summary
    whole = [t for t in summary["tracks"] if t["snapshots"] == FRAMES]
    assert len(whole) == len(summary["tracks"]) == 2
    assert summary["frames"] == FRAMES
    assert summary["reprojection_px"]["median"] < 16.0


def test_the_summary_says_all_that_it_should(tracked: Tracked) -> None:
    summary = tracked[1]
    assert [camera["name"] for camera in summary["cameras"]] == list(CAMERAS)
    assert [camera["frames"] for camera in summary["cameras"]] == [FRAMES] * 4
    for track in summary["tracks"]:
        assert track["first_time_ns"] == 0
        assert track["last_time_ns"] == pytest.approx((FRAMES - 1) / 60 * 1e9, abs=2)
    assert summary["reprojection_px"]["p95"] > summary["reprojection_px"]["median"]
    assert 0.0 < summary["limb_length_variation"] < 0.2
    for stage in ("decode", "convert", "detect", "pose", "track", "parquet", "overlay", "total"):
        assert summary["seconds"][stage] > 0
    (model,) = summary["models"]
    assert model["name"] == "movenet-multipose"
    assert len(model["sha256"]) == 64
    assert {"tipoff", "python", "numpy", "av"} <= set(summary["versions"])


def test_the_table_holds_finite_joints_in_a_room(tracked: Tracked) -> None:
    table = pq.read_table(tracked[0] / "tracks.parquet").to_pandas()
    assert len(table) == FRAMES * 2 * 17
    hips = table[table.joint == "left_hip"]
    assert hips.z_m.between(0.3, 1.5).all()
    assert (hips[["cov_xx", "cov_yy", "cov_zz"]] > 0).all(axis=None)


def test_the_same_videos_give_the_same_table_bit_by_bit(
    tracked: Tracked, clip: Path, triton_server: TritonServer, tmp_path: Path
) -> None:
    again = run_tipoff(
        *arguments(clip, tmp_path, triton_server, "--max-frames", str(FRAMES), "--no-overlay")
    )
    assert again.returncode == 0, again.stderr
    assert "tracks: 2" in again.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == RESULTS[1:]
    a, b = (pq.read_table(folder / "tracks.parquet") for folder in (tracked[0], tmp_path))
    for name in a.column_names:
        left, right = (column.to_pandas().to_numpy() for column in (a[name], b[name]))
        assert np.array_equal(left, right, equal_nan=left.dtype.kind == "f"), name


def test_a_crop_model_and_the_loop_switched_off_work_too(
    clip: Path, triton_server: TritonServer, tmp_path: Path
) -> None:
    for options in (
        ["--pose-model", "mixed"],
        ["--pose-model", "lightning"],
        ["--detect-every", "1"],
    ):
        done = run_tipoff(
            *arguments(clip, tmp_path, triton_server, "--max-frames", "6", "--json"),
            *["--no-overlay", *options],
        )
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["tracks"]) >= 2


def test_an_interrupt_leaves_whole_files_of_what_was_tracked(
    clip: Path, triton_server: TritonServer, tmp_path: Path
) -> None:
    command = [tipoff_command(), *arguments(clip, tmp_path, triton_server)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        # The table is begun when everything is open, and the first frames follow at once.
        while not list(tmp_path.glob(".tracks.parquet.*.part")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["interrupted"]
    assert summary["frames"] < 100
    table = pq.read_table(tmp_path / "tracks.parquet")
    assert len(set(table["time_ns"].to_pylist())) <= summary["frames"]
    assert sorted(path.name for path in tmp_path.iterdir()) == RESULTS


def test_an_interrupt_before_the_first_frame_mixes_no_two_runs(
    clip: Path, triton_server: TritonServer, tmp_path: Path
) -> None:
    (tmp_path / "overlay.mp4").write_bytes(b"of another run")
    command = [tipoff_command(), *arguments(clip, tmp_path, triton_server)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".tracks.parquet.*.part")) and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    left = {path.name for path in tmp_path.iterdir()}
    anew = "overlay.mp4" not in left or (tmp_path / "overlay.mp4").read_bytes() != b"of another run"
    # Whatever moment it hit: all of this run and nothing of another, or only what was there before.
    assert left <= set(RESULTS)
    assert anew == ("summary.json" in left), left
    assert anew or left == {"overlay.mp4"}


@pytest.mark.parametrize(
    ("videos", "said"),
    [
        (["cam01.mp4", "cam02.mp4", "cam03.mp4"], "no video for cam04"),
        (["cam01.mp4", "cam02.mp4", "cam03.mp4", "north.mp4"], "north.mp4 fits no camera"),
    ],
)
def test_videos_that_do_not_match_are_told_with_both_lists(
    clip: Path, tmp_path: Path, videos: list[str], said: str
) -> None:
    paths = [str(clip / video) for video in videos]
    done = run_tipoff("track", "--rig", clip / CALIBRATION, "--out", tmp_path / "o", *paths)
    assert done.returncode == 2
    assert said in done.stderr
    assert "cameras of the rig: cam01, cam02, cam03, cam04" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()


def test_what_cannot_be_read_is_told_before_any_server_starts(clip: Path, tmp_path: Path) -> None:
    good = [str(clip / f"{camera}.mp4") for camera in CAMERAS[:3]]
    broken = tmp_path / "cam04.mp4"
    broken.write_bytes(b"not a video")
    small = make_video(tmp_path, "wide-cam04", VideoSpec(width=96, height=64))
    rig, fourth = str(clip / CALIBRATION), str(clip / "cam04.mp4")
    cases: list[tuple[list[str], str, int]] = [
        (["--rig", rig, *good, str(broken)], "cannot be read as a video", 2),
        (["--rig", rig, *good, str(small)], "calibrated for 1088x1920", 2),
        (["--rig", str(broken), *good, str(small)], "cam04.mp4", 2),
        (["--rig", str(tmp_path / "no.toml"), *good], "does not exist", 2),
        (["--rig", rig, "--detect-every", "0", *good], "--detect-every", 2),
        (["--rig", rig, "--input-size", "500", *good], "multiple of 32", 2),
        (["--rig", rig, "--rest-every", "1", *good], "rest_every", 2),
        (["--rig", rig, "--area", "1,2", *good], "--area", 2),
        (["--rig", rig, "--start", "yesterday", *good], "--start", 2),
        (["--rig", rig, "--offset", "cam01", *good], "--offset", 2),
        (["--rig", rig, "--offset", "cam9=5", *good, str(broken)], "cam9", 3),
        (["--rig", rig, "--pose-model", "nobodys", *good, fourth], "models add", 3),
        (["--rig", rig, "--pose-model", "movenet-multipose", *good, fourth], "whole frames", 2),
    ]
    for given, said, code in cases:
        began = time.monotonic()
        done = run_tipoff("track", "--out", tmp_path / "o", *given)
        assert said in done.stderr, (given, done.stderr)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert "starting the server" not in done.stderr
        assert time.monotonic() - began < 60


def test_a_server_that_is_not_there_is_told_and_leaves_no_half_files(
    clip: Path, tmp_path: Path
) -> None:
    videos = [str(clip / f"{camera}.mp4") for camera in CAMERAS]
    (tmp_path / "tracks.parquet").write_text("of an earlier run")
    where = ["--rig", str(clip / CALIBRATION), "--out", str(tmp_path), "--triton", "127.0.0.1:9"]
    done = run_tipoff("track", *where, "--max-frames", "4", "--json", *videos)
    assert done.returncode == 5
    error = json.loads(done.stdout)["error"]
    assert error["retryable"]
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.parquet"]
    assert (tmp_path / "tracks.parquet").read_text() == "of an earlier run"


def test_scaled_copies_of_the_videos_need_no_other_calibration(
    clip: Path, triton_server: TritonServer, tmp_path: Path
) -> None:
    for camera in CAMERAS:
        shrink(clip / f"{camera}.mp4", tmp_path / f"{camera}.mp4")
    (tmp_path / CALIBRATION).write_bytes((clip / CALIBRATION).read_bytes())
    done = run_tipoff(*arguments(tmp_path, tmp_path / "o", triton_server, "--json", "--no-overlay"))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert len(summary["tracks"]) == 2
    assert summary["reprojection_px"]["median"] < 20.0


def shrink(source: Path, target: Path, frames: int = 6) -> None:
    """Write the first frames of a video at half its size."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = made.add_stream("libx264", rate=60)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 544, 960, "yuv420p"
        for _, frame in zip(range(frames), given.decode(video=0), strict=False):
            small = frame.reformat(544, 960, "yuv420p")
            small.pts = None
            made.mux(stream.encode(small))
        made.mux(stream.encode(None))
