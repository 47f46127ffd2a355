"""Recorded observations are read as they were written, from anywhere, and nothing else is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accel import Tracker
from edge_node.cameras import observations
from edge_node.cameras.errors import SourceError
from edge_node.cameras.observations import (
    Row,
    read_info,
    read_observations,
    write_observations,
)
from edge_node.cameras.shared import Shared
from tests.support.observations import make_recording, people, rows
from tests.support.rigs import ring_rig

CAMERAS = ("a", "b", "c")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = make_recording(tmp_path / "game.parquet", CAMERAS, 50, 60.0, start_ns=7_000)
    read = list(read_observations(path))
    for (camera, time_ns, keypoints), written in zip(
        read, rows(CAMERAS, 50, 60.0, 7_000), strict=True
    ):
        assert (camera, time_ns) == written[:2]
        assert keypoints.dtype == np.float32
        np.testing.assert_array_equal(keypoints, written[2])
    info = read_info(path)
    assert (info.cameras, info.joints, info.frames) == (CAMERAS, 17, 150)
    assert (info.start_ns, info.end_ns) == (7_000, 7_000 + round(49e9 / 60))


def test_a_frame_without_people_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "game.parquet"
    nobody = np.empty((0, 17, 3), np.float32)
    write_observations(path, [("a", 0, nobody), ("a", 1, people(1)), ("a", 2, nobody)])
    assert [len(keypoints) for *_, keypoints in read_observations(path)] == [0, 2, 0]


def test_one_camera_from_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "ROW_GROUP_ROWS", 16)
    monkeypatch.setattr(observations, "BATCH_ROWS", 5)
    path = make_recording(tmp_path / "game.parquet", CAMERAS, 100, 10.0)
    read = list(read_observations(path, "b", from_ns=4_950_000_000))
    assert [camera for camera, *_ in read] == ["b"] * 50
    assert [time_ns for _, time_ns, _ in read] == [n * 100_000_000 for n in range(50, 100)]
    assert pq.ParquetFile(path).metadata.num_row_groups == 19


@pytest.mark.parametrize("kept_bytes", [0, 2**24])
def test_cameras_that_read_beside_each_other_decode_once_unless_it_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    monkeypatch.setattr(observations, "ROW_GROUP_ROWS", 30)
    monkeypatch.setattr(observations, "KEPT_BYTES", kept_bytes)
    monkeypatch.setattr(observations, "_KEPT", Shared(observations.KEPT_GROUPS))
    decoded: list[int] = []
    read_group = observations._read_group

    def counting(path: Path, group: int) -> Any:
        decoded.append(group)
        return read_group(path, group)

    monkeypatch.setattr(observations, "_read_group", counting)
    path = make_recording(tmp_path / "game.parquet", CAMERAS, 100, 10.0)
    readers = [read_observations(path, camera) for camera in CAMERAS]
    found = [row for beside in zip(*readers, strict=True) for row in beside]
    wanted = list(rows(CAMERAS, 100, 10.0))
    assert [(camera, time_ns) for camera, time_ns, _ in found] == [one[:2] for one in wanted]
    for (*_, keypoints), (*_, written) in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(keypoints, written)
        assert not keypoints.flags.writeable, "others see them, too"
    assert sorted(decoded) == (list(range(10)) if kept_bytes else [])


def test_a_recording_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = make_recording(tmp_path / "game.parquet", CAMERAS, 10, 10.0)
    assert len(list(read_observations(path))) == 30
    make_recording(path, CAMERAS, 20, 10.0)
    assert len(list(read_observations(path))) == 60


@pytest.mark.parametrize("time_ns", [2**62, -(2**62), 2**63 - 1])
def test_times_that_no_tracker_takes_are_refused(tmp_path: Path, time_ns: int) -> None:
    path = tmp_path / "game.parquet"
    write_observations(path, sorted([("a", 0, people(1)), ("a", time_ns, people(1))], key=_time))
    with pytest.raises(SourceError, match=f"{time_ns}.* no nanoseconds"):
        read_info(path)
    write_observations(path, [("a", 2**62 - 1, people(1))])
    tracker = Tracker(ring_rig(2))
    for _, known_ns, keypoints in read_observations(path):
        tracker.observe(0, known_ns, keypoints)
    assert read_info(path).end_ns == 2**62 - 1


def _time(row: Row) -> int:
    return row[1]


@pytest.mark.parametrize("lacks", ["camera", "capture_time_ns", "keypoints"])
@pytest.mark.parametrize("others", [0, 1])
def test_a_row_that_lacks_something_is_refused(tmp_path: Path, lacks: str, others: int) -> None:
    whole: dict[str, Any] = {"camera": "a", "capture_time_ns": 2, "keypoints": []}
    types: dict[str, pa.DataType] = {
        "camera": pa.string(),
        "capture_time_ns": pa.int64(),
        "keypoints": pa.list_(pa.float32()),
    }
    schema = pa.schema(types)
    table = pa.Table.from_pylist([{**whole, lacks: None}, *[whole] * others], schema)
    path = tmp_path / "other.parquet"
    pq.write_table(table, path)
    with pytest.raises(SourceError, match=f"has a row without {lacks}"):
        list(read_observations(path, None, from_ns=1))
    if lacks != "keypoints":
        with pytest.raises(SourceError, match=f"has a row without {lacks}"):
            read_info(path)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "game.parquet"
    for bad in (
        [("a", 5, people(1)), ("a", 4, people(2))],
        [("a", 5, np.zeros((1, 16, 3), np.float32))],
        [("a", 5, np.zeros((17, 3), np.float32))],
    ):
        with pytest.raises(SourceError):
            write_observations(path, bad)
        assert list(tmp_path.iterdir()) == []


def test_what_is_no_recording_says_so(tmp_path: Path) -> None:
    path = tmp_path / "game.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        read_info(path)
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        read_info(tmp_path / "none.parquet")
    pq.write_table(pa.table({"camera": ["a"], "capture_time_ns": [1]}), path)
    with pytest.raises(SourceError, match="lacks the column keypoints"):
        read_info(path)
    odd = pa.table(
        {
            "camera": ["a"],
            "capture_time_ns": [1],
            "keypoints": pa.array([[1.0, 2.0]], pa.list_(pa.float32())),
        }
    )
    pq.write_table(odd, path)
    with pytest.raises(SourceError, match="has 2 numbers for a at 1"):
        list(read_observations(path))


def test_a_broken_recording_says_so_wherever_it_is_broken(tmp_path: Path) -> None:
    path = make_recording(tmp_path / "game.parquet", CAMERAS, 200)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        at = int(rng.integers(4, len(data) - 8))
        data[at : at + 16] = rng.bytes(16)
        path.write_bytes(bytes(data[: int(rng.integers(len(data) // 2, len(data) + 1))]))
        try:
            list(read_observations(path))
        except SourceError:
            refused += 1
    assert refused >= 30
