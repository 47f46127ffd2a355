"""What subscribers that never read cost a server: python -m bench.streams.stalled COUNT.

The server has a process of its own, so that its memory is that of the streams and not what others
left behind. The subscribers' process is stopped (SIGSTOP) as soon as all have subscribed: nothing
of theirs takes a byte more, gRPC's threads neither, and what is on the way stays where it is.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

from bench.streams.stage import Stage, be_quiet, staged

PAGE_BYTES = 4096
RATE_HZ = 60.0
WARM_S = 3.0
STALL_S = 60.0
WATCH_S = 12.0
LOOK_EVERY_S = 0.02


def resident_bytes() -> int:
    """Say how much memory this process has."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_BYTES


def _misuse(stage: Stage, count: int, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench.streams.misuse", "stall", stage.address]
    return subprocess.Popen([*command, str(count), str(seconds)], stdout=subprocess.DEVNULL)


def measure(count: int) -> dict[str, float]:
    """Have ``count`` subscribers stall; say what they cost, and when they were let go."""
    with staged("packed", RATE_HZ, 0) as stage:
        # What the first stream of a process costs is not that of a stalled one.
        _misuse(stage, 1, 1.0).wait()
        time.sleep(WARM_S)
        before = resident_bytes() - stage.hub.held_bytes
        process = _misuse(stage, count, STALL_S)
        peak, opened_s, let_go_s = 0, 0.0, 0.0
        until_s = time.monotonic() + WATCH_S
        while time.monotonic() < until_s:
            peak = max(peak, resident_bytes() - stage.hub.held_bytes - before)
            subscribers = stage.server.subscribers
            if subscribers == count and not opened_s:
                opened_s = time.monotonic()
                process.send_signal(signal.SIGSTOP)
            if opened_s and not subscribers and not let_go_s:
                let_go_s = time.monotonic() - opened_s
            time.sleep(LOOK_EVERY_S)
        process.kill()
        process.wait()
        time.sleep(1.0)
        after = resident_bytes() - stage.hub.held_bytes - before
    return {
        "stalled": count,
        "MB_each_at_most": peak / count / 1e6,
        "MB_each_afterwards": after / count / 1e6,
        "let_go_after_s": let_go_s or WATCH_S,
    }


if __name__ == "__main__":
    be_quiet()
    click.echo(json.dumps(measure(int(sys.argv[1]))))
