"""Runs of snapshots as tables: NumPy, Arrow, pandas. A row for each snapshot, track and joint.

The columns are those of `tracks.parquet`, behind the epoch and the sequence of the snapshot:

    with tipoff.Client("127.0.0.1:7400") as client, client.stream_tracks() as stream:
        table = to_arrow(itertools.islice(stream, 600), stream.header.skeleton)
    pyarrow.parquet.write_table(table, "play.parquet")

Metres, ns, world frame as the stream's header names it; what is not known is NaN. A snapshot with
nobody in it has no row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from tipoff.snapshot import Skeleton, Snapshot

COVARIANCE = ("xx", "xy", "xz", "yy", "yz", "zz")
_UPPER = np.triu_indices(3)
_NUMBERS = ("x_m", "y_m", "z_m", *(f"cov_{pair}" for pair in COVARIANCE), "confidence")
ROW = np.dtype(
    [
        ("epoch", np.uint64),
        ("sequence", np.uint64),
        ("time_ns", np.int64),
        ("track_id", np.int64),
        ("joint", np.int32),
        *((name, np.float64) for name in _NUMBERS),
        ("views", np.int32),
    ]
)
"""A row as NumPy has it; ``joint`` is the index into the skeleton's joints."""
UNITS = {
    "time_ns": "ns",
    "x_m": "m",
    "y_m": "m",
    "z_m": "m",
    **{f"cov_{pair}": "m^2" for pair in COVARIANCE},
    "confidence": "0 to 1",
    "views": "cameras behind the joint, 0 where it is inferred",
}
"""Units, as the fields of an Arrow table say them."""


def to_numpy(snapshots: Iterable[Snapshot]) -> NDArray[np.void]:
    """Return a structured array of dtype ``ROW``, in the order of the snapshots."""
    parts = [_rows(snapshot) for snapshot in snapshots]
    return np.concatenate(parts) if parts else np.empty(0, ROW)


def _rows(snapshot: Snapshot) -> NDArray[np.void]:
    tracks, joints = snapshot.confidence.shape
    rows = np.empty((tracks, joints), ROW)
    rows["epoch"], rows["sequence"] = snapshot.epoch, snapshot.sequence
    rows["time_ns"] = snapshot.time_ns
    rows["track_id"] = snapshot.ids[:, None]
    rows["joint"] = np.arange(joints, dtype=np.int32)
    for axis, name in enumerate(("x_m", "y_m", "z_m")):
        rows[name] = snapshot.joints_m[..., axis]
    for pair, row, column in zip(COVARIANCE, *_UPPER, strict=True):
        rows[f"cov_{pair}"] = snapshot.covariance_m2[..., row, column]
    rows["confidence"], rows["views"] = snapshot.confidence, snapshot.views
    return rows.reshape(-1)


def _columns(snapshots: Iterable[Snapshot], skeleton: Skeleton | None) -> dict[str, NDArray[Any]]:
    rows = to_numpy(snapshots)
    columns: dict[str, NDArray[Any]] = {
        name: np.ascontiguousarray(rows[name]) for name in ROW.names or ()
    }
    if skeleton is not None:
        joints = columns["joint"]
        if joints.size and int(joints.max()) >= len(skeleton.joints):
            raise InvalidInputError(
                f"snapshots have {int(joints.max()) + 1} joints and skeleton {skeleton.name!r} "
                f"names {len(skeleton.joints)}: give the skeleton of their own stream's header"
            )
        columns["joint"] = np.array(skeleton.joints, dtype=object)[joints]
    return columns


def to_arrow(snapshots: Iterable[Snapshot], skeleton: Skeleton | None = None) -> pa.Table:
    """Return an Arrow table, in the order of the snapshots.

    Args:
        snapshots: Of one stream.
        skeleton: Of its header; ``joint`` then holds names, otherwise indices.

    Raises:
        InvalidInputError: The skeleton has fewer joints than the snapshots.
    """
    import pyarrow as pa

    columns = _columns(snapshots, skeleton)
    arrays, fields = [], []
    for name, values in columns.items():
        named = name == "joint" and skeleton is not None
        kind: pa.DataType = pa.string() if named else pa.from_numpy_dtype(ROW[name])
        unit = {"unit": UNITS[name]} if name in UNITS else None
        arrays.append(pa.array(values, kind))
        fields.append(pa.field(name, kind, nullable=False, metadata=unit))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def to_pandas(snapshots: Iterable[Snapshot], skeleton: Skeleton | None = None) -> pd.DataFrame:
    """Return a data frame, in the order of the snapshots; ``joint`` is categorical where named.

    Args:
        snapshots: Of one stream.
        skeleton: Of its header; ``joint`` then holds names, otherwise indices.

    Raises:
        InvalidInputError: pandas is not installed, or the skeleton does not fit.
    """
    try:
        import pandas as pd
    except ImportError:
        raise InvalidInputError(
            "pandas is not installed: install it, or take to_arrow() or to_numpy()"
        ) from None
    frame = pd.DataFrame(_columns(snapshots, skeleton))
    if skeleton is not None:
        frame["joint"] = frame["joint"].astype(pd.CategoricalDtype(list(skeleton.joints)))
    return frame
