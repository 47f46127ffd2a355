"""A live node as its users meet it: a process, its streams, its socket, its numbers."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import tipoff
from edge_node.journal.where import journals_folder, session_folder
from edge_node.live.config import read_session
from edge_node.live.manage import NodeClient
from edge_node.live.node import LiveNode
from edge_node.live.opening import open_parts
from edge_node.serving import Stop
from tests.support.cli import run_tipoff
from tests.support.nodes import Game, NodeProcess, make_game, wait_until
from tipoff.errors import InternalError
from tipoff.follow import ClientOptions

OPTIONS = ClientOptions(resume_timeout_s=60.0, backoff_max_s=0.1)


def is_serving(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def journal_of(game: Game) -> Path:
    return session_folder("walk", journals_folder(game.state))


def test_a_recording_is_served_live_and_smoothed_to_its_end(tmp_path: Path) -> None:
    game = make_game(tmp_path, seconds=6)
    with NodeProcess(game).start() as node, tipoff.Client(node.address, OPTIONS) as client:
        assert node.ready["epoch"] == 1
        with client.stream_tracks(from_sequence=1) as live:
            snapshots = list(live)
            assert live.end is not None
            assert live.end.reason == "completed"
        assert [s.sequence for s in snapshots] == list(range(1, len(snapshots) + 1))
        assert len(snapshots) > 100
        assert {len(s.ids) for s in snapshots[30:]} == {3}
        assert node.wait() == 0
    assert any("every recording" in line or "not ready" in line for line in node.log)


def test_the_node_says_how_it_does_and_lets_itself_be_run(tmp_path: Path) -> None:
    game = make_game(tmp_path, seconds=60, loop=True)
    with NodeProcess(game).start() as node:
        wait_until(lambda: is_serving(node.address), "readiness")

        def status() -> dict[str, object]:
            told = run_tipoff("node", "status", "--json", str(game.file))
            assert told.returncode == 0, told.stderr
            found: dict[str, object] = json.loads(told.stdout)
            return found

        wait_until(
            lambda: status()["availability"]["state"] == "AVAILABILITY_STATE_AVAILABLE",  # type: ignore[index]
            "availability",
        )
        removed = run_tipoff("node", "camera", "remove", str(game.file), "cam01")
        assert removed.returncode == 0, removed.stderr
        cameras = {c["health"]["name"]: c for c in status()["cameras"]}  # type: ignore[attr-defined]
        assert cameras["cam01"]["health"]["left_out"]
        assert cameras["cam01"]["source"] == ""
        again = run_tipoff("node", "camera", "remove", str(game.file), "cam01")
        assert again.returncode == 3
        source = str(tmp_path / "game.parquet")
        put = run_tipoff("node", "camera", "put", str(game.file), "cam01", source)
        assert put.returncode == 0, put.stderr
        wrong = run_tipoff("node", "camera", "put", str(game.file), "cam01", "rtsp://127.0.0.1:1/a")
        assert wrong.returncode == 4
        assert "no models to look with" in wrong.stderr

        off = run_tipoff("node", "officials", str(game.file), "off")
        assert off.returncode == 2
        reason = ("--reason", "the referee asked for it")
        off = run_tipoff("node", "officials", str(game.file), "off", *reason)
        assert off.returncode == 0, off.stderr
        assert status()["availability"]["state"] == "AVAILABILITY_STATE_OFF"  # type: ignore[index]
        text = run_tipoff("node", "status", str(game.file)).stdout
        assert "officials: off: by hand: the referee asked for it" in text
        assert run_tipoff("node", "officials", str(game.file), "rules").returncode == 0

        with urllib.request.urlopen(f"http://{node.ready['metrics']}/metrics", timeout=10) as told:
            numbers = told.read().decode()
        assert 'tipoff_node_info{node="courtside",session="walk"' in numbers
        assert "tipoff_ready 1.0" in numbers
        assert node.stop() == 0
    assert not is_there(game.state / "admin.sock")


def test_a_camera_that_comes_and_goes_is_in_step_at_once(tmp_path: Path) -> None:
    """What it gave at once would be overtaken, and look as if inference could not follow."""
    game = make_game(tmp_path, seconds=60, loop=True)
    with NodeProcess(game).start() as node, NodeClient(node.ready["admin"]) as admin:
        wait_until(lambda: is_serving(node.address), "readiness")
        time.sleep(1.5)  # So that there is a second of play to be behind.
        for _ in range(5):
            admin.remove_camera("cam01")
            admin.put_camera("cam01", str(tmp_path / "game.parquet"))
            before = _frames(admin)
            wait_until(lambda before=before: _frames(admin) > before + 10, "frames")
        assert _dropped(admin).get("slot_overtaken", 0) <= 10, "a second at once is 22 each time"
        assert node.stop() == 0


def _frames(admin: NodeClient) -> int:
    return {one.health.name: one.health.frames for one in admin.status().cameras}["cam01"]


def _dropped(admin: NodeClient) -> dict[str, int]:
    found = {one.health.name: one for one in admin.status().cameras}["cam01"]
    return {one.reason: one.frames for one in found.dropped}


def is_there(path: Path) -> bool:
    return path.exists()


def test_on_sigterm_it_is_unready_first_and_subscribers_lose_nothing(tmp_path: Path) -> None:
    game = make_game(tmp_path, seconds=60, loop=True)
    with NodeProcess(game).start() as node:
        client = tipoff.Client(node.address, ClientOptions(resume_timeout_s=1.0))
        seen: list[int] = []
        with client, client.stream_tracks(from_sequence=1) as live:
            for snapshot in live:
                seen.append(snapshot.sequence)
                if len(seen) == 60:
                    break
            began_s = time.monotonic()
            assert node.process is not None
            node.process.terminate()
            with pytest.raises(tipoff.TipoffError):
                seen.extend(snapshot.sequence for snapshot in live)
        assert node.wait() == 0
        assert time.monotonic() - began_s < 30.0
    assert seen == list(range(1, len(seen) + 1))
    events = [json.loads(line).get("event") for line in node.log if line.startswith("{")]
    assert "not ready" in events
    assert "left without a commit" not in events


def test_a_killed_node_goes_on_in_the_next_epoch_and_nobody_misses_what_was_sent(
    tmp_path: Path,
) -> None:
    game = make_game(tmp_path, seconds=60, loop=True)
    got: list[tuple[int, int]] = []
    with NodeProcess(game).start() as node, tipoff.Client(node.address, OPTIONS) as client:
        with client.stream_tracks(from_sequence=1) as live:
            for snapshot in live:
                got.append((snapshot.epoch, snapshot.sequence))
                if len(got) in (70, 140):
                    node.kill()
                    node.start(fixed=len(got) == 70)
                if len(got) >= 200 and snapshot.epoch == 3:
                    break
        assert live.reconnects >= 2
    assert len(set(got)) == len(got)
    assert got == sorted(got)
    for epoch in (1, 2, 3):
        mine = [sequence for e, sequence in got if e == epoch]
        assert mine == list(range(1, len(mine) + 1))
    assert got[-1][0] == 3


def test_officials_that_were_turned_off_by_hand_are_off_after_a_kill(tmp_path: Path) -> None:
    game = make_game(tmp_path, seconds=60, loop=True)
    with NodeProcess(game).start() as node:
        wait_until(lambda: is_serving(node.address), "readiness")
        with NodeClient(node.ready["admin"]) as admin:
            admin.set_officials(off=True, reason="A. Smith: cam02 is being replaced")
        for _ in range(2):
            node.kill()
            node.start()
            wait_until(lambda: is_serving(node.address), "readiness")
            with NodeClient(node.ready["admin"]) as admin:
                said = admin.status().availability
            assert said.detail == "by hand: A. Smith: cam02 is being replaced"
        with NodeClient(node.ready["admin"]) as admin:
            admin.set_officials(off=False, reason="")
        node.kill()
        node.start()
        wait_until(lambda: is_serving(node.address), "readiness")
        with NodeClient(node.ready["admin"]) as admin:
            assert "by hand" not in admin.status().availability.detail


def test_a_session_ended_by_hand_tells_why_and_is_never_written_again(
    tmp_path: Path,
) -> None:
    game = make_game(tmp_path, seconds=60, loop=True)
    with NodeProcess(game).start() as node:
        unsaid = run_tipoff("node", "end", str(game.file), "--reason", " ")
        assert unsaid.returncode == 2, unsaid.stderr
        with (
            tipoff.Client(node.address, OPTIONS) as client,
            NodeClient(node.ready["admin"]) as admin,
            client.stream_tracks(from_sequence=1) as live,
        ):
            following = iter(live)
            first = [next(following) for _ in range(60)]
            newest = admin.end_session("whistle")
            rest = list(following)
            assert live.end is not None
            assert live.end.reason == "stopped"
            assert live.end.detail.startswith("whistle, after ")
        sequences = [snapshot.sequence for snapshot in first + rest]
        assert sequences == list(range(1, len(sequences) + 1))
        assert len(sequences) >= newest
        assert node.wait() == 0
        told = run_tipoff("journal", "info", "--json", str(journal_of(game)))
        assert "whistle" in told.stdout
        assert run_tipoff("node", "end", str(game.file), "--reason", "again").returncode == 5
    again = run_tipoff("node", "run", str(game.file))
    assert again.returncode == 4
    assert "has ended" in again.stderr
    verified = run_tipoff("verify", str(journal_of(game)))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_second_node_of_a_session_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    game = make_game(tmp_path, seconds=60, loop=True)
    with NodeProcess(game).start() as node:
        second = run_tipoff("node", "run", "--json", str(game.file))
        assert second.returncode == 4
        assert "written by another process" in json.loads(second.stdout)["error"]["message"]
        assert node.stop() == 0


@pytest.mark.parametrize("failure", [InternalError("a part is broken"), KeyboardInterrupt()])
def test_a_node_whose_tracking_fails_is_unready_before_anything_is_closed(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    game = make_game(tmp_path, seconds=60, loop=True)
    ready_at_close: list[bool] = []
    with open_parts(read_session(game.file), lambda _line: None) as opened:
        node = LiveNode(opened, lambda _node: None)
        close = node.group.close

        def run_and_fail() -> None:
            while not node.ready:
                node.loop._wait()
                node.loop.turn()
            raise failure

        def close_and_look(within_s: float) -> None:
            ready_at_close.append(node.ready)
            close(within_s)

        monkeypatch.setattr(node.loop, "run", run_and_fail)
        monkeypatch.setattr(node.group, "close", close_and_look)
        with pytest.raises(type(failure)):
            node.run(Stop())
    assert ready_at_close == [False]
