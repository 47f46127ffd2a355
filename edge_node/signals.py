"""SIGTERM as a wish to go, which no lock can hold up.

A handler runs in the main thread, between any two of its instructions: also while that thread holds
the lock of an event that somebody waits for. To set that event there is to wait for oneself, for
ever. So the handler only puts into a queue that may be put into at any moment, and a thread that
was there before tells whoever is to know.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tipoff.console import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

LEAVE_WITHIN_S = 1.0
"""How long the end of what is told is waited for."""


HANGS_AFTER_S = 10.0
"""A process that was told to go, and whose main thread hangs in a call, is left after so long."""


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


def interrupt_on_term(hangs_after_s: float = HANGS_AFTER_S) -> Callable[[], None]:
    """Have SIGTERM raise `ToldToGo` in the main thread, which is cleaned up after as after Ctrl-C.

    A main thread that hangs in a call of the system's, as in a sync that never returns, hears of no
    signal. So the process ends by itself where it is still here some time after one, with exit code
    0 after SIGTERM and 130 after SIGINT.

    Args:
        hangs_after_s: After how long.

    Returns:
        What makes signals mean what they meant before; call it once somebody can be told, and when
        nothing is left to be cleaned up. May be called again.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def handle(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise ToldToGo

    watched = _Watched(hangs_after_s)
    before = signal.signal(signal.SIGTERM, handle)

    def over() -> None:
        if watched.end():
            signal.signal(signal.SIGTERM, before)

    return over


class _Watched:
    """Waits for a signal by the number that Python writes down before any of its code runs."""

    def __init__(self, hangs_after_s: float) -> None:
        self._hangs_after_s = hangs_after_s
        self._ended = threading.Event()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        threading.Thread(target=self._run, name="told to go", daemon=True).start()

    def end(self) -> bool:
        """Watch no longer; False: it was ended before."""
        if self._ended.is_set():
            return False
        self._ended.set()
        signal.set_wakeup_fd(self._before)
        os.close(self._writing)
        return True

    def _run(self) -> None:
        with os.fdopen(self._reading, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if number[0] in (signal.SIGTERM, signal.SIGINT):
                    if not self._ended.wait(self._hangs_after_s):
                        self._leave(number[0])
                    return

    def _leave(self, number: int) -> None:
        sys.stderr.write(
            f"told to go {self._hangs_after_s:g} s ago, and something that does not answer, such as"
            " a disk, holds this process up: it leaves now. Nothing that was on disk is lost\n"
        )
        sys.stderr.flush()
        os._exit(0 if number == signal.SIGTERM else EXIT_INTERRUPTED)
