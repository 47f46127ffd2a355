"""What a process still holds when everything has ended: the same count finds a planted leak."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from edge_node.loop import run_in_loop
from edge_node.subscription import Subscription
from tests.support.streams import open_descriptors

SETTLE_S = 10.0
"""How long what is on its way out is given."""
WARM_TURNS = 8
"""Turns that fill caches and pools before anything is counted."""
MAX_BYTES_A_TURN = 2048
"""Python's memory may grow by so much a turn: less than one snapshot."""


@dataclass(frozen=True)
class Leftovers:
    """What is held at one moment."""

    tasks: int
    """Tasks in the loop of the servers."""
    descriptors: int
    """Open files and sockets."""
    threads: int
    """Threads."""
    subscriptions: int
    """Places of subscribers."""
    traced_bytes: int
    """Memory of Python's objects."""

    @property
    def counts(self) -> tuple[int, ...]:
        """All that must be as before, to the last one."""
        return self.tasks, self.descriptors, self.threads, self.subscriptions


def count() -> Leftovers:
    """Count what is held now."""
    gc.collect()
    subscriptions = sum(isinstance(one, Subscription) for one in gc.get_objects())
    return Leftovers(
        run_in_loop(_tasks(), 5.0),
        open_descriptors(),
        threading.active_count(),
        subscriptions,
        tracemalloc.get_traced_memory()[0],
    )


async def _tasks() -> int:
    return len(asyncio.all_tasks()) - 1


def find_leaks(turn: Callable[[], object], turns: int) -> list[str]:
    """Run something again and again, and name what there is more of behind it than before.

    Args:
        turn: What leaves nothing behind.
        turns: How often, behind a few for warming up.
    """
    tracemalloc.start()
    try:
        for _ in range(WARM_TURNS):
            turn()
        before = _settled(None)
        for _ in range(turns):
            turn()
        after = _settled(before)
    finally:
        tracemalloc.stop()
    names = ("tasks", "descriptors", "threads", "subscriptions")
    leaks = [
        f"{name}: {getattr(before, name)} became {getattr(after, name)}"
        for name in names
        if getattr(after, name) > getattr(before, name)
    ]
    grown = (after.traced_bytes - before.traced_bytes) / turns
    if grown > MAX_BYTES_A_TURN:
        leaks.append(f"memory: {grown:.0f} bytes a turn")
    return leaks


def _settled(limit: Leftovers | None) -> Leftovers:
    """Count once no more goes away, or no more is held than before."""
    until_s = time.monotonic() + SETTLE_S
    held = count()
    while time.monotonic() < until_s:
        time.sleep(0.1)
        before, held = held, count()
        if limit is None and held.counts == before.counts:
            break
        if limit is not None and all(
            now <= then for now, then in zip(held.counts, limit.counts, strict=True)
        ):
            break
    return held
