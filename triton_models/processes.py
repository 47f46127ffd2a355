"""Processes by number and start time, so that a reused number is never mistaken for ours."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process for all time."""

    pid: int
    """Its number, which the kernel may give to another process later."""
    start_ticks: int
    """When it started, in clock ticks after boot; together with the number it is unique."""

    def alive(self) -> bool:
        """Tell whether this very process still runs (a zombie does not)."""
        fields = _stat(self.pid)
        return fields is not None and fields[0] != "Z" and int(fields[19]) == self.start_ticks

    def signal(self, number: int) -> None:
        """Send a signal if it still runs."""
        if self.alive():
            os.kill(self.pid, number)

    def end(self, grace_s: float) -> bool:
        """Ask it to end, wait, then kill it; tell whether it ended by itself."""
        self.signal(signal.SIGTERM)
        if self.wait(grace_s):
            return True
        self.signal(signal.SIGKILL)
        self.wait(grace_s)
        return False

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; tell whether it has."""
        deadline = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def identify(pid: int) -> ProcessId | None:
    """Return the process that has this number now, or None."""
    fields = _stat(pid)
    return None if fields is None else ProcessId(pid, int(fields[19]))


def own() -> ProcessId:
    """Return this process."""
    process = identify(os.getpid())
    assert process is not None
    return process


def children(pid: int) -> list[tuple[ProcessId, tuple[str, ...]]]:
    """Return the running direct children of a process and their command lines."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        fields = _stat(int(entry.name))
        if fields is None or int(fields[1]) != pid or fields[0] == "Z":
            continue
        found.append((ProcessId(int(entry.name), int(fields[19])), _command(entry)))
    return found


def is_stopped(process: ProcessId) -> bool:
    """Tell whether a process is frozen by a signal."""
    fields = _stat(process.pid)
    return fields is not None and fields[0] in "Tt"


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB, 0 when it is gone."""
    try:
        pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _command(entry: Path) -> tuple[str, ...]:
    try:
        raw = (entry / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(part.decode(errors="replace") for part in raw.split(b"\0") if part)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on (3 in proc(5) is 0 here)."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()
