"""Calling one thing in several ways, by several threads at once, turn by turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.arrays import Floats, Keypoints
from tipoff.errors import DeadlineError

CALLERS_DEADLINE_S = 600.0

Way = Callable[[], Keypoints]


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls took."""

    p50_ms: float
    """Median of all calls."""
    p99_ms: float
    """99th percentile of all calls."""
    medians_ms: tuple[float, ...]
    """Each turn's own median."""
    calls_per_s: float
    """Answered calls over the time that they took together."""

    def beyond(self, other: Latency) -> float:
        """Median over the turns of this one's median less the other's, milliseconds."""
        pairs = zip(self.medians_ms, other.medians_ms, strict=True)
        return float(np.median([ours - theirs for ours, theirs in pairs]))


def race(ways: dict[str, Way], callers: int, requests: int, turns: int) -> dict[str, Latency]:
    """Latency of each way with so many callers at once; the ways take turns."""
    spent: dict[str, list[Floats]] = {name: [] for name in ways}
    wall_s = dict.fromkeys(ways, 0.0)
    for _ in range(turns):
        for name, way in ways.items():
            milliseconds, seconds = call_at_once(way, callers, requests)
            spent[name].append(milliseconds)
            wall_s[name] += seconds
    return {name: _latency(spent[name], wall_s[name]) for name in ways}


def _latency(turns: list[Floats], wall_s: float) -> Latency:
    every = np.concatenate(turns)
    p50, p99 = np.percentile(every, [50, 99])
    medians = tuple(float(np.median(t)) for t in turns)
    return Latency(float(p50), float(p99), medians, len(every) / wall_s)


def call_at_once(way: Way, callers: int, requests: int) -> tuple[Floats, float]:
    """Milliseconds of each of `requests` calls by `callers` threads, and the seconds in all.

    Raises:
        DeadlineError: the callers did not end in time.
        Exception: whatever the first failing caller raised.
    """
    share = [requests // callers + (k < requests % callers) for k in range(callers)]
    spent: list[list[float]] = [[] for _ in range(callers)]
    failed: list[BaseException] = []
    start = threading.Barrier(callers + 1)

    def call(k: int) -> None:
        start.wait()
        try:
            for _ in range(share[k]):
                began = time.perf_counter()
                way()
                spent[k].append(1e3 * (time.perf_counter() - began))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(k,), daemon=True) for k in range(callers)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join(max(0.0, CALLERS_DEADLINE_S - (time.perf_counter() - began)))
    seconds = time.perf_counter() - began
    if failed:
        raise failed[0]
    if any(thread.is_alive() for thread in threads):
        raise DeadlineError(f"{callers} callers did not end within {CALLERS_DEADLINE_S:g} s")
    return np.concatenate([np.array(times) for times in spent]), seconds
