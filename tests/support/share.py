"""How much of a processor this machine has for a test now."""

from __future__ import annotations

import time

MEASURED_S = 0.1
"""Processor time that is measured."""
GOING_S = 1.0
"""Processor time, about, that a node's process takes beside what it waits for when it goes."""


def slowed() -> float:
    """Give how many seconds a second of processor time takes now; 1 where nobody else works."""
    began_s, used_s = time.monotonic(), time.thread_time()
    while time.thread_time() - used_s < MEASURED_S:
        pass
    return max((time.monotonic() - began_s) / MEASURED_S, 1.0)


def for_others_s(before: float) -> float:
    """Give how much longer a node may take to go because others work here; 0 where nobody does.

    Args:
        before: What :func:`slowed` gave before it was told.
    """
    return GOING_S * (max(before, slowed()) - 1.0)
