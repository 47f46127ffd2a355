"""`tracks.parquet`: a row for each time, track and joint, written as the tracking goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from accel import Skeleton, Snapshot
    from edge_node.frames import TrackedFrame

ROW_GROUP_ROWS = 64_000
"""Rows that are kept in memory before they are written as a row group."""
COVARIANCE = ("xx", "xy", "xz", "yy", "yz", "zz")
UPPER = np.triu_indices(3)
"""Row and column of each of the six numbers of a covariance, in the order of ``COVARIANCE``."""


def schema(skeleton: Skeleton, notes: Mapping[str, str]) -> pa.Schema:
    """Give the table's columns, with units and skeleton in its metadata.

    Args:
        skeleton: The joints.
        notes: More metadata.
    """
    numbers = ["x_m", "y_m", "z_m", *(f"cov_{pair}" for pair in COVARIANCE), "confidence"]
    metadata = {
        "tipoff.units": json.dumps(
            {
                "time_ns": "ns",
                "x_m, y_m, z_m": "m, in the rig's world frame",
                "cov_*": "m^2",
                "confidence": "0 to 1",
                "views": "cameras behind the joint, 0 where it is inferred",
            }
        ),
        "tipoff.skeleton": json.dumps(
            {"name": skeleton.name, "joints": skeleton.joints, "edges": skeleton.edges}
        ),
        **{f"tipoff.{name}": text for name, text in notes.items()},
    }
    fields: list[pa.Field[Any]] = [
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("track_id", pa.int64(), nullable=False),
        pa.field("joint", pa.string(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in numbers),
        pa.field("views", pa.int32(), nullable=False),
    ]
    return pa.schema(fields).with_metadata(metadata)


class ParquetSink:
    """Writes `tracks.parquet`; numbers that are not known are NaN.

    Args:
        path: The file to write.
        skeleton: The joints.
        notes: What the file's metadata says beside units and skeleton.
    """

    stage = "parquet"

    def __init__(self, path: Path, skeleton: Skeleton, notes: Mapping[str, str]) -> None:
        self._joints = np.array(skeleton.joints, dtype=object)
        self._schema = schema(skeleton, notes)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, frame: TrackedFrame) -> None:
        """Add a frame's rows."""
        if not len(frame.snapshot.ids):
            return
        batch = self._batch(frame.snapshot)
        self._batches.append(batch)
        self._rows += batch.num_rows
        if self._rows >= ROW_GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self._writer.close()

    def _batch(self, snapshot: Snapshot) -> pa.RecordBatch:
        tracks, joints = snapshot.confidence.shape
        covariance = snapshot.covariance_m2[..., UPPER[0], UPPER[1]].reshape(-1, len(COVARIANCE))
        positions = snapshot.joints_m.reshape(-1, 3)
        columns = [
            np.full(tracks * joints, snapshot.time_ns, np.int64),
            np.repeat(snapshot.ids, joints),
            np.tile(self._joints, tracks),
            *positions.T,
            *covariance.T,
            snapshot.confidence.reshape(-1).astype(np.float64),
            snapshot.views.reshape(-1).astype(np.int32),
        ]
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _flush(self) -> None:
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches))
        self._batches, self._rows = [], 0
