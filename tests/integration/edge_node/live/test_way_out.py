"""A node that is told to go has gone in ten seconds, in whatever state it and its world are."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import tipoff
from edge_node.journal.codec import decode
from edge_node.journal.entries import Ended
from edge_node.journal.reading import JournalReader
from edge_node.journal.where import journals_folder, session_folder
from tests.support.cli import run_tipoff, tipoff_command
from tests.support.disks import build_library, watched
from tests.support.nodes import NodeProcess, Session, make_game, wait_until, write_session
from tests.support.raw import Raw
from tests.support.rigs import ring_rig
from tests.support.share import for_others_s, slowed
from tests.support.videos import VideoSpec, make_video
from triton_models.server import TritonServer

LEAVE_WITHIN_S = 10.0
"""As promised, whatever hangs."""


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where calls are taken and nobody ever answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def declare(folder: Path, triton: str, *, silent_camera: str = "") -> Session:
    """A session of four cameras with pictures; the last one may be one that never answers."""
    rig = ring_rig(4)
    rig.save(folder / "rig.toml")
    make_video(folder, "film", VideoSpec(width=480, height=270, frames=24))
    session = Session(write_session(folder, rig.names, loop=True))
    session.change("game.parquet", "film.mp4")
    text = session.file.read_text().replace("[ring]\nminutes = 0", "[ring]\nminutes = 1")
    if silent_camera:
        source = f'{rig.names[-1]} = {{ source = "film.mp4", loop = true }}'
        assert source in text
        text = text.replace(source, f'{rig.names[-1]} = "rtsp://{silent_camera}/a"')
    session.file.write_text(f'{text}\n[models]\ntriton = "{triton}"\n')
    return session


def entries_of(state: Path) -> list[object]:
    folder = session_folder("walk", journals_folder(state))
    return [decode(record) for record in JournalReader(folder).records()]


def test_while_it_waits_for_models_that_do_not_answer(tmp_path: Path, silent: str) -> None:
    session = declare(tmp_path, silent)
    process = subprocess.Popen(
        [tipoff_command(), "node", "run", "--json", str(session.file)],
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = session_folder("walk", journals_folder(session.state))
    wait_until(lambda: list(journal.glob("*.sqlite")), "the journal")
    time.sleep(1.0)
    slow, began_s = slowed(), time.monotonic()
    process.terminate()
    out, err = process.communicate(timeout=60)
    took_s = time.monotonic() - began_s
    assert took_s <= LEAVE_WITHIN_S + for_others_s(slow)
    assert (process.returncode, out) == (0, ""), err
    assert "told to go before" in err
    assert "Traceback" not in err


def test_while_models_a_camera_and_a_subscriber_hang(tmp_path: Path, silent: str) -> None:
    """The models' server is stopped in the middle of the game, and nobody reads."""
    with TritonServer() as triton:
        session = declare(tmp_path, triton.grpc_address, silent_camera=silent)
        with NodeProcess(session).start() as node, grpc.insecure_channel(node.address) as channel:
            raw = Raw(channel).subscribe()
            pid = triton.run.server.pid
            wait_until(lambda: is_tracking(session), "snapshots")
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(1.0)
                slow, began_s = slowed(), time.monotonic()
                assert node.stop() == 0
                took_s = time.monotonic() - began_s
                assert took_s <= LEAVE_WITHIN_S + for_others_s(slow)
            finally:
                os.kill(pid, signal.SIGCONT)
            raw.close()
        assert not [line for line in node.log if "Traceback" in line]
    assert not [entry for entry in entries_of(session.state) if isinstance(entry, Ended)]


def is_tracking(session: Session) -> bool:
    return "newest snapshot 0" not in run_tipoff("node", "status", str(session.file)).stdout


def test_a_session_whose_disk_hangs_at_its_end_goes_on_and_ends_later(tmp_path: Path) -> None:
    game, shadow = make_game(tmp_path, seconds=8), tmp_path / "shadow"
    disk = build_library(tmp_path)
    with NodeProcess(game, watched(disk, game.state, shadow)).start() as node:
        with tipoff.Client(node.address) as client, client.stream_tracks(from_sequence=1) as live:
            snapshots = iter(live)
            for _ in range(60):
                next(snapshots)
        (shadow / "stuck").touch()
        assert node.wait() == 0
        assert node.events("the last frames were not made durable, and not sent")
    (shadow / "stuck").unlink()
    before = entries_of(game.state)
    assert not [entry for entry in before if isinstance(entry, Ended)]
    verified = run_tipoff("verify", str(session_folder("walk", journals_folder(game.state))))
    assert verified.returncode == 0, verified.stdout
    with NodeProcess(game).start() as node:
        assert node.wait() == 0
    assert isinstance(entries_of(game.state)[-1], Ended)
