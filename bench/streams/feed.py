"""A game without cameras: snapshots at an even beat, made durable and then published."""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from accel.tracker import Snapshot
from edge_node.description import SessionDescription, TimeBase
from edge_node.frames import (
    Availability,
    AvailabilityState,
    CameraHealth,
    CameraState,
    NodeState,
    TrackedFrame,
)
from edge_node.ring import Held

if TYPE_CHECKING:
    from pathlib import Path

    from bench.streams.layouts import Encode
    from edge_node.hub import Hub

JOINTS = tuple(f"joint{index}" for index in range(17))
CAMERAS = tuple(f"camera{index}" for index in range(8))
MADE_FRAMES = 32
"""Different frames that a feed goes round."""
STATE = NodeState(
    Availability(
        AvailabilityState.AVAILABLE, least_views=4, std_p95_m=0.02, snapshot_age_ns=40_000_000
    )
)


def describe() -> SessionDescription:
    """Describe the session that is fed."""
    return SessionDescription(
        session="bench",
        epoch=1,
        skeleton_name="chain17",
        joints=JOINTS,
        edges=(),
        cameras=CAMERAS,
        rig_digest="sha256:0",
        nominal_rate_hz=60.0,
        time_base=TimeBase.UTC,
    )


def make_frames(people: int, seed: int) -> list[TrackedFrame]:
    """Make frames of as many people, each joint with its covariance."""
    random = np.random.default_rng(seed)
    cells = (people, len(JOINTS))
    cameras = tuple(CameraHealth(name, CameraState.LIVE, 1000, 3, 1) for name in CAMERAS)
    frames = []
    for _ in range(MADE_FRAMES):
        roots = random.normal(0.0, 0.01, (*cells, 3, 3))
        snapshot = Snapshot(
            time_ns=1,
            ids=np.arange(1, people + 1, dtype=np.int64),
            joints_m=random.normal(0.0, 5.0, (*cells, 3)),
            covariance_m2=roots @ roots.swapaxes(-1, -2),
            confidence=random.random(cells, dtype=np.float32),
            views=random.integers(0, 9, cells, dtype=np.int32),
        )
        frames.append(TrackedFrame(1, snapshot, cameras))
    return frames


class Commit:
    """Stands in for the journal: a row for each snapshot, on disk when the call returns."""

    def __init__(self, path: Path) -> None:
        """Open a new file with a write-ahead log and full synchronisation."""
        self._base = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=FULL")
        self._base.execute("CREATE TABLE records (number INTEGER PRIMARY KEY, message BLOB)")

    def __call__(self, message: bytes) -> None:
        """Make a message durable."""
        self._base.execute("INSERT INTO records (message) VALUES (?)", (message,))

    def close(self) -> None:
        """Close the file."""
        self._base.close()


@dataclass(slots=True)
class Spent:
    """What the feed itself took."""

    commits_ms: list[float]
    """Time of each commit."""
    encodes_ms: list[float]
    """Time of each encoding."""
    late: int = 0
    """Snapshots that began more than a period late."""


class Feed:
    """Writes into a hub from a thread of its own until it is closed.

    A snapshot's time is when its frame was there: its age at a client holds encoding, commit,
    fan-out and the way.
    """

    def __init__(
        self, hub: Hub, frames: list[TrackedFrame], encode: Encode, commit: Commit, rate_hz: float
    ) -> None:
        """Begin at once."""
        self._hub, self._frames, self._encode, self._commit = hub, frames, encode, commit
        self._period_s = 1.0 / rate_hz
        self._stop = threading.Event()
        self.spent = Spent([], [])
        self._thread = threading.Thread(target=self._run, name="feed")
        self._thread.start()

    def _run(self) -> None:
        due_s = time.monotonic()
        sequence = 0
        while True:
            due_s += self._period_s
            left_s = due_s - time.monotonic()
            self.spent.late += left_s < -self._period_s
            if self._stop.wait(max(left_s, 0.0)):
                break
            sequence += 1
            self._write(sequence)

    def _write(self, sequence: int) -> None:
        frame = replace(self._frames[sequence % MADE_FRAMES], time_ns=time.time_ns())
        began_s = time.perf_counter()
        message = self._encode(frame, sequence, time.time_ns())
        encoded_s = time.perf_counter()
        self._commit(message)
        done_s = time.perf_counter()
        self.spent.encodes_ms.append((encoded_s - began_s) * 1e3)
        self.spent.commits_ms.append((done_s - encoded_s) * 1e3)
        self._hub.publish(Held(1, sequence, frame.time_ns, message))

    @property
    def thread_id(self) -> int:
        """The thread, for its processor clock."""
        assert self._thread.ident is not None
        return self._thread.ident

    def close(self) -> Spent:
        """Stop, and say what it took; again is as good as once."""
        self._stop.set()
        self._thread.join()
        return self.spent
