"""The process' one event loop for gRPC, in a thread of its own.

grpc.aio deals a process' events out to whichever of its loops wakes first, and stumbles over those
of a loop that has closed: with two loops calls hang now and then. So every server of a process
lives in this one, which begins with the first and stays.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from tipoff.errors import DeadlineError
from tipoff.stream_errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

THREAD_NAME = "tipoff-grpc-loop"
"""Name of the loop's thread."""
MAX_THREADS = 16
"""Calls that have a thread of their own at one time, at most."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_threads = threading.BoundedSemaphore(MAX_THREADS)


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


async def in_thread(call: Callable[[], T]) -> T:
    """Run in a thread of its own what may wait, so that the loop and its streams do not.

    The threads are no executor's: a process that ends does not wait for one behind a dead disk.

    Raises:
        OverloadedError: MAX_THREADS calls are still on their way.
    """
    if not _threads.acquire(blocking=False):
        raise OverloadedError(
            f"{MAX_THREADS} calls before this one have not returned: look into the node's log for "
            "what they wait for, and try again"
        )
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)
        finally:
            _threads.release()

    try:
        threading.Thread(target=run, name="call", daemon=True).start()
    except BaseException:
        # The machine has no thread left. What does not run gives nothing back by itself.
        _threads.release()
        raise
    # Shielded: a caller that goes takes nothing back of what is on its way.
    return await asyncio.shield(asyncio.wrap_future(done))
