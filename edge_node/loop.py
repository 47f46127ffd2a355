"""The process' one event loop for gRPC, in a thread of its own.

grpc.aio deals a process' events out to whichever of its loops wakes first, and stumbles over those
of a loop that has closed: with two loops calls hang now and then. So every server of a process
lives in this one, which begins with the first and stays.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from tipoff.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

THREAD_NAME = "tipoff-grpc-loop"
"""Name of the loop's thread."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def grpc_loop() -> asyncio.AbstractEventLoop:
    """Return the process' loop for gRPC; the first call starts it."""
    global _loop  # noqa: PLW0603
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_loop.run_forever, name=THREAD_NAME, daemon=True)
            thread.start()
        return _loop


def run_in_loop(work: Coroutine[Any, Any, T], within_s: float) -> T:
    """Run a coroutine in the loop and wait for its result.

    Raises:
        DeadlineError: It took longer than ``within_s``; it is cancelled.
    """
    future = asyncio.run_coroutine_threadsafe(work, grpc_loop())
    try:
        return future.result(within_s)
    except TimeoutError:
        if future.done():
            raise
        future.cancel()
        raise DeadlineError(f"the gRPC server did not answer within {within_s:g} s") from None
