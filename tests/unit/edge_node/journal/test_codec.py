"""Entries come back from their records as they were."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import numpy as np
import pytest

from accel import TrackerOptions
from edge_node.journal.chain import Record, link, session_id
from edge_node.journal.codec import Codec, Kind, decode, encode
from edge_node.journal.entries import (
    Checkpointed,
    Dropped,
    Ended,
    Entry,
    Observed,
    Opened,
    Restarted,
    Snapped,
    StateChanged,
)
from edge_node.journal.errors import JournalDamagedError
from edge_node.journal.facts import SessionFacts, facts_from_json, facts_to_json
from tests.support.journals import facts
from tipoff.errors import InvalidInputError

_RNG = np.random.default_rng(4)


def _points(people: int, joints: int = 17) -> np.ndarray[Any, np.dtype[np.float32]]:
    points = _RNG.normal(500, 300, (people, joints, 3)).astype(np.float32)
    points[points < 0] = np.nan
    return points


ENTRIES: list[Entry] = [
    Observed(3, -5, _points(4), None, True),
    Observed(65_535, 2**61, _points(0), (), False),
    Observed(0, 1, _points(1, 1), (7, -1, 2**60), True),
    Dropped(2, 17, "overtaken"),
    Snapped("live", 1, 99, bytes(range(32)), b""),
    Snapped("smoothed", 2**40, -99, bytes(32), _RNG.bytes(1001)),
    Checkpointed(b"tracker" * 1000),
    Checkpointed(b""),
    Restarted("its rig is another one"),
    StateChanged("cameras", {"cam\udc80": [1, 2.5, None, "é"]}),
    Ended("completed", "the buzzer"),
    Opened(facts(), bytes(32), True, False, "a torn tail"),
]


def _record(entry: Entry) -> Record:
    encoded = encode(entry)
    return Record(
        record=1,
        epoch=1,
        kind=int(encoded.kind),
        codec=int(encoded.codec),
        sequence=encoded.sequence,
        time_ns=encoded.time_ns,
        raw_bytes=encoded.raw_bytes,
        payload=encoded.payload,
    )


def assert_equal(a: Entry, b: Entry) -> None:
    """Equal, NaN included."""
    assert type(a) is type(b)
    for field in dataclasses.fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            assert left.shape == right.shape
            assert left.tobytes() == right.tobytes()
        else:
            assert left == right, field.name


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    assert_equal(decode(_record(entry)), entry)


def test_what_does_not_shrink_is_stored_as_it_is() -> None:
    noise = encode(Checkpointed(_RNG.bytes(5000)))
    assert noise.codec is Codec.PLAIN
    assert len(noise.payload) == noise.raw_bytes == 5000
    assert len(encode(Checkpointed(bytes(5000))).payload) < 100


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_whatever_a_payload_holds_is_an_entry_or_damage(entry: Entry) -> None:
    record = _record(entry)
    for _ in range(200):
        payload = bytearray(record.payload or b"\0")
        payload[_RNG.integers(len(payload))] ^= 1 << int(_RNG.integers(8))
        cut = bytes(payload[: int(_RNG.integers(len(payload) + 1))])
        for changed in (bytes(payload), cut):
            with contextlib.suppress(JournalDamagedError):
                decode(dataclasses.replace(record, payload=changed))


@pytest.mark.parametrize(
    "entry",
    [
        Snapped("late", 1, 1, bytes(32), b""),
        Snapped("live", 1, 1, bytes(31), b""),
        Observed(0, 1, np.zeros((2, 17), np.float32), None, True),
    ],
)
def test_what_has_no_place_in_a_record_is_refused(entry: Entry) -> None:
    with pytest.raises(InvalidInputError):
        encode(entry)


def test_facts_come_back_bit_for_bit() -> None:
    options = TrackerOptions(max_delay_ms=33.3, sigma_px=0.1 + 0.2)
    there = dataclasses.replace(
        facts(), tracker=options, isa="avx512", notes={"roster": [4, 23]}, rate_hz=59.94
    )
    back = facts_from_json(facts_to_json(there))
    assert back == there
    assert back.rig.K.tobytes() == there.rig.K.tobytes()
    assert not back.differs(there)


def test_facts_tell_another_rig_and_other_options() -> None:
    rig = facts().rig
    other = SessionFacts("finals", rig.subset(rig.names[:2]))
    assert "rig" in facts().differs(other)
    lag = dataclasses.replace(facts(), tracker=TrackerOptions(lag_ms=50))
    assert "options" in facts().differs(lag)


def test_facts_whose_rig_was_changed_are_refused() -> None:
    value = facts_to_json(facts())
    value["rig"]["t"][0][0] += 1e-9
    with pytest.raises(InvalidInputError, match="digest"):
        facts_from_json(value)


def test_every_column_is_part_of_the_hash() -> None:
    record = _record(ENTRIES[0])
    before, session = bytes(32), session_id("finals")
    hashes = {link(before, record, session)}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        changed: Any = value + b"\0" if isinstance(value, bytes) else value + 1
        other: dict[str, Any] = {field.name: changed}
        hashes.add(link(before, dataclasses.replace(record, **other), session))
    hashes.add(link(bytes(31) + b"\1", record, session))
    hashes.add(link(before, record, session_id("semifinals")))
    assert len(hashes) == len(dataclasses.fields(record)) + 3


def test_kinds_keep_their_numbers() -> None:
    assert {kind.name: kind.value for kind in Kind} == {
        "OPENED": 1,
        "OBSERVED": 2,
        "DROPPED": 3,
        "LIVE": 4,
        "CHECKPOINTED": 5,
        "STATE": 6,
        "ENDED": 7,
        "RESTARTED": 8,
        "SMOOTHED": 9,
    }
