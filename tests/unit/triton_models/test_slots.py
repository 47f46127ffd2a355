"""Shared-memory slots: bounded, reused, grown, kept while in flight, swept after a crash."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tipoff.errors import InvalidInputError, UnavailableError
from triton_models.errors import SlotsBusyError
from triton_models.segments import SHM, Segment, frame_segment_name, sweep_frames
from triton_models.slots import SlotPool


class Registry:
    """Stands for the server: remembers what it was told."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self.fails = False

    def register(self, region: str, key: str, size: int) -> None:
        if self.fails:
            raise UnavailableError("no server")
        assert (SHM / key.removeprefix("/")).stat().st_size == size
        self.known[region] = size

    def unregister(self, region: str) -> None:
        self.known.pop(region, None)


def test_a_slot_is_reused_and_grows() -> None:
    registry = Registry()
    pool = SlotPool(1, registry)
    with pool.lease(10, 20, 1.0) as small:
        assert small.pixels.shape == (10, 20, 3)
        first = small.region
    with pool.lease(20, 10, 1.0) as same:
        assert same.region == first
    with pool.lease(500, 500, 1.0) as larger:
        assert larger.region != first
        assert not (SHM / first).exists()
        second = larger.region
        assert list(registry.known) == [second]
    pool.close()
    assert registry.known == {}
    assert not (SHM / second).exists()


def test_a_slot_in_flight_is_not_given_out_again() -> None:
    pool = SlotPool(1, Registry())
    shared = pool.lease(8, 8, 1.0)
    pool.hold(shared.slot)
    shared.release()
    shared.release()
    with pytest.raises(SlotsBusyError, match="all 1 shared-memory slots"):
        pool.lease(8, 8, 0.01)
    pool.drop(shared.slot)
    pool.lease(8, 8, 0.01).release()
    pool.close()


def test_whoever_waits_gets_the_slot_that_comes_back() -> None:
    pool = SlotPool(1, Registry())
    shared = pool.lease(8, 8, 1.0)
    timer = threading.Timer(0.05, shared.release)
    timer.start()
    pool.lease(8, 8, 10.0).release()
    timer.join()
    pool.close()


def test_what_cannot_be_registered_gives_its_slot_and_memory_back() -> None:
    registry = Registry()
    registry.fails = True
    pool = SlotPool(1, registry)
    before = set(SHM.iterdir())
    with pytest.raises(UnavailableError):
        pool.lease(8, 8, 1.0)
    assert set(SHM.iterdir()) <= before
    registry.fails = False
    pool.lease(8, 8, 0.01).release()
    pool.close()


def test_a_frame_of_nothing_is_refused() -> None:
    pool = SlotPool(1, Registry())
    with pytest.raises(InvalidInputError, match="0x8 px holds nothing"):
        pool.lease(8, 0, 1.0)
    pool.close()


def test_views_outlive_the_name() -> None:
    segment = Segment(frame_segment_name(1), 4096)
    view = segment.bytes[:10]
    segment.unlink()
    segment.unlink()
    view[:] = 7
    assert int(segment.bytes[9]) == 7


def test_more_memory_than_there_is_says_so_and_leaves_nothing() -> None:
    name = frame_segment_name(2)
    with pytest.raises(UnavailableError, match=r"no room for .* shared memory"):
        Segment(name, 2**50)
    assert not (SHM / name).exists()


def test_the_memory_of_a_killed_process_is_swept() -> None:
    code = (
        "import os\n"
        "from triton_models.segments import Segment, frame_segment_name\n"
        "print(Segment(frame_segment_name(3), 4096).name, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    left = ran.stdout.strip()
    assert Path(SHM / left).exists()
    mine = Segment(frame_segment_name(4), 4096)
    assert left in sweep_frames()
    assert not (SHM / left).exists()
    assert (SHM / mine.name).exists(), "what belongs to a living process stays"
    mine.unlink()
