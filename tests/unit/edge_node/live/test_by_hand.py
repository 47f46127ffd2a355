"""Officials turned off by hand stay off: over a restart, and behind a disk that takes nothing."""

from __future__ import annotations

import pytest

from edge_node.availability import Officials
from edge_node.frames import AvailabilityState
from edge_node.journal.entries import Checkpointed, Dropped, StateChanged
from edge_node.journal.errors import JournalError
from edge_node.live.by_hand import OFFICIALS, ByHand
from tests.support.live import MemoryLog
from tipoff.errors import InvalidInputError

OFF = StateChanged(OFFICIALS, {"off": True, "reason": "A. Smith: a rail is loose"})
RULES = StateChanged(OFFICIALS, {"off": False, "reason": ""})
FRAME = Dropped(0, 1, "late")


def reason_of(officials: Officials) -> str:
    """Say why officials are off by hand; empty where they are not."""
    return officials.judge(0).detail.partition("by hand: ")[2]


def test_what_is_said_by_hand_is_on_disk_before_it_is_answered() -> None:
    log, officials = MemoryLog(), Officials()
    by_hand = ByHand(log, officials)
    by_hand.turn_off(" A. Smith: a rail is loose ")
    assert log.entries == [OFF]
    assert reason_of(officials) == "A. Smith: a rail is loose"
    by_hand.leave_to_rules()
    assert log.entries == [OFF, RULES]
    assert reason_of(officials) == ""


def test_it_is_said_again_with_every_checkpoint() -> None:
    """A restart reads back to the last checkpoint, and no further for certain."""
    log = MemoryLog()
    by_hand = ByHand(log, Officials())
    by_hand.commit([FRAME])
    by_hand.turn_off("A. Smith: a rail is loose")
    by_hand.commit([FRAME, Checkpointed(b"")])
    assert log.entries == [FRAME, OFF, FRAME, Checkpointed(b""), OFF]


def test_a_restart_begins_with_what_was_said() -> None:
    officials = Officials()
    by_hand = ByHand(log := MemoryLog(), officials, "A. Smith: a rail is loose")
    assert officials.judge(0).state is AvailabilityState.OFF
    assert reason_of(officials) == "A. Smith: a rail is loose"
    by_hand.commit([Checkpointed(b"")])
    assert log.entries[-1] == OFF


def test_behind_a_disk_that_takes_nothing_it_is_off_at_once_and_stays_off() -> None:
    log, officials = MemoryLog(), Officials()
    by_hand = ByHand(log, officials)
    log.failing.set()
    with pytest.raises(JournalError):
        by_hand.turn_off("A. Smith: a rail is loose")
    assert reason_of(officials) == "A. Smith: a rail is loose"
    with pytest.raises(JournalError):
        by_hand.leave_to_rules()
    assert reason_of(officials) == "A. Smith: a rail is loose"
    log.failing.clear()
    by_hand.commit([Checkpointed(b"")])
    assert log.entries[-1] == OFF


def test_turning_it_off_without_a_reason_writes_nothing() -> None:
    log = MemoryLog()
    with pytest.raises(InvalidInputError):
        ByHand(log, Officials()).turn_off(" ")
    assert log.entries == []
