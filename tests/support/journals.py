"""Journals of small simulated games."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from accel import NotYetError, Rig, Tracker, TrackerOptions
from edge_node.encoding import encode_snapshot
from edge_node.frames import TrackedFrame
from edge_node.journal.digest import snapshot_digest
from edge_node.journal.entries import Checkpointed, Entry, Observed, Snapped, StateChanged
from edge_node.journal.facts import SessionFacts
from edge_node.journal.journal import Journal, JournalOptions
from edge_node.journal.keys import NodeKey
from tests.support.games import Game, game

SESSION = "finals"
LAP_NS = 2_000_000_000
START_NS = 1_700_000_000_000_000_000


@functools.cache
def key() -> NodeKey:
    """One key for all tests of a process."""
    return NodeKey.generate()


@functools.cache
def facts() -> SessionFacts:
    """The facts of the simulated session."""
    rig = simulated().rig
    return SessionFacts(SESSION, rig, isa=Tracker(rig).isa, models=(("net", "sha256:00"),))


@functools.cache
def simulated(steps: int = 120) -> Game:
    """The game that all of these journals hold."""
    return game(steps=steps)


class Play:
    """Tracks a simulated game and gives what the journal is to be given, a frame-set at a time.

    Args:
        tracker: Fresh, or resumed.
        epoch: The writer's.
        first: Frame-set to begin with.
        checkpoint_every: Frame-sets between two checkpoints.
    """

    def __init__(
        self,
        tracker: Tracker | None = None,
        epoch: int = 1,
        first: int = 0,
        checkpoint_every: int = 30,
    ) -> None:
        self.game = simulated()
        self.rig: Rig = self.game.rig
        self.tracker = tracker or Tracker(self.rig, TrackerOptions())
        self.epoch, self.step, self.checkpoint_every = epoch, first, checkpoint_every
        self.sequences = {"live": 0, "smoothed": 0}
        self._waiting: list[int] = []

    def __iter__(self) -> Iterator[list[Entry]]:
        while self.step < len(self.game.recording.capture_time_ns):
            yield self.next()

    def next(self) -> list[Entry]:
        """Track the next frame-set; after the last one the game goes on with its first."""
        recording = self.game.recording
        lap, step = divmod(self.step, len(recording.capture_time_ns))
        self.step += 1
        entries: list[Entry] = []
        times = recording.capture_time_ns[step] + START_NS + lap * LAP_NS
        for camera, time_ns in enumerate(times.tolist()):
            points = np.ascontiguousarray(recording.keypoints[step, camera], np.float32)
            asked = None if step % 3 else (0, 1)
            accepted = self.tracker.observe(camera, time_ns, points, asked=asked)
            entries.append(Observed(camera, time_ns, points, asked, accepted))
        entries.append(self._snap("live", int(times.max())))
        self._waiting.append(int(times.max()))
        entries += self._smoothed()
        if step % self.checkpoint_every == self.checkpoint_every - 1:
            entries.append(Checkpointed(self.tracker.checkpoint()))
            entries.append(StateChanged("members", {"members": [step]}))
        return entries

    def _smoothed(self) -> Iterator[Entry]:
        while self._waiting:
            try:
                entry = self._snap("smoothed", self._waiting[0])
            except NotYetError:
                return
            self._waiting.pop(0)
            yield entry

    def _snap(self, kind: str, time_ns: int) -> Snapped:
        snapshot = self.tracker.snapshot(time_ns, kind == "smoothed")
        self.sequences[kind] += 1
        sequence = self.sequences[kind]
        frame = TrackedFrame(time_ns, snapshot, ())
        message = encode_snapshot(frame, self.epoch, sequence, time_ns + 20_000_000)
        return Snapped(kind, sequence, time_ns, snapshot_digest(snapshot), message)


def opened(folder: Path, **options: object) -> Journal:
    """Open the journal of the simulated session."""
    return Journal.open(folder, facts(), key(), JournalOptions(**options))  # type: ignore[arg-type]


def wait_for_spare(journal: Journal) -> None:
    """Wait until the next file lies ready."""
    _wait(lambda: journal._spare.is_ready, "no file was prepared")


def wait_for_keeper(journal: Journal) -> None:
    """Wait until the next file lies ready and those before the newest are closed."""
    wait_for_spare(journal)
    _wait(lambda: len(list(journal.folder.glob("*.sqlite-wal"))) <= 1, "a file was not closed")


def _wait(done: Callable[[], bool], otherwise: str) -> None:
    for _ in range(10_000):
        if done():
            return
        time.sleep(0.001)
    raise AssertionError(otherwise)
