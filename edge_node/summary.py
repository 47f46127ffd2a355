"""What a run is judged by: reprojection, limb lengths, who was tracked from when to when.

The definitions live here and nowhere else.

*Reprojection* is over every keypoint with a confidence of at least ``CONFIDENT`` in a detection
that was assigned to a reported track: the distance in pixels between the keypoint and the track's
joint, at the frame's capture time, seen through the camera's lens. Outliers are included. A joint
that the track does not know has no distance; such keypoints are counted apart.

*Limb variation* is the mean, over the eight limbs of arms and legs and over tracks, of a limb's
standard deviation over its mean, both over all snapshots that know both its ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from accel import Rig, Skeleton, Snapshot
    from edge_node.frames import CameraHealth, TrackedFrame, ViewDetections

CONFIDENT = 0.15
"""Keypoints that count have at least this confidence."""
MIN_LENGTHS = 2
"""A limb's variation needs at least so many snapshots."""
SIDES = ("left", "right")
LIMB_JOINTS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
"""Ends of the limbs of arms and legs, on each side."""


def arm_and_leg_limbs(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """Give the limbs of arms and legs that a skeleton has, as pairs of joints."""
    index = {name: number for number, name in enumerate(skeleton.joints)}
    pairs = [(f"{side}_{a}", f"{side}_{b}") for side in SIDES for a, b in LIMB_JOINTS]
    return tuple((index[a], index[b]) for a, b in pairs if a in index and b in index)


def limb_lengths(
    joints_m: NDArray[np.float64], limbs: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """Measure limbs.

    Args:
        joints_m: (..., J, 3).
        limbs: L pairs of joints.

    Returns:
        (..., L) in metres; NaN where an end is not known.
    """
    a, b = (np.array([limb[end] for limb in limbs], np.intp) for end in (0, 1))
    lengths: NDArray[np.float64] = np.linalg.norm(
        joints_m[..., a, :] - joints_m[..., b, :], axis=-1
    )
    return lengths


def limb_variation(lengths_m: Mapping[int, NDArray[np.float64]]) -> float | None:
    """Mean over limbs and tracks of standard deviation over mean.

    Args:
        lengths_m: For each track (S, L) over its snapshots; NaN where not known.

    Returns:
        The variation as a part of 1; None where no limb was measured twice.
    """
    ratios = [ratio for table in lengths_m.values() for ratio in limb_ratios(table)]
    known = [ratio for ratio in ratios if np.isfinite(ratio)]
    return float(np.mean(known)) if known else None


def limb_ratios(lengths_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over mean of each limb of a track, (L,); NaN where not measured twice."""
    ratios = np.full(lengths_m.shape[1], np.nan)
    for limb, values in enumerate(lengths_m.T):
        known = values[np.isfinite(values)]
        if len(known) >= MIN_LENGTHS and known.mean() > 0:
            ratios[limb] = known.std() / known.mean()
    return ratios


def reprojection_px(
    view: ViewDetections, rig: Rig
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Measure how far a frame's keypoints lie from their tracks.

    Args:
        view: The frame's detections, with the tracks at its capture time.
        rig: The cameras.

    Returns:
        (K,) the track of each keypoint that counts, and (K,) its distance in pixels; NaN where the
        track does not know the joint.
    """
    rows = {int(track): row for row, track in enumerate(view.snapshot.ids)}
    pairs = [(n, rows[int(i)]) for n, i in enumerate(view.assigned) if int(i) in rows]
    if not pairs:
        return np.empty(0, np.int64), np.empty(0)
    detections, tracks = (np.array(column, np.intp) for column in zip(*pairs, strict=True))
    seen = view.keypoints[detections]
    projected = rig.project(view.snapshot.joints_m[tracks])[..., view.camera, :]
    counts = (seen[..., 2] >= CONFIDENT) & np.isfinite(seen).all(axis=-1)
    distances = np.linalg.norm(projected - seen[..., :2], axis=-1)
    ids = np.broadcast_to(view.snapshot.ids[tracks][:, None], counts.shape)
    return ids[counts], distances[counts]


@dataclass(slots=True)
class TrackRecord:
    """What is known of one track."""

    first_time_ns: int
    """Time of its first snapshot."""
    last_time_ns: int
    """Time of its last snapshot."""
    snapshots: int = 0
    """How many snapshots it is in."""
    lengths_m: list[NDArray[np.float64]] = field(default_factory=list)
    """For each snapshot the (L,) limb lengths."""
    path_m: list[tuple[float, float]] = field(default_factory=list)
    """For each snapshot x and y of the middle of its known joints."""


class SummarySink:
    """Collects what `summary.json` and the report say.

    Args:
        rig: The cameras.
        skeleton: The joints.
    """

    stage = "summary"

    def __init__(self, rig: Rig, skeleton: Skeleton) -> None:
        self.rig, self.skeleton = rig, skeleton
        self.limbs = arm_and_leg_limbs(skeleton)
        self.tracks: dict[int, TrackRecord] = {}
        self.frames = 0
        self.times_ns: list[int] = []
        self.cameras: tuple[CameraHealth, ...] = ()
        self.views_asked = [0] * len(rig.names)
        self._distances: list[list[NDArray[np.float64]]] = [[] for _ in rig.names]
        self._by_track: dict[int, list[NDArray[np.float64]]] = {}

    def write(self, frame: TrackedFrame) -> None:
        """Take one frame."""
        self.frames += 1
        self.times_ns.append(frame.time_ns)
        self.cameras = frame.cameras
        for view in frame.views:
            self.views_asked[view.camera] += 1
            self._add_view(view)
        self._add_tracks(frame.snapshot)

    def close(self) -> None:
        """Nothing is held open."""

    def _add_view(self, view: ViewDetections) -> None:
        ids, distances = reprojection_px(view, self.rig)
        self._distances[view.camera].append(distances)
        for track in np.unique(ids):
            self._by_track.setdefault(int(track), []).append(distances[ids == track])

    def _add_tracks(self, snapshot: Snapshot) -> None:
        lengths = limb_lengths(snapshot.joints_m, self.limbs)
        for row, track in enumerate(snapshot.ids):
            time_ns = snapshot.time_ns
            record = self.tracks.setdefault(int(track), TrackRecord(time_ns, time_ns))
            record.last_time_ns = time_ns
            record.snapshots += 1
            record.lengths_m.append(lengths[row])
            record.path_m.append(_middle(snapshot.joints_m[row]))

    def reprojection(self, camera: int | None = None) -> dict[str, float | None]:
        """Median and 95th percentile of the reprojection in pixels, of one camera or of all."""
        chosen = self._distances if camera is None else [self._distances[camera]]
        return _spread([part for parts in chosen for part in parts])

    def track_reprojection(self, track: int) -> dict[str, float | None]:
        """Median and 95th percentile of one track's reprojection in pixels."""
        return _spread(self._by_track.get(track, []))

    def keypoints(self, camera: int | None = None) -> tuple[int, int]:
        """Count the keypoints with a distance, and those whose track does not know the joint."""
        chosen = self._distances if camera is None else [self._distances[camera]]
        values = _joined([part for parts in chosen for part in parts])
        known = int(np.isfinite(values).sum())
        return known, len(values) - known

    def lengths_m(self) -> dict[int, NDArray[np.float64]]:
        """For each track its (S, L) limb lengths."""
        return {track: np.array(record.lengths_m) for track, record in self.tracks.items()}

    def limb_variation(self) -> float | None:
        """Mean over limbs and tracks of standard deviation over mean."""
        return limb_variation(self.lengths_m())

    def as_dict(self) -> dict[str, Any]:
        """Give the measured part of `summary.json`."""
        counted, unknown = self.keypoints()
        return {
            "frames": self.frames,
            "tracks": [self._track(track) for track in sorted(self.tracks)],
            "reprojection_px": self.reprojection(),
            "reprojection_keypoints": {"measured": counted, "joint_not_known": unknown},
            "limb_length_variation": self.limb_variation(),
        }

    def _track(self, track: int) -> dict[str, Any]:
        record = self.tracks[track]
        return {
            "id": track,
            "first_time_ns": record.first_time_ns,
            "last_time_ns": record.last_time_ns,
            "snapshots": record.snapshots,
            "reprojection_px": self.track_reprojection(track),
            "limb_length_variation": limb_variation({track: np.array(record.lengths_m)}),
        }


def _middle(joints_m: NDArray[np.float64]) -> tuple[float, float]:
    known = joints_m[np.isfinite(joints_m).all(axis=1)]
    if not len(known):
        return float("nan"), float("nan")
    x, y, _ = known.mean(axis=0)
    return float(x), float(y)


def _joined(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)


def _spread(parts: Sequence[NDArray[np.float64]]) -> dict[str, float | None]:
    values = _joined(parts)
    known = values[np.isfinite(values)]
    if not len(known):
        return {"median": None, "p95": None}
    return {"median": float(np.median(known)), "p95": float(np.percentile(known, 95))}
