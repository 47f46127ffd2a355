"""A1 and A9 of a whole node: `kill -9` in the middle of a game, seen by a recorder outside.

Few kills in `make test`, fifty by `make robustness`.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path

import pytest

import tipoff
from edge_node.journal.codec import decode
from edge_node.journal.entries import Observed, Snapped
from edge_node.journal.reading import JournalReader
from edge_node.journal.where import journals_folder, session_folder
from tests.support.cli import run_tipoff
from tests.support.nodes import PATIENCE_S, NodeProcess, make_game, wait_until
from tipoff.follow import ClientOptions

KILLS = int(os.environ.get("TIPOFF_KILLS", "4"))
OPTIONS = ClientOptions(resume_timeout_s=60.0, backoff_max_s=0.1)
SEEN_BEFORE_KILL = (5, 60)
"""Snapshots that the recorder gets between a start and a kill, at random."""


class Recorder:
    """Somebody outside who follows the session over every restart and keeps what came."""

    def __init__(self, address: str) -> None:
        self.seen: list[tuple[int, int, int]] = []
        self.repeated = 0
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._follow, args=(address,))
        self._thread.start()

    def _follow(self, address: str) -> None:
        with (
            tipoff.Client(address, OPTIONS) as client,
            client.stream_tracks(from_sequence=1) as stream,
        ):
            for one in stream:
                self.seen.append((one.epoch, one.sequence, one.time_ns))
                if self._leaving.is_set():
                    return

    def wait_for(self, epoch: int, count: int) -> None:
        """Wait until so many snapshots of an epoch have come."""
        wait_until(
            lambda: (
                sum(e == epoch for e, _, _ in self.seen[-count - 5 :]) >= count
                or sum(e == epoch for e, _, _ in self.seen) >= count
            ),
            f"{count} snapshots of epoch {epoch}",
        )

    def leave(self) -> None:
        """Follow no longer."""
        self._leaving.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.mark.timeout(120 + 30 * KILLS)
def test_what_was_received_survives_every_kill_and_the_whole_game_verifies(tmp_path: Path) -> None:
    game = make_game(tmp_path, seconds=30, loop=True)
    chance = random.Random(4)
    with NodeProcess(game).start() as node:
        recorder = Recorder(node.address)
        for kill in range(KILLS):
            recorder.wait_for(kill + 1, chance.randint(*SEEN_BEFORE_KILL))
            time.sleep(chance.random() * 0.05)
            node.kill()
            node.start(fixed=kill == 0)
        recorder.wait_for(KILLS + 1, 10)
        recorder.leave()
        assert node.stop() == 0

    folder = session_folder("walk", journals_folder(game.state))
    entries = [decode(record) for record in JournalReader(folder).records()]
    kept = [e for e in entries if isinstance(e, Snapped) and e.kind == "live"]
    sent, epoch = {}, 0
    for entry in kept:
        epoch += entry.sequence == 1
        sent[epoch, entry.sequence] = entry.time_ns
    received = {(e, s): at for e, s, at in recorder.seen}
    assert len(received) == len(recorder.seen), "something came twice"
    assert list(received) == sorted(received), "something came out of order"
    assert received.items() <= sent.items(), "something was received that is not on disk"
    first, last = min(received), max(received)
    missed = [key for key in sent if first <= key <= last and key not in received]
    assert not missed, "something on disk never came"
    times: dict[int, int] = {}
    observed = [entry for entry in entries if isinstance(entry, Observed) and entry.accepted]
    for call in observed:
        assert call.capture_time_ns > times.get(call.camera, -1), "a camera's frames turned"
        times[call.camera] = call.capture_time_ns

    verified = run_tipoff("verify", str(folder), "--json")
    assert verified.returncode == 0, verified.stderr
    found = json.loads(verified.stdout)
    assert len(found["epochs"]) == KILLS + 1
