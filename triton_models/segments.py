"""Shared memory that is a file in /dev/shm: made whole at once, swept after a crash."""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tipoff.errors import UnavailableError
from triton_models.processes import ProcessId, own

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHM = Path("/dev/shm")  # noqa: S108
FRAME_PREFIX = "tipoff-frames-"
_FRAME_NAME = re.compile(rf"{FRAME_PREFIX}(\d+)-(\d+)-\d+")


class Segment:
    """One shared-memory file of this process, mapped for reading and writing.

    The memory stays mapped as long as somebody holds ``bytes`` or a view of it, also after
    ``unlink``; only the name goes away.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._path = SHM / name
        descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            _reserve(descriptor, size, self._path)
            self.bytes: NDArray[np.uint8] = np.frombuffer(mmap.mmap(descriptor, size), np.uint8)
        finally:
            os.close(descriptor)

    @property
    def key(self) -> str:
        """The name as shm_open takes it."""
        return f"/{self.name}"

    def unlink(self) -> None:
        """Take the name away; a second time does nothing."""
        self._path.unlink(missing_ok=True)


def _reserve(descriptor: int, size: int, path: Path) -> None:
    """Take the memory now, because a full /dev/shm would later kill the writer (SIGBUS)."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UnavailableError(
            f"no room for {size} bytes of shared memory in {SHM} ({error.strerror}): "
            "free some, or give the container a larger one (--shm-size=1g)",
        ) from error


def frame_segment_name(number: int) -> str:
    """Return a name that tells whose segment it is."""
    process = own()
    return f"{FRAME_PREFIX}{process.pid}-{process.start_ticks}-{number}"


def sweep_frames() -> list[str]:
    """Remove the frame segments of processes that have died; return their names."""
    swept = []
    for path in SHM.glob(f"{FRAME_PREFIX}*"):
        match = _FRAME_NAME.fullmatch(path.name)
        if match and not ProcessId(int(match[1]), int(match[2])).alive():
            path.unlink(missing_ok=True)
            swept.append(path.name)
    return swept


def sweep_prefix(prefix: str) -> list[str]:
    """Remove every segment whose name starts with a server's prefix; return their names."""
    assert len(prefix) > len("tipoff"), prefix
    swept = []
    for path in SHM.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)
        swept.append(path.name)
    return swept
