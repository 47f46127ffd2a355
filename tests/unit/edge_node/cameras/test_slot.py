"""A slot holds what is new, counts what it overtook, and never grows."""

from __future__ import annotations

import threading

import numpy as np

from edge_node.cameras.slot import MAX_TOLD_DROPS, OVERTAKEN, Drop, Slot, Tally
from edge_node.frames import ObservedFrame


def frame(number: int) -> ObservedFrame:
    return ObservedFrame(3, "cam", number, number, np.empty((0, 17, 3), np.float32))


def test_the_newest_frames_stay_and_the_others_are_counted() -> None:
    woken: list[int] = []
    tally = Tally(3)
    slot = Slot(2, tally, lambda: woken.append(1))
    for number in range(5):
        slot.put(frame(number))
    assert [held.capture_time_ns for held in slot.take()] == [3, 4]
    assert slot.take() == []
    assert len(woken) == 5
    assert tally.counts == {OVERTAKEN: 3}
    assert tally.take() == [Drop(3, number, OVERTAKEN) for number in range(3)]
    assert tally.take() == []


def test_a_closed_slot_takes_nothing() -> None:
    tally = Tally(0)
    slot = Slot(1, tally, lambda: None)
    slot.put(frame(0))
    slot.close()
    slot.put(frame(1))
    assert slot.take() == []
    assert tally.total == 0


def test_what_waits_to_be_told_is_bounded_and_everything_is_counted() -> None:
    tally = Tally(0)
    for number in range(MAX_TOLD_DROPS + 5):
        tally.add("a", number)
    tally.add("b", frames=7)
    assert tally.total == MAX_TOLD_DROPS + 12
    assert tally.counts == {"a": MAX_TOLD_DROPS + 5, "b": 7}
    assert len(tally.take()) == MAX_TOLD_DROPS


def test_nothing_is_lost_uncounted_between_threads() -> None:
    tally, taken, done = Tally(0), [], threading.Event()
    slot = Slot(1, tally, lambda: None)

    def read() -> None:
        while not done.is_set():
            taken.extend(slot.take())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20_000):
        slot.put(frame(number))
    done.set()
    reader.join()
    taken.extend(slot.take())
    assert len(taken) + tally.total == 20_000
    assert [held.index for held in taken] == sorted(held.index for held in taken)
