"""The slowest frame of many, where everybody enters at once, and what a tracker keeps in memory.

A tracker's work is a pure function of its frames, so what differs between two passes over the same
frames is the machine. `worst_frame` counts its thread's processor time, which leaves out whoever
else was served meanwhile, and takes the least of several passes before it looks for the slowest.
"""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.evaluation import Trackable, TrackerFactory
from bench.sim import Arena, ArenaOptions, FrameSet

CHUNK = 256
"""Frame-sets made between two stretches of timing."""
PAGE = 4096
APART_DEADLINE_S = 600.0


@dataclass(frozen=True, slots=True)
class Worst:
    """The slowest frame-set of a game."""

    frames: int
    """How many there were."""
    enter_at: int
    """The frame-set at which everybody appears."""
    median_us: float
    """Median from there on, of each frame-set's least over the passes."""
    worst_us: float
    """The slowest of the same."""
    worst_at: int
    """Which one it was."""
    entry_us: float
    """The slowest of the ten that begin with the entrance."""
    raw_us: float
    """The slowest single frame-set by the clock, whoever else was served meanwhile."""

    @property
    def ratio(self) -> float:
        """Worst over median."""
        return self.worst_us / self.median_us


def worst_frame(
    factory: TrackerFactory,
    arena: Arena,
    frames: int,
    passes: int = 3,
    enter_at: int = 60,
) -> Worst:
    """Time every frame-set of a game whose first `enter_at` are empty."""
    rig = arena.accel_rig()
    spent, wall = np.full((2, passes, frames), np.nan)
    for turn in range(passes):
        tracker = factory(rig)
        for index, frame_set in _played(arena, frames, enter_at):
            spent[turn, index], wall[turn, index] = _timed(tracker, frame_set)
    least = spent.min(axis=0)
    play = least[enter_at:]
    slowest = int(play.argmax())
    return Worst(
        frames=frames,
        enter_at=enter_at,
        median_us=float(np.median(play)),
        worst_us=float(play.max()),
        worst_at=enter_at + slowest,
        entry_us=float(play[:10].max()),
        raw_us=float(wall[:, enter_at:].max()),
    )


def _played(arena: Arena, frames: int, enter_at: int) -> Iterator[tuple[int, FrameSet]]:
    """The frame-sets, made a chunk ahead; nobody is collected as garbage while one is timed."""
    for first in range(0, frames, CHUNK):
        chunk = list(arena.frame_sets(first, min(first + CHUNK, frames)))
        gc.collect()
        gc.disable()
        try:
            for frame_set in chunk:
                empty = frame_set.index < enter_at
                yield frame_set.index, emptied(frame_set) if empty else frame_set
        finally:
            gc.enable()


def emptied(frame_set: FrameSet) -> FrameSet:
    """The same frame-set with nobody in it."""
    views = (
        replace(view, keypoints=view.keypoints[:0], person=view.person[:0])
        for view in frame_set.views
    )
    return replace(frame_set, views=tuple(views))


def _timed(tracker: Trackable, frame_set: FrameSet) -> tuple[float, float]:
    """Microseconds of processor time and of the clock."""
    now = frame_set.time_ns
    began, used = time.perf_counter_ns(), time.thread_time_ns()
    for view in frame_set.views:
        tracker.observe(view.camera, view.capture_time_ns, view.keypoints)
    tracker.snapshot(now)
    used = time.thread_time_ns() - used
    return used * 1e-3, (time.perf_counter_ns() - began) * 1e-3


@dataclass(frozen=True, slots=True)
class Memory:
    """What one tracker keeps, KiB. NaN where the system does not tell."""

    empty_kib: float
    """With nobody in view."""
    full_kib: float
    """With everybody tracked."""
    later_kib: float
    """After three times as many frame-sets."""
    each_kib: float
    """What a person costs in each camera."""
    checkpoint_kib: float
    """The size of its checkpoint, NaN where it has none."""


def memory(factory: TrackerFactory, arena: Arena, frames: int = 60, copies: int = 32) -> Memory:
    """Resident memory of many trackers that saw the same game, over their number.

    Only a young process tells it: an old one has memory that was freed and is used again.
    """
    rig = arena.accel_rig()
    frame_sets = list(arena.frame_sets(0, 3 * frames))
    nobody = [emptied(frame_set) for frame_set in frame_sets[:frames]]
    warm = [factory(rig) for _ in range(2)]  # stays until the end, or its memory would be reused
    _feed(warm, frame_sets[:frames])
    before = resident_kib()
    idle = [factory(rig) for _ in range(copies)]
    _feed(idle, nobody)
    between = resident_kib()
    busy = [factory(rig) for _ in range(copies)]
    _feed(busy, frame_sets[:frames])
    after = resident_kib()
    _feed(busy, frame_sets[frames:])
    later = resident_kib()
    empty, full = (between - before) / copies, (after - between) / copies
    assert len(warm) + len(idle) == 2 + copies
    save = getattr(busy[0], "checkpoint", None)
    cells = arena.options.people * arena.options.ring.cameras
    return Memory(
        empty_kib=empty,
        full_kib=full,
        later_kib=(later - between) / copies,
        each_kib=(full - empty) / cells,
        checkpoint_kib=len(save()) / 1024 if save is not None else float("nan"),
    )


def memory_apart(options: ArenaOptions, frames: int) -> Memory:
    """The memory of `accel.Tracker` on an arena, looked at in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_memory_of_tracker, options, frames).result(APART_DEADLINE_S)


def _memory_of_tracker(options: ArenaOptions, frames: int) -> Memory:
    import accel

    return memory(accel.Tracker, Arena(options), frames)


def _feed(trackers: Sequence[Trackable], frame_sets: Sequence[FrameSet]) -> None:
    for tracker, frame_set in itertools.product(trackers, frame_sets):
        _timed(tracker, frame_set)


def resident_kib() -> float:
    """Resident memory of this process, without what was freed and not yet given back."""
    gc.collect()
    told = Path("/proc/self/statm")
    if not told.exists():
        return float("nan")
    return int(told.read_text(encoding="ascii").split()[1]) * PAGE / 1024


@dataclass(frozen=True, slots=True)
class Growth:
    """How the cost of a frame-set grows from one court to a larger one."""

    along: str
    """What grew, and what stayed."""
    factor: float
    """How many times as many."""
    times: float
    """How many times the cost."""

    @property
    def exponent(self) -> float:
        """1 where it grows in proportion, below where it grows less."""
        return float(np.log(self.times) / np.log(self.factor))


def growth(medians_us: dict[tuple[int, int], float]) -> list[Growth]:
    """From (cameras, people) -> median: every step from one number to the next larger one."""
    found = []
    cameras = sorted({c for c, _ in medians_us})
    people = sorted({p for _, p in medians_us})
    for p in people:
        for few, many in itertools.pairwise(cameras):
            if (few, p) in medians_us and (many, p) in medians_us:
                times = medians_us[many, p] / medians_us[few, p]
                found.append(Growth(f"{few} to {many} cameras, {p} people", many / few, times))
    for c in cameras:
        for few, many in itertools.pairwise(people):
            if (c, few) in medians_us and (c, many) in medians_us:
                times = medians_us[c, many] / medians_us[c, few]
                found.append(Growth(f"{few} to {many} people, {c} cameras", many / few, times))
    return found
