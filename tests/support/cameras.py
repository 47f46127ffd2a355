"""Real RTSP cameras for tests: the server of `rtsp_server.py`, started, told and ended."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")
BLOCK, BITS = 16, 32
TICK_NS = 100_000
END_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class CamerasSpec:
    """What cameras to have."""

    cameras: int = 4
    size: tuple[int, int] = (640, 360)
    rate: int = 15
    kbit: int = 2000
    key_s: int = 1
    user: str = ""
    """Ask for this user and PASSWORD."""
    password: str = ""
    film: tuple[Path, ...] = ()
    """Real pictures for each camera, as `tests.support.films` makes them; else they are made up."""
    more: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class RtspCameras:
    """Cameras that run."""

    process: subprocess.Popen[str]
    ports: tuple[int, ...]

    def url(self, camera: int, credentials: str = "") -> str:
        """Where a camera is."""
        return f"rtsp://{credentials}127.0.0.1:{self.ports[camera]}/live"

    def tell(self, command: str) -> int:
        """Have a command obeyed; gives when, in ns of `time.monotonic_ns`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == "ok", f"{command}: {answer}"
        return time.monotonic_ns()


@contextmanager
def rtsp_cameras(spec: CamerasSpec | None = None) -> Iterator[RtspCameras]:
    """Run cameras for a block."""
    spec = spec or CamerasSpec()
    command = [
        *(SYSTEM_PYTHON, str(SERVER), "--cameras", str(spec.cameras)),
        *("--size", f"{spec.size[0]}x{spec.size[1]}", "--rate", str(spec.rate)),
        *("--kbit", str(spec.kbit), "--key-s", str(spec.key_s), "--user", spec.user),
        *(("--film", *map(str, spec.film)) if spec.film else ()),
        *spec.more,
    ]
    env = {**os.environ, "RTSP_PASSWORD": spec.password, "GST_DEBUG": "0"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the RTSP server did not start; .ci/run names the Debian packages it needs"
        yield RtspCameras(process, tuple(json.loads(line)["ports"]))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def made_ns(luma: NDArray[np.uint8], near_ns: int) -> int:
    """Read the time at which a picture was made off its top rows, ns UTC.

    Args:
        luma: The picture's brightness.
        near_ns: A time within some days of it.
    """
    middle = luma[BLOCK // 4 : BLOCK - BLOCK // 4, : BITS * BLOCK].astype(np.float32)
    levels = middle.reshape(middle.shape[0], BITS, BLOCK)[:, :, 4:-4].mean(axis=(0, 2))
    ticks = int("".join("1" if level > 122 else "0" for level in levels), 2)
    near = near_ns // TICK_NS
    turns = round((near - ticks) / (1 << BITS))
    return (ticks + turns * (1 << BITS)) * TICK_NS
