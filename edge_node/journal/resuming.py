"""The tracker as it was, from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel import CheckpointError, NotYetError, TimeOutOfRangeError, Tracker
from edge_node.journal.digest import snapshot_digest
from edge_node.journal.entries import Observed, Snapped
from edge_node.journal.errors import ReplayDifferedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel import Rig, Snapshot
    from edge_node.journal.gathering import Recovery


def resume_tracker(
    rig: Rig,
    recovery: Recovery,
    on_snapshot: Callable[[Snapped, Tracker], None] | None = None,
) -> Tracker:
    """Run the calls after the last checkpoint again: the tracker to the bit as it was.

    Args:
        rig: The rig of ``recovery.facts``.
        recovery: What the journal held; it must be resumable.
        on_snapshot: Told of every snapshot that was taken again, in order, with the tracker as it
            was then.

    Raises:
        ReplayDifferedError: It gave another snapshot than was sent, or the checkpoint is another
            version's. Begin anew then, and say so to the journal by `entries.Restarted`.
    """
    assert recovery.facts is not None, "nothing to resume from"
    if recovery.checkpoint is None:
        tracker = Tracker(rig, recovery.facts.tracker)
    else:
        try:
            tracker = Tracker.restore(rig, recovery.checkpoint)
        except CheckpointError as error:
            raise ReplayDifferedError(f"the last checkpoint is of no use: {error}") from error
    for call in recovery.calls:
        repeat(tracker, call)
        if on_snapshot is not None and isinstance(call, Snapped):
            on_snapshot(call, tracker)
    return tracker


def repeat(tracker: Tracker, call: Observed | Snapped) -> None:
    """Call a tracker as it was called, and compare.

    Raises:
        ReplayDifferedError: It answers otherwise.
    """
    if isinstance(call, Observed):
        observe_again(tracker, call)
    elif snapshot_digest(snapshot_again(tracker, call)) != call.digest:
        raise ReplayDifferedError(
            f"the {call.kind} snapshot {call.sequence} at {call.time_ns} ns is not what was sent",
            sequence=call.sequence,
        )


def observe_again(tracker: Tracker, call: Observed) -> None:
    """Observe as then.

    Raises:
        ReplayDifferedError: The frame was taken then and is refused now, or the other way round.
    """
    accepted = tracker.observe(call.camera, call.capture_time_ns, call.keypoints, asked=call.asked)
    if accepted != call.accepted:
        raise ReplayDifferedError(
            f"the frame of camera {call.camera} at {call.capture_time_ns} ns was"
            f" {'taken' if call.accepted else 'refused'} then and is not now",
            time_ns=call.capture_time_ns,
        )


def snapshot_again(tracker: Tracker, call: Snapped) -> Snapshot:
    """Take a snapshot as then.

    Raises:
        ReplayDifferedError: It cannot be taken now.
    """
    try:
        return tracker.snapshot(call.time_ns, call.kind == "smoothed")
    except (NotYetError, TimeOutOfRangeError) as error:
        raise ReplayDifferedError(
            f"the {call.kind} snapshot {call.sequence} cannot be taken again: {error}",
            sequence=call.sequence,
        ) from error
