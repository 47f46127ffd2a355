"""Real nodes: `tipoff node run` in a process of its own, on recorded observations of walkers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_node.cameras.observations import Row, write_observations
from edge_node.frames import CameraFrame
from tests.support.cli import tipoff_command
from tests.support.pipelines import IMAGE, Walkers

RATE_HZ = 30
PERIOD_NS = 1_000_000_000 // RATE_HZ
PATIENCE_S = 60.0
"""How long a test waits for what must come."""


def rows_of(walkers: Walkers, seconds: float) -> Iterator[Row]:
    """What every camera sees of the walkers, frame by frame."""
    for index in range(round(seconds * RATE_HZ)):
        for camera, name in enumerate(walkers.rig.names):
            frame = CameraFrame(camera, name, index * PERIOD_NS, index, IMAGE)
            yield name, frame.capture_time_ns, walkers.seen(frame)


@dataclass(frozen=True, slots=True)
class Session:
    """A session file."""

    file: Path

    @property
    def state(self) -> Path:
        """Where the session keeps what must outlive its process."""
        return self.file.parent / "state"

    def change(self, old: str, new: str) -> None:
        """Change the session file."""
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))


@dataclass(frozen=True, slots=True)
class Game(Session):
    """A recorded game and the session file that plays it."""

    walkers: Walkers


def make_game(folder: Path, seconds: float, *, loop: bool = False, more: str = "") -> Game:
    """Write a game of three walkers before four cameras, and its session file.

    Args:
        folder: Where.
        seconds: Its length.
        loop: Whether it begins anew at its end.
        more: Tables at the end of the session file.
    """
    walkers = Walkers(noise_px=1.0)
    walkers.rig.save(folder / "rig.toml")
    write_observations(folder / "game.parquet", rows_of(walkers, seconds))
    return Game(write_session(folder, walkers.rig.names, loop=loop, more=more), walkers)


def write_session(
    folder: Path, cameras: Sequence[str], *, loop: bool = False, more: str = ""
) -> Path:
    """Write the session file of a recording `game.parquet` and a rig `rig.toml` beside it."""
    source = f'{{ source = "game.parquet", loop = {str(loop).lower()} }}'
    sources = "\n".join(f"{name} = {source}" for name in cameras)
    text = f"""name = "walk"
node = "courtside"
rig = "rig.toml"
state = "state"
area = "all"

[cameras]
{sources}

[ring]
minutes = 0

[journal]
checkpoint_every_s = 1

[listen]
subscribers = "127.0.0.1:0"
metrics = "127.0.0.1:0"

[telemetry]
log_level = "debug"
{more}"""
    (folder / "game.toml").write_text(text)
    return folder / "game.toml"


@dataclass(slots=True)
class NodeProcess:
    """A node that runs until the block ends."""

    game: Session
    environment: Mapping[str, str] = field(default_factory=dict)
    """On top of the tests' own."""
    process: subprocess.Popen[str] | None = None
    ready: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    _reader: threading.Thread | None = None

    def start(self, *, fixed: bool = False) -> NodeProcess:
        """Start it and wait for its addresses.

        Args:
            fixed: Listen where the one before listened, so that its subscribers come back.
        """
        if fixed:
            self.game.change('subscribers = "127.0.0.1:0"', f'subscribers = "{self.address}"')
        own = {"XDG_STATE_HOME": str(self.home), "TIPOFF_LOG_FORMAT": "json"}
        self.process = subprocess.Popen(
            [tipoff_command(), "node", "run", "--json", str(self.game.file)],
            env={**os.environ, **own, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        line = self.process.stdout.readline()
        assert line, "\n".join(self.log)
        self.ready = json.loads(line)
        return self

    def _read_log(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        self.log.extend(line.rstrip() for line in self.process.stderr)

    @property
    def home(self) -> Path:
        """Its user's state."""
        return self.game.file.parent / "home"

    def events(self, event: str) -> list[dict[str, Any]]:
        """Give what it logged under a name so far."""
        lines = [json.loads(line) for line in list(self.log) if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    @property
    def address(self) -> str:
        """Where subscribers connect."""
        return str(self.ready["address"])

    def kill(self) -> None:
        """Kill it as the kernel would."""
        assert self.process is not None
        self.process.kill()
        self.wait()

    def stop(self) -> int:
        """Tell it to go, and give its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait until it has gone."""
        assert self.process is not None
        code = self.process.wait(PATIENCE_S)
        assert self._reader is not None
        self._reader.join(PATIENCE_S)
        if code:
            # pytest shows it where the test did not want that.
            assert self.process.stdout is not None
            said = [f"the node left with {code}:", self.process.stdout.read(), *self.log, ""]
            sys.stdout.write("\n".join(said))
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.returncode is None:
            self.kill()


def wait_until(what: Any, why: str, within_s: float = PATIENCE_S) -> None:
    """Wait until ``what()`` is true."""
    until_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < until_s, f"{why} did not happen in time"
        time.sleep(0.02)


def nearest(walkers: Walkers, joints_m: np.ndarray[Any, Any], time_ns: int) -> list[int]:
    """Say which walker each track is."""
    truth = walkers.joints_m(time_ns)
    gaps = np.linalg.norm(truth[None] - joints_m[:, None], axis=-1)
    return [int(i) for i in np.nanmean(gaps, axis=-1).argmin(axis=1)]
