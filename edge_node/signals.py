"""SIGTERM as a wish to go, which no lock can hold up.

A handler runs in the main thread, between any two of its instructions: also while that thread holds
the lock of an event that somebody waits for. To set that event there is to wait for oneself, for
ever. So the handler only puts into a queue that may be put into at any moment, and a thread that
was there before tells whoever is to know.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

LEAVE_WITHIN_S = 1.0
"""How long the end of what is told is waited for."""


class ToldToGo(KeyboardInterrupt):
    """SIGTERM came while there was nobody who could have been told."""


@contextmanager
def on_term(tell: Callable[[], None]) -> Iterator[None]:
    """Take SIGTERM as a wish to go, once: a second one ends the process at once.

    Args:
        tell: Called in a thread of its own. It may take locks.
    """
    asked: SimpleQueue[bool] = SimpleQueue()

    def handle(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        asked.put(True)

    def wait() -> None:
        if asked.get():
            tell()

    thread = threading.Thread(target=wait, name="sigterm", daemon=True)
    thread.start()
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        asked.put(False)
        thread.join(LEAVE_WITHIN_S)


def interrupt_on_term() -> Callable[[], None]:
    """Have SIGTERM raise `ToldToGo` in the main thread, which is cleaned up after as after Ctrl-C.

    Returns:
        What makes SIGTERM mean what it meant before; call it once somebody can be told.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def handle(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise ToldToGo

    before = signal.signal(signal.SIGTERM, handle)

    def over() -> None:
        signal.signal(signal.SIGTERM, before)

    return over
