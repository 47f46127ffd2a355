"""What is shown of a snapshot: where people are, how fast, and how late it came."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from edge_node.description import Terms
from edge_node.encoding import build_header, encode_snapshot
from tests.support.frames import describe, make_frame
from tipoff.reading import read_header, read_snapshot
from tipoff.snapshot import Header, Snapshot
from tipoff.v1 import tracking_pb2 as pb
from tipoff.viewing import Motion, latency, plain, positions

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
