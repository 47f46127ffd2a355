"""Tables hold every number of their snapshots, in the columns of `tracks.parquet`."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pyarrow as pa
import pytest

from accel import COCO17
from edge_node.encoding import encode_snapshot
from edge_node.sinks.parquet import schema
from tests.support.frames import EDGES, JOINTS, Walk, make_frame
from tipoff.errors import InvalidInputError
from tipoff.reading import read_snapshot
from tipoff.snapshot import Skeleton, Snapshot
from tipoff.tables import to_arrow, to_numpy, to_pandas
from tipoff.v1 import tracking_pb2 as pb

SKELETON = Skeleton("chain17", JOINTS, EDGES)


def _snapshot(number: int, people: int = 3) -> Snapshot:
    message = encode_snapshot(make_frame(number, Walk(people=people)), 2, number, 7)
    return read_snapshot(pb.StreamTracksResponse.FromString(message).snapshot, len(JOINTS))


def test_a_row_is_one_joint_of_one_track_of_one_snapshot() -> None:
    snapshots = [_snapshot(5), _snapshot(6, people=0), _snapshot(7, people=2)]
    rows = to_numpy(iter(snapshots))
    assert rows.shape == (5 * 17,)
    last = snapshots[2]
    row = rows[3 * 17 + 17 + 4]
    assert (row["epoch"], row["sequence"], row["time_ns"]) == (2, 7, last.time_ns)
    assert (row["track_id"], row["joint"]) == (2, 4)
    place = [row["x_m"], row["y_m"], row["z_m"]]
    np.testing.assert_array_equal(place, last.joints_m[1, 4])
    matrix = last.covariance_m2[1, 4]
    np.testing.assert_array_equal(
        [row[f"cov_{pair}"] for pair in ("xx", "xy", "xz", "yy", "yz", "zz")],
        [matrix[0, 0], matrix[0, 1], matrix[0, 2], matrix[1, 1], matrix[1, 2], matrix[2, 2]],
    )
    assert (row["confidence"], row["views"]) == (last.confidence[1, 4], last.views[1, 4])
    assert np.isnan(rows["x_m"]).any()


def test_an_arrow_table_has_the_columns_of_the_tracks_file() -> None:
    table = to_arrow([_snapshot(1), _snapshot(2)], SKELETON)
    whole = schema(COCO17, {})
    assert table.schema.names == ["epoch", "sequence", *whole.names]
    for field in whole:
        assert table.schema.field(field.name).type == field.type
        assert not table.schema.field(field.name).nullable
    assert table["joint"].to_pylist() == list(JOINTS) * 6
    assert table.schema.field("cov_xy").metadata == {b"unit": b"m^2"}
    np.testing.assert_array_equal(
        table["x_m"].to_numpy(), to_numpy([_snapshot(1), _snapshot(2)])["x_m"]
    )


def test_without_a_skeleton_joints_are_indices() -> None:
    table = _snapshot(1).to_arrow()
    assert table.schema.field("joint").type == pa.int32()
    assert table["joint"].to_pylist() == list(range(17)) * 3


def test_a_data_frame_names_its_joints() -> None:
    frame = to_pandas([_snapshot(1)], SKELETON)
    assert list(frame.columns) == to_arrow([], SKELETON).schema.names
    wide = frame.pivot(index="track_id", columns="joint", values="x_m")
    assert list(wide.columns) == list(JOINTS)
    np.testing.assert_array_equal(wide.to_numpy(), _snapshot(1).joints_m[..., 0])
    assert list(_snapshot(1).to_pandas()["joint"][:3]) == [0, 1, 2]


def test_nothing_makes_an_empty_table_of_the_same_columns() -> None:
    assert to_numpy([]).shape == (0,)
    empty = to_arrow([], SKELETON)
    assert empty.num_rows == 0
    assert empty.schema == to_arrow([_snapshot(1)], SKELETON).schema
    assert _snapshot(1, people=0).to_numpy().shape == (0,)


def test_a_skeleton_of_another_stream_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="names 5"):
        to_arrow([_snapshot(1)], dataclasses.replace(SKELETON, joints=JOINTS[:5]))


def test_where_pandas_is_missing_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InvalidInputError, match="pandas is not installed"):
        to_pandas([_snapshot(1)])
