"""Recorded observations: what inference found in each camera frame, as Parquet.

A row is a frame of a camera: ``camera`` (string), ``capture_time_ns`` (int64, UTC or from the
recording's start) and ``keypoints`` (list of float32: people x joints x u, v, confidence; empty
where nobody was found). Rows stand in order of capture time. The number of joints stands in the
metadata, ``tipoff.joints``; without it 17 are taken.
"""

from __future__ import annotations

import functools
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from edge_node.cameras.errors import SourceError
from edge_node.cameras.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

JOINTS = 17
"""Joints where a file does not say."""
ROW_GROUP_ROWS = 1024
"""Frames in a row group; a camera that begins in the middle skips whole ones."""
BATCH_ROWS = 512
"""Frames read at a time from row groups that are too large to be kept."""
KEPT_BYTES = 16 * 1024 * 1024
"""A row group of more is not kept for the other cameras."""
KEPT_GROUPS = 16
"""Row groups that are kept, of all recordings."""
MAX_KEYPOINT_FLOATS = 64 * 64 * 3
"""A row with more is no frame: 64 people of 64 joints."""
LARGEST_TIME_NS = 2**62
"""No tracker takes a time so far from 0, in the year 2116."""
NUMBERS = 3
"""u, v and confidence."""
KNOWN_RECORDINGS = 16
"""Recordings whose contents are remembered."""

_SCANNING = threading.Lock()

_COLUMNS = ("camera", "capture_time_ns", "keypoints")

Row = tuple[str, int, "NDArray[np.float32]"]


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """What a recording of observations holds."""

    cameras: tuple[str, ...]
    """Names of its cameras."""
    joints: int
    """Joints of a person."""
    start_ns: int
    """Least capture time."""
    end_ns: int
    """Greatest capture time."""
    frames: int
    """Camera frames in it."""


def write_observations(path: Path, rows: Iterable[Row], joints: int = JOINTS) -> int:
    """Write a recording; it is there as a whole or not at all.

    Args:
        path: The file to write.
        rows: Camera, capture time in ns and keypoints (people, joints, 3) of each frame, in order
            of capture time.
        joints: Joints of a person.

    Returns:
        How many frames were written.

    Raises:
        SourceError: the times fall, or keypoints have another shape.
    """
    schema = _schema(joints)
    part = path.with_name(path.name + ".part")
    written, last_ns, batch = 0, None, list[Row]()
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for row in rows:
                _check_row(row, joints, last_ns)
                last_ns = row[1]
                batch.append(row)
                if len(batch) == ROW_GROUP_ROWS:
                    writer.write_table(_table(batch, schema))
                    written += len(batch)
                    batch.clear()
            if batch:
                writer.write_table(_table(batch, schema))
                written += len(batch)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return written


def _schema(joints: int) -> pa.Schema:
    fields: list[pa.Field[Any]] = [
        pa.field("camera", pa.string(), nullable=False),
        pa.field("capture_time_ns", pa.int64(), nullable=False),
        pa.field("keypoints", pa.list_(pa.float32()), nullable=False),
    ]
    return pa.schema(fields).with_metadata({"tipoff.joints": str(joints)})


def _check_row(row: Row, joints: int, last_ns: int | None) -> None:
    camera, time_ns, keypoints = row
    if keypoints.ndim != 3 or keypoints.shape[1:] != (joints, NUMBERS):
        raise SourceError(
            f"keypoints of {camera} at {time_ns} have the shape {keypoints.shape}; a recording "
            f"of {joints} joints takes (people, {joints}, {NUMBERS})",
            camera=camera,
        )
    if last_ns is not None and time_ns < last_ns:
        raise SourceError(
            f"{camera} at {time_ns} comes after {last_ns}: write frames in order of capture time",
            camera=camera,
        )


def _table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    flat = [np.ascontiguousarray(keypoints, np.float32).reshape(-1) for *_, keypoints in rows]
    ends = np.cumsum([0, *(len(values) for values in flat)])
    values = np.concatenate(flat) if flat else np.empty(0, np.float32)
    lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values, pa.float32()))
    cameras = pa.array([camera for camera, *_ in rows], pa.string())
    times = pa.array([time_ns for _, time_ns, _ in rows], pa.int64())
    return pa.Table.from_arrays([cameras, times, lists], schema=schema)


def read_info(path: Path) -> RecordingInfo:
    """Read what a recording holds; once, though every camera of a rig asks.

    Raises:
        SourceError: it is none, or has no frame.
    """
    version = _version(path)
    with _SCANNING:
        return _scan_once(*version)


@functools.lru_cache(maxsize=KNOWN_RECORDINGS)
def _scan_once(path: Path, _mtime_ns: int, _size: int) -> RecordingInfo:
    return _scan(path)


def _scan(path: Path) -> RecordingInfo:
    with _opened(path) as file:
        cameras: set[str] = set()
        start, end, frames = [], [], 0
        for batch in _batches(file, path, ["camera", "capture_time_ns"], range(_groups(file))):
            names: list[Any] = pc.unique(batch.column("camera")).to_pylist()
            cameras.update(names)
            times = batch.column("capture_time_ns").to_numpy()
            start.append(int(times.min()))
            end.append(int(times.max()))
            frames += len(times)
        if not frames:
            raise SourceError(f"{path} holds no frame; record again", path=path)
        if min(start) <= -LARGEST_TIME_NS or max(end) >= LARGEST_TIME_NS:
            raise SourceError(
                f"{path} has capture times from {min(start)} to {max(end)}, which are no "
                "nanoseconds, UTC or from its start: see to their unit",
                path=path,
            )
        return RecordingInfo(tuple(sorted(cameras)), _joints(file), min(start), max(end), frames)


def read_observations(
    path: Path, camera: str | None = None, from_ns: int | None = None
) -> Iterator[Row]:
    """Read a recording's frames in their order, a row group at a time.

    All who read a recording at about the same place share what is decoded, and the next group is
    decoded before they come to it: nobody may write into the keypoints.

    Args:
        path: The recording.
        camera: Only this camera's; None is everybody's.
        from_ns: Only from this capture time on.

    Raises:
        SourceError: it is no recording of observations, or is broken.
    """
    version = _version(path)
    with _opened(path) as file:
        groups = [g for g in range(_groups(file)) if from_ns is None or _reaches(file, g, from_ns)]
        sizes = [file.metadata.row_group(group).total_byte_size for group in groups]
        if max(sizes, default=0) > KEPT_BYTES:
            for batch in _batches(file, path, None, groups):
                yield from _Frames.of(batch, path, _joints(file)).rows(camera, from_ns)
            return
    for index, group in enumerate(groups):
        frames = _KEPT.get((*version, group), functools.partial(_read_group, path, group))
        for after in groups[index + 1 : index + 2]:
            _KEPT.prepare((*version, after), functools.partial(_read_group, path, after))
        yield from frames.rows(camera, from_ns)


@dataclass(frozen=True, slots=True)
class _Frames:
    """Frames of a recording, decoded."""

    path: Path
    joints: int
    names: NDArray[np.object_]
    times_ns: NDArray[np.int64]
    ends: NDArray[np.int64]
    numbers: NDArray[np.float32]

    @classmethod
    def of(cls, batch: pa.RecordBatch | pa.Table, path: Path, joints: int) -> _Frames:
        """Decode a batch of rows."""
        column: Any = batch.column("keypoints")
        lists: Any = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        numbers: NDArray[np.float32] = lists.values.to_numpy(zero_copy_only=False)
        numbers.flags.writeable = False
        return cls(
            path,
            joints,
            np.asarray(batch.column("camera").to_pylist(), np.object_),
            batch.column("capture_time_ns").to_numpy(),
            lists.offsets.to_numpy(),
            numbers,
        )

    def rows(self, camera: str | None, from_ns: int | None) -> Iterator[Row]:
        """Give the frames of a camera, or of all, from a time on."""
        wanted = np.ones(len(self.names), np.bool_) if camera is None else self.names == camera
        if from_ns is not None:
            wanted &= self.times_ns >= from_ns
        for row in np.flatnonzero(wanted).tolist():
            name, time_ns = self.names[row], int(self.times_ns[row])
            flat = self.numbers[self.ends[row] : self.ends[row + 1]]
            if len(flat) % (self.joints * NUMBERS) or len(flat) > MAX_KEYPOINT_FLOATS:
                raise SourceError(
                    f"{self.path} has {len(flat)} numbers for {name} at {time_ns}, which are not "
                    f"people of {self.joints} joints with u, v and confidence",
                    path=self.path,
                )
            yield name, time_ns, flat.reshape(-1, self.joints, NUMBERS)


_KEPT: Shared[_Frames] = Shared(KEPT_GROUPS)


def _version(path: Path) -> tuple[Path, int, int]:
    """Tell a recording from one that is written over it."""
    try:
        found = path.stat()
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read as Parquet: {error.strerror}", path=path
        ) from error
    return path, found.st_mtime_ns, found.st_size


def _read_group(path: Path, group: int) -> _Frames:
    with _opened(path) as file:
        table = pa.Table.from_batches(list(_batches(file, path, None, [group])), file.schema_arrow)
        return _Frames.of(table, path, _joints(file))


def _opened(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(os.fspath(path))
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"{path} cannot be read as Parquet: {reason}", path=path) from error
    schema = file.schema_arrow
    wanted = _schema(JOINTS)
    for name in wanted.names:
        if name not in schema.names or schema.field(name).type != wanted.field(name).type:
            file.close()
            raise SourceError(
                f"{path} is no recording of observations: it lacks the column {name} "
                f"({wanted.field(name).type}). `tipoff journal export` writes such recordings",
                path=path,
            )
    return file


def _batches(
    file: pq.ParquetFile, path: Path, columns: list[str] | None, groups: Iterable[int]
) -> Iterator[pa.RecordBatch]:
    wanted = list(groups)
    if not wanted:
        return
    try:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=wanted, columns=columns):
            for name in batch.schema.names:
                if name in _COLUMNS and batch.column(name).null_count:
                    raise SourceError(
                        f"{path} has a row without {name}: write an empty list where nobody was "
                        "found, and leave rows without a camera or a time out",
                        path=path,
                    )
            yield batch
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"{path} is broken: {reason}; copy it again", path=path) from error


def _groups(file: pq.ParquetFile) -> int:
    return int(file.metadata.num_row_groups)


def _reaches(file: pq.ParquetFile, group: int, from_ns: int) -> bool:
    """Whether a row group may hold a frame at or after a time."""
    column = file.schema_arrow.get_field_index("capture_time_ns")
    statistics = file.metadata.row_group(group).column(column).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    last: Any = statistics.max
    return last is None or bool(last >= from_ns)


def _joints(file: pq.ParquetFile) -> int:
    told = (file.schema_arrow.metadata or {}).get(b"tipoff.joints", b"")
    return int(told) if told.isdigit() and 0 < int(told) <= 64 else JOINTS
