"""The digest of a snapshot: two are equal exactly if the snapshots are, bit for bit."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from accel import Snapshot

_LAYOUT = (
    ("ids", "<i8"),
    ("joints_m", "<f8"),
    ("covariance_m2", "<f8"),
    ("confidence", "<f4"),
    ("views", "<i4"),
)


def snapshot_digest(snapshot: Snapshot) -> bytes:
    """Give SHA-256 over a snapshot's time, shape and arrays, little-endian; 32 bytes."""
    joints = snapshot.joints_m.shape
    digest = hashlib.sha256()
    digest.update(np.array([snapshot.time_ns, joints[0], joints[1]], "<i8").tobytes())
    for name, kind in _LAYOUT:
        digest.update(np.ascontiguousarray(getattr(snapshot, name), kind).tobytes())
    return digest.digest()
