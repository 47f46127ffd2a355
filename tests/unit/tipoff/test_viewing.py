"""What is shown of a snapshot: where people are, how fast, and how late it came."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edge_node.description import Terms
from edge_node.encoding import build_header, encode_snapshot
from tests.support.frames import describe, make_frame
from tipoff.reading import read_header, read_snapshot
from tipoff.screen import availability_lines
from tipoff.snapshot import (
    Availability,
    Degradation,
    Header,
    Heartbeat,
    JournalHead,
    Snapshot,
)
from tipoff.v1 import tracking_pb2 as pb
from tipoff.viewing import Lines, Motion, follow, latency, plain, positions

NS = 1_000_000_000


@pytest.fixture
def header() -> Header:
    return read_header(build_header(describe(), 1, 9, Terms(5 * NS, 2 * NS, NS)))


def _snapshot(number: int = 1) -> Snapshot:
    message = encode_snapshot(make_frame(number), 1, number, 7)
    return read_snapshot(pb.StreamTracksResponse.FromString(message).snapshot, 17)


def _at(x_m: float, y_m: float, z_m: float, time_ns: int) -> Snapshot:
    joints_m = np.tile([x_m, y_m, z_m], (3, 17, 1))
    return dataclasses.replace(_snapshot(), joints_m=joints_m, time_ns=time_ns)


def test_a_position_is_the_median_of_the_known_joints() -> None:
    snapshot = _at(1.0, 2.0, 3.0, 0)
    snapshot.joints_m[0, :8] = np.nan
    snapshot.joints_m[1] = np.nan
    places = positions(snapshot)
    assert places[0].tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(places[1]).all()


def test_a_speed_is_taken_along_the_floor_over_half_a_second() -> None:
    motion = Motion()
    assert math.isnan(motion.describe(_at(0.0, 0.0, 1.0, 0))[0].speed_mps)
    for step in range(1, 101):
        moved = _at(step * 0.05, 0.0, step * 0.5, step * 10_000_000)
        (line, *_) = motion.describe(moved)
    assert line.speed_mps == pytest.approx(5.0)


def test_whoever_has_gone_is_forgotten() -> None:
    motion = Motion()
    motion.describe(_at(0.0, 0.0, 0.0, 0))
    none = np.empty((0, 17))
    gone = dataclasses.replace(
        _snapshot(),
        ids=np.empty(0, np.int64),
        joints_m=np.empty((0, 17, 3)),
        confidence=none.astype(np.float32),
        views=none.astype(np.int32),
    )
    assert motion.describe(gone) == []
    assert math.isnan(motion.describe(_at(9.0, 0.0, 0.0, NS))[0].speed_mps)


@pytest.mark.parametrize(
    ("time_base", "age_s", "since", "seconds"),
    [("utc", 0.2, "capture", 0.2), ("utc", 90_000.0, "sent", 0.5), ("recording", 0.2, "sent", 0.5)],
)
def test_a_latency_is_since_capture_only_where_the_clock_is_live(
    header: Header, time_base: str, age_s: float, since: str, seconds: float
) -> None:
    now_ns = 1_800_000_000 * NS
    snapshot = dataclasses.replace(
        _snapshot(), time_ns=now_ns - round(age_s * NS), sent_ns=now_ns - NS // 2
    )
    late = latency(dataclasses.replace(header, time_base=time_base), snapshot, now_ns)
    assert late.since == since
    assert late.seconds == pytest.approx(seconds)


def test_what_is_not_known_is_null() -> None:
    assert (
        json.dumps(plain(np.array([[1.0, np.nan], [np.inf, 2.0]]))) == "[[1.0, null], [null, 2.0]]"
    )


DEGRADED = Availability(
    "degraded",
    failed=("views",),
    least_views=2,
    std_p95_m=0.0214,
    snapshot_age_s=0.052,
    detail="somebody was seen by 2 cameras",
)


class _Stream:
    """A stream that has come so far."""

    def __init__(self, header: Header, events: list[Snapshot | Heartbeat]) -> None:
        self.header = header
        self.end = None
        self.closed = False
        self._events = events

    def events(self) -> Iterator[Snapshot | Heartbeat]:
        yield from self._events

    def close(self) -> None:
        self.closed = True


def _heartbeat() -> Heartbeat:
    head = JournalHead(7, b"\x01" * 32, 5, b"\x02" * 64)
    return Heartbeat(1, 9, 3, DEGRADED, (Degradation("lower_rate", "one in two"),), head)


@pytest.mark.parametrize("heartbeats", [False, True])
def test_lines_hold_the_availability_and_heartbeats_where_they_are_asked_for(
    heartbeats: bool, header: Header, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = dataclasses.replace(_snapshot(), availability=DEGRADED)
    stream: Any = _Stream(header, [_heartbeat(), snapshot, _heartbeat(), _snapshot(2)])
    with Lines(stream, heartbeats=heartbeats) as view:
        follow(stream, view, 1)
    assert stream.closed
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["header"]["journal_public_key"] == ""
    shown = next(line for line in lines if "sequence" in line)
    assert shown["availability"]["failed"] == ["views"]
    assert shown["degradations"] == []
    told = [line["heartbeat"] for line in lines if "heartbeat" in line]
    assert len(told) == int(heartbeats)
    if told:
        assert told[0]["journal_head"]["hash"] == "01" * 32
        assert told[0]["availability"]["least_views"] == 2
        assert told[0]["degradations"] == [{"kind": "lower_rate", "detail": "one in two"}]


def test_a_terminal_says_whether_officials_may_rely_on_it_and_why_not() -> None:
    lines = availability_lines(DEGRADED, _heartbeat().degradations)
    assert [line.plain for line in lines] == [
        "officials degraded  views 2  ± 21 mm  52 ms old  somebody was seen by 2 cameras",
        "lower rate: one in two",
    ]
    assert availability_lines(None, ()) == []
