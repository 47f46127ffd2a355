"""A node whose disk dies in the middle of a game: officials are told, and nothing is lost.

The disk is full, refuses to sync (`TIPOFF_FAULTS=long` only), or never comes back from it, while
somebody follows the stream.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tipoff
from edge_node.journal.codec import decode
from edge_node.journal.entries import Snapped
from edge_node.journal.reading import JournalReader
from edge_node.journal.where import journals_folder, session_folder
from tests.support.cli import run_tipoff, tipoff_command
from tests.support.disks import build_library, watched
from tests.support.nodes import PATIENCE_S, NodeProcess, make_game, wait_until
from tests.support.share import for_others_s, slowed
from tipoff.follow import ClientOptions

S = 1_000_000_000
OFF_AFTER_S = 1.0
"""Without a snapshot, by the rules."""
TOLD_WITHIN_S = 1.0
"""How soon a change is pushed."""
DEAD_S = 2.5
"""Longer than it takes until nothing more may wait for the disk, and the loop stands still."""
LEAVE_WITHIN_S = 10.0
"""How long a node that is told to go may take, whatever its disk does."""
REASONS = {"full": "is full", "broken": "cannot be written", "stuck": "has not returned for"}
LONG = os.environ.get("TIPOFF_FAULTS") == "long"
FAULTS = tuple(REASONS) if LONG else ("full", "stuck")
GOES = {signal.SIGTERM: 0, signal.SIGINT: 130} if LONG else {signal.SIGTERM: 0}
"""Exit code of a node whose start hangs, by the signal that tells it to go."""
AVAILABLE, OFF = "available", "off"


@dataclass
class Follower:
    """Follows the live stream and notes when it was told what."""

    address: str
    snapshots: list[tipoff.Snapshot] = field(default_factory=list)
    told: list[tuple[float, str, str, str]] = field(default_factory=list)
    """When (monotonic), the availability's state, why, and what is done less well."""
    newest_s: float = 0.0
    """When the newest snapshot came."""

    def __post_init__(self) -> None:
        self._sent_ns = 0
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        options = ClientOptions(resume_timeout_s=1.0)
        with tipoff.Client(self.address, options) as client:
            stream = client.stream_tracks(from_sequence=1)
            try:
                for event in stream.events():
                    self._note(event)
                    if self._leaving.is_set():
                        return
            except tipoff.TipoffError:
                return  # the node went
            finally:
                stream.close()

    def _note(self, event: tipoff.Snapshot | tipoff.Heartbeat) -> None:
        now_s = time.monotonic()
        if isinstance(event, tipoff.Snapshot):
            self.snapshots.append(event)
            self.newest_s = now_s
        said = event.availability
        if said is None or event.sent_ns < self._sent_ns:
            return  # nobody has judged yet, or it was held back and is older than what was told
        self._sent_ns = event.sent_ns
        why = "; ".join(one.detail for one in event.degradations)
        self.told.append((now_s, said.state, said.detail, why))

    def is_told(self, state: str) -> bool:
        """Whether that is what was told last."""
        assert self._thread.is_alive(), "the stream ended"
        return bool(self.told) and self.told[-1][1] == state

    def leave(self) -> None:
        """Follow no longer."""
        self._leaving.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that lets a disk fail."""
    return build_library(tmp_path_factory.mktemp("power"))


@pytest.mark.parametrize("fault", FAULTS)
def test_officials_are_off_while_the_disk_is_dead_and_nothing_is_lost(
    tmp_path: Path, disk: Path, fault: str
) -> None:
    game, shadow = make_game(tmp_path, seconds=60, loop=True), tmp_path / "shadow"
    with NodeProcess(game, watched(disk, game.state, shadow)).start() as node:
        follower = Follower(node.address)
        wait_until(lambda: follower.is_told(AVAILABLE), "availability")
        (shadow / fault).touch()
        newest_s = assert_officials_are_told(follower, fault)
        status = run_tipoff("node", "status", str(game.file))
        assert status.returncode == 0, status.stderr
        assert "officials: off: no snapshot for" in status.stdout
        assert REASONS[fault] in status.stdout
        time.sleep(DEAD_S)
        assert follower.newest_s == newest_s, "something was sent that is not on disk"
        held = len(follower.snapshots)
        (shadow / fault).unlink()
        wait_until(lambda: follower.is_told(AVAILABLE), "availability again")
        wait_until(lambda: len(follower.snapshots) > held + 60, "the game")
        assert not node.events("left without a commit")

        # It is told to go while its disk is dead, and everything stands still behind it.
        (shadow / fault).touch()
        assert_officials_are_told(follower, fault)
        time.sleep(DEAD_S)
        slow, began_s = slowed(), time.monotonic()
        assert node.stop() == 0
        took_s = time.monotonic() - began_s
        assert took_s <= LEAVE_WITHIN_S + for_others_s(slow)
        follower.leave()
    (shadow / fault).unlink()
    assert_nothing_lost(game.state, follower.snapshots)
    with NodeProcess(game).start() as node, tipoff.Client(node.address) as client:
        with client.stream_tracks(from_sequence=1) as stream:
            assert next(iter(stream)).epoch == 2, "it goes on where it was"
        assert node.stop() == 0


@pytest.mark.parametrize("number", GOES)
def test_a_node_whose_disk_hangs_while_it_starts_goes_when_it_is_told_to(
    tmp_path: Path, disk: Path, number: signal.Signals
) -> None:
    game, shadow = make_game(tmp_path, seconds=60, loop=True), tmp_path / "shadow"
    environment = {**os.environ, **watched(disk, game.state, shadow)}
    (shadow / "stuck").touch()
    command = [tipoff_command(), "node", "run", str(game.file)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until((game.state / "journals").is_dir, "the start")
            time.sleep(0.5)
            slow, began_s = slowed(), time.monotonic()
            process.send_signal(number)
            told = process.communicate(timeout=PATIENCE_S)[1]
            took_s = time.monotonic() - began_s
        finally:
            process.kill()
    assert process.returncode == GOES[number], told
    assert "does not answer" in told
    assert took_s <= LEAVE_WITHIN_S + 1.0 + for_others_s(slow)
    (shadow / "stuck").unlink()
    with NodeProcess(game).start() as node:
        assert node.stop() == 0


def assert_officials_are_told(follower: Follower, fault: str) -> float:
    """They are off in time and know why; gives when the newest snapshot came."""
    wait_until(lambda: follower.is_told(OFF), "that officials are off")
    times_s = (at_s for at_s, state, *_ in follower.told if state == OFF)
    off_s = next(at_s for at_s in times_s if at_s > follower.newest_s)
    assert off_s - follower.newest_s <= OFF_AFTER_S + TOLD_WITHIN_S, off_s - follower.newest_s
    wait_until(lambda: REASONS[fault] in follower.told[-1][3], "the reason", TOLD_WITHIN_S + 1.0)
    assert "no snapshot for" in follower.told[-1][2]
    return follower.newest_s


def assert_nothing_lost(state: Path, snapshots: list[tipoff.Snapshot]) -> None:
    """What came is what is on disk, whole and in order, and the journal proves itself."""
    folder = session_folder("walk", journals_folder(state))
    entries = [decode(record) for record in JournalReader(folder).records()]
    kept = {e.sequence: e.time_ns for e in entries if isinstance(e, Snapped) and e.kind == "live"}
    received = [(one.sequence, one.time_ns) for one in snapshots]
    assert [sequence for sequence, _ in received] == list(range(1, len(received) + 1))
    assert received == [(sequence, kept[sequence]) for sequence, _ in received]
    verified = run_tipoff("verify", str(folder), "--json")
    assert verified.returncode == 0, verified.stdout
    assert json.loads(verified.stdout)["snapshots"]["live"] == len(kept)
