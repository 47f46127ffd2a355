"""The tracker with its calls written down: what a replay of the journal repeats, in order.

Only what changes the tracker or is sent has to be repeated; predictions and plans change nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_node.journal.digest import snapshot_digest
from edge_node.journal.entries import Checkpointed, Observed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from accel import Health, Plan, PlanBudget, Prediction, Snapshot, Tracker
    from edge_node.journal.entries import Entry


class RecordedTracker:
    """Passes calls on to a tracker and keeps those that the journal is to hold.

    Args:
        tracker: Fresh, or resumed from the journal.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._entries: list[Entry] = []

    def take(self) -> tuple[Entry, ...]:
        """Give what was called since the last time."""
        entries, self._entries = tuple(self._entries), []
        return entries

    def observe(
        self,
        camera: int,
        capture_time_ns: int,
        keypoints: NDArray[np.float32],
        *,
        asked: Iterable[int] | None = None,
    ) -> bool:
        """Observe; what was refused is written down as well, so that counters come out equal."""
        looked_for = None if asked is None else tuple(int(identity) for identity in asked)
        accepted = self._tracker.observe(camera, capture_time_ns, keypoints, asked=looked_for)
        points = np.ascontiguousarray(keypoints, np.float32)
        self._entries.append(Observed(camera, capture_time_ns, points, looked_for, accepted))
        return accepted

    def snapshot(self, time_ns: int, smoothed: bool = False) -> Snapshot:
        """Give a snapshot; those that are sent are written down by whoever sends them."""
        return self._tracker.snapshot(time_ns, smoothed)

    @staticmethod
    def digest(snapshot: Snapshot) -> bytes:
        """Give the digest of a snapshot as the tracker gave it, 32 bytes."""
        return snapshot_digest(snapshot)

    def checkpoint(self) -> None:
        """Write down all that the tracker knows."""
        self._entries.append(Checkpointed(self._tracker.checkpoint()))

    def predict(self, camera: int, time_ns: int) -> Prediction:
        """Give what a frame should show."""
        return self._tracker.predict(camera, time_ns)

    def assigned(self, camera: int, capture_time_ns: int) -> NDArray[np.int64]:
        """Give the track of each detection of a frame."""
        return self._tracker.assigned(camera, capture_time_ns)

    def plan(self, budget: PlanBudget) -> Plan:
        """Plan; changes nothing."""
        return self._tracker.plan(budget)

    def health(self) -> Health:
        """Tell how the rig does."""
        return self._tracker.health()
