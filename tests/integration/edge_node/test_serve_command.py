"""`tipoff serve` and `tipoff watch` as a user runs them: two terminals, real video, real server."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tipoff
from edge_node.demo import CALIBRATION, CAMERAS, fetch_clips
from tests.support.cli import run_tipoff, tipoff_command
from tests.support.streams import make_hub, serving
from tests.support.triton import triton_server
from triton_models.server import TritonServer

__all__ = ["triton_server"]

FRAMES = 20


@pytest.fixture(scope="module")
def clip() -> Path:
    """The one-person clip with its calibration, fetched once into the user's cache."""
    return fetch_clips() / "one-person"


@contextmanager
def served(
    clip: Path, server: TritonServer, state: Path, *more: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run `tipoff serve` until the block ends; gives the process and what it said when ready."""
    videos = [str(clip / f"{camera}.mp4") for camera in CAMERAS]
    where = ["--rig", str(clip / CALIBRATION), "--triton", server.grpc_address]
    command = [tipoff_command(), "serve", *where, "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(
        ["env", f"XDG_STATE_HOME={state}", *command, *more, *videos],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate(timeout=30)[1]
            yield process, json.loads(line)
        finally:
            if process.poll() is None:
                process.kill()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_second_terminal_sees_every_snapshot_from_the_first_to_the_end(
    clip: Path, triton_server: TritonServer, tmp_path: Path
) -> None:
    frames = ("--max-frames", str(FRAMES), "--no-pace")
    with served(clip, triton_server, tmp_path, *frames, "--linger", "30") as (process, ready):
        watched = run_tipoff("watch", ready["address"], "--from-sequence", "1", "--json")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert watched.returncode == 0, watched.stderr
    header, *snapshots, end = lines(watched.stdout)
    assert header["header"]["cameras"] == list(CAMERAS)
    assert header["header"]["models"][0]["name"] == "movenet-multipose"
    assert [s["sequence"] for s in snapshots] == list(range(1, FRAMES + 1))
    assert {track["id"] for s in snapshots for track in s["tracks"]} == {1}
    assert end["end"]["reason"] == "completed"


def test_a_session_served_again_has_the_next_epoch_and_says_so_to_who_resumes(
    clip: Path, triton_server: TritonServer, tmp_path: Path
) -> None:
    frames = ("--max-frames", "4", "--no-pace", "--linger", "30")
    for epoch in (1, 2):
        with served(clip, triton_server, tmp_path, *frames) as (process, ready):
            assert ready["epoch"] == epoch
            with (
                tipoff.Client(ready["address"]) as client,
                client.stream_tracks(from_sequence=1, from_epoch=1) as stream,
            ):
                first = next(stream)
                assert first.epoch == epoch
                assert bool(first.gap_before) == (epoch == 2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_an_interrupt_ends_serving_with_whole_files(
    clip: Path, triton_server: TritonServer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with served(clip, triton_server, tmp_path, "--out", str(out)) as (process, ready):
        with (
            tipoff.Client(ready["address"]) as client,
            client.stream_tracks(from_sequence=1) as stream,
        ):
            assert next(stream).sequence == 1
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 130, said
    assert "Traceback" not in said
    assert json.loads((out / "summary.json").read_text())["frames"] >= 1


def test_watching_ends_after_the_count_asked_for() -> None:
    with serving(make_hub(10)) as (_, address):
        watched = run_tipoff("watch", address, "--from-sequence", "3", "--count", "2")
    assert watched.returncode == 0, watched.stderr
    assert [line["sequence"] for line in lines(watched.stdout)[1:]] == [3, 4]


def test_watching_where_nobody_serves_says_so_and_exits_with_5() -> None:
    watched = run_tipoff("watch", "127.0.0.1:9", "--timeout", "1")
    assert watched.returncode == 5
    assert "127.0.0.1:9" in watched.stderr
    assert "Traceback" not in watched.stderr


def test_a_taken_address_is_named(clip: Path, triton_server: TritonServer, tmp_path: Path) -> None:
    with serving(make_hub()) as (_, address):
        videos = [str(clip / f"{camera}.mp4") for camera in CAMERAS]
        refused = run_tipoff(
            *["serve", "--rig", str(clip / CALIBRATION), "--triton", triton_server.grpc_address],
            *["--listen", address, *videos],
            env={"XDG_STATE_HOME": str(tmp_path)},
        )
    assert refused.returncode == 4, refused.stderr
    assert address in refused.stderr
