"""Starting, looking at, breaking, repairing and stopping a real server, as a user does it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cli import run_tipoff
from tests.support.figures import court_picture, encode_jpeg
from triton_models import environment, runs, server
from triton_models.client import ClientOptions, InferenceClient
from triton_models.environment import Environment
from triton_models.errors import (
    BadRequestError,
    EnvironmentBrokenError,
    ModelNotFoundError,
    PortTakenError,
    ServerStartError,
    ServerUnavailableError,
)
from triton_models.paths import cache_dir, weights_dir
from triton_models.repository import RepositoryOptions
from triton_models.segments import SHM
from triton_models.server import ServerOptions, TritonServer
from triton_models.status import check_models, repair, stubs_of

FREE = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
MODELS = {
    "jpeg_letterbox",
    "people_decode",
    "people_frame",
    "people_heads",
    "people_jpeg",
    "pose_crops",
}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep this test's servers apart from the user's, and end whatever it leaves."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield tmp_path
    for run in runs.all_runs():
        server.stop(run)


def command(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run `tipoff triton ARGUMENTS --json`; return the exit code and what it wrote."""
    ran = run_tipoff("triton", *arguments, "--json")
    return ran.returncode, json.loads(ran.stdout)


def segments(prefix: str) -> list[Path]:
    return list(SHM.glob(f"{prefix}*"))


@pytest.mark.usefixtures("state")
def test_up_status_down_from_several_terminals() -> None:
    code, up = command("up", *FREE)
    assert (code, up["already_up"]) == (0, False)
    code, again = command("up", *FREE)
    assert (code, again["already_up"], again["pid"]) == (0, True, up["pid"])
    code, status = command("status")
    assert (code, status["healthy"]) == (0, True)
    assert {model["name"] for model in status["models"]} == MODELS
    assert all(model["latency_ms"] > 0 for model in status["models"])
    code, down = command("down")
    assert (code, down) == (0, {"stopped": True, "graceful": True})
    assert command("down") == (0, {"stopped": False, "graceful": True})
    code, status = command("status")
    assert code == ServerUnavailableError.exit_code
    assert "tipoff triton up" in status["error"]["message"]


@pytest.mark.usefixtures("state")
def test_dead_and_frozen_stubs_are_seen_and_repaired() -> None:
    with TritonServer() as running, InferenceClient(running.grpc_address) as client:
        for stub in stubs_of(running.run)["people_heads"]:
            stub.signal(signal.SIGKILL)
        with pytest.raises(ServerUnavailableError, match="tipoff triton repair"):
            client.people_jpeg(encode_jpeg(court_picture()))
        stubs_of(running.run)["people_frame"][0].signal(signal.SIGKILL)  # one of two
        stubs_of(running.run)["pose_crops"][0].signal(signal.SIGSTOP)  # one of two
        problems = {m.name for m in check_models(running.run, 2.0) if m.problem is not None}
        assert problems == {"people_frame", "people_heads", "people_jpeg", "pose_crops"}
        assert repair(running.run) == ["people_frame", "people_heads", "pose_crops"]
        assert all(model.problem is None for model in check_models(running.run))
        counts = {name: len(stubs) for name, stubs in stubs_of(running.run).items()}
        assert (counts["people_frame"], counts["pose_crops"]) == (2, 2), "nothing is left over"
        for _ in range(4):
            assert len(client.people_frame(court_picture()).scores) == 2
        assert repair(running.run) == []


@pytest.mark.usefixtures("state")
def test_memory_left_by_a_killed_server_is_cleaned() -> None:
    _, up = command("up", *FREE)
    run = runs.find("default")
    assert run is not None
    assert segments(run.shm_prefix)
    os.kill(up["pid"], signal.SIGKILL)
    assert run.server.wait(10.0)
    assert segments(run.shm_prefix), "a killed server leaves its memory"
    code, status = command("status")
    assert (code, "has died" in status["error"]["message"]) == (5, True)
    code, again = command("up", *FREE)
    assert (code, again["already_up"]) == (0, False)
    assert segments(run.shm_prefix) == []


@pytest.mark.usefixtures("state")
def test_a_server_whose_owner_was_killed_is_ended_by_the_next_start() -> None:
    code = (
        "import sys\n"
        "from triton_models.server import TritonServer\n"
        "with TritonServer():\n"
        "    print('up', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        (orphan,) = runs.all_runs()
        owner.kill()
        owner.wait()
    assert orphan.server.alive()
    with TritonServer():
        assert not orphan.server.alive()
        assert not orphan.folder.exists()
        assert segments(orphan.shm_prefix) == []


@pytest.mark.usefixtures("state")
def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {port} on .*--http-port"):
            server.start(ServerOptions(http_port=port), report=print, detached=False)
        code, told = command("up", *FREE[:-1], str(port))
    assert code == PortTakenError.exit_code
    assert "--metrics-port" in told["error"]["message"]


@pytest.mark.usefixtures("state")
def test_weights_that_were_never_pulled(tmp_path: Path) -> None:
    options = ServerOptions(RepositoryOptions(weights=tmp_path / "nothing"))
    with pytest.raises(ModelNotFoundError, match="tipoff models pull"), TritonServer(options):
        pass


@pytest.mark.usefixtures("state")
def test_an_added_pose_model_is_found_without_a_restart(tmp_path: Path) -> None:
    store = tmp_path / "weights"
    shutil.copytree(weights_dir(), store)
    frame, boxes = court_picture(), np.array([[150, 66, 250, 292]], np.float32)
    options = ServerOptions(RepositoryOptions(weights=store))
    with TritonServer(options) as running, InferenceClient(running.grpc_address) as client:
        with pytest.raises(BadRequestError, match="no model 'mine'"):
            client.pose_crops(frame, boxes, "mine")
        manifest = json.loads((store / "movenet-thunder" / "manifest.json").read_text())
        (store / "mine").mkdir()
        shutil.copy(store / "movenet-thunder" / "model.onnx", store / "mine" / "model.onnx")
        text = json.dumps(manifest | {"name": "mine"})
        (store / "mine" / "manifest.json").write_text(text)
        mine = client.pose_crops(frame, boxes, "mine")
        np.testing.assert_array_equal(mine, client.pose_crops(frame, boxes, "thunder"))
        (store / "mine" / "model.onnx").write_bytes(b"damaged")
        (store / "mine" / "manifest.json").write_text(text.replace(manifest["sha256"], "0" * 64))
        with pytest.raises(Exception, match="was changed or damaged"):
            client.pose_crops(frame, boxes, "mine")
        assert client.pose_crops(frame, boxes).shape == (1, 17, 3)


@pytest.mark.usefixtures("state")
def test_numpy_2_in_the_models_environment_is_refused() -> None:
    installed = environment.locate()
    wrong = Environment(Path(sys.prefix), installed.server)  # the tests' own has NumPy 2
    with (
        pytest.raises(EnvironmentBrokenError, match=r"NumPy 2.*it needs numpy<2"),
        TritonServer(ServerOptions(environment=wrong)),
    ):
        pass


@pytest.mark.usefixtures("state")
def test_a_server_that_cannot_load_a_model_says_which_and_why(tmp_path: Path) -> None:
    store = tmp_path / "weights"
    shutil.copytree(weights_dir(), store)
    (store / "movenet-multipose" / "model.onnx").write_bytes(b"no model")
    options = ServerOptions(RepositoryOptions(weights=store))
    with pytest.raises(ServerStartError, match=r"people_(frame|heads)") as caught:
        server.start(options, report=print, detached=False)
    assert "was changed or damaged" in str(caught.value)
    assert list(runs.all_runs()) == []


@pytest.mark.usefixtures("state")
def test_a_client_outlives_a_restart_of_its_server() -> None:
    command("up", *FREE)
    first = runs.find("default")
    assert first is not None
    options = ClientOptions(deadline_s=5.0)
    with InferenceClient(first.grpc_address, options) as client:
        assert len(client.people_frame(court_picture()).scores) == 2
        assert server.stop(first)
        with pytest.raises(ServerUnavailableError, match="tipoff triton up"):
            client.people_frame(court_picture())
        again = server.start(
            ServerOptions(name="default", grpc_port=first.grpc_port), report=print, detached=True
        )
        assert again.server != first.server
        answer = answer_within(client, 20.0)
        assert answer == 2


def answer_within(client: InferenceClient, limit_s: float) -> int:
    """Ask until the channel has found the server again."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return len(client.people_frame(court_picture()).scores)
        except ServerUnavailableError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.usefixtures("state")
def test_the_heads_may_run_in_models_of_their_own(triton_client: InferenceClient) -> None:
    """The gpu profile's way of running networks, through Triton itself, on the CPU."""
    with (
        TritonServer(ServerOptions(RepositoryOptions(heads_by="triton"))) as running,
        InferenceClient(running.grpc_address) as client,
    ):
        served = client.people_frame(court_picture())
    own = triton_client.people_frame(court_picture())
    np.testing.assert_allclose(served.keypoints, own.keypoints, atol=1e-3)


def test_install_is_done_once() -> None:
    lines: list[str] = []
    where = environment.install(lines.append)
    assert lines == [], "the second install has nothing to do, and needs no network"
    assert where.models.is_relative_to(cache_dir())
    environment.check(where)
