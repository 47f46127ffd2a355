"""A lock between processes, so that two of them never build the same thing at once."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tipoff.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLL_S = 0.1


@contextmanager
def locked(path: Path, timeout_s: float, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file; the kernel lets go of it when the holder dies.

    Args:
        path: The lock file; it stays there.
        timeout_s: How long to wait for another holder.
        waiting: Called once if somebody else holds it.

    Raises:
        DeadlineError: the other one held it for too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        _acquire(descriptor, path, timeout_s, waiting)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, timeout_s: float, waiting: Callable[[], None]) -> None:
    deadline, said = time.monotonic() + timeout_s, False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DeadlineError(
                    f"another process has held {path} for {timeout_s:.0f} s: wait for it, "
                    "or end it if it hangs"
                ) from None
        else:
            return
        if not said:
            waiting()
            said = True
        time.sleep(POLL_S)
