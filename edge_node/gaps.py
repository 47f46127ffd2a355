"""What a stream cannot have before its first snapshot, as the gaps that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_node.description import Gap, GapReason
from edge_node.encoding import encode_gap

if TYPE_CHECKING:
    from edge_node.ring import Held, Restart


def opening_gaps(wanted: tuple[int, int], first: Held) -> list[bytes]:
    """Return the encoded gaps between what a subscriber wants and the first that is held.

    Args:
        wanted: Epoch and sequence, not behind ``first``.
        first: What its stream begins with.
    """
    epoch, sequence = wanted
    if first.restart is not None:
        return [*_before_restart(wanted, first.epoch, first.restart), first.restart.message]
    gaps = []
    if epoch < first.epoch:
        gaps.append(_epoch_over(wanted, first.epoch))
        sequence = 1
    if sequence < first.sequence:
        gaps.append(encode_gap(Gap(first.epoch, sequence, first.sequence - 1, GapReason.EXPIRED)))
    return gaps


def _before_restart(wanted: tuple[int, int], epoch: int, restart: Restart) -> list[bytes]:
    last = restart.last_epoch, restart.last_sequence
    if wanted[0] == last[0] and wanted <= last:
        return [encode_gap(Gap(*wanted, last[1], GapReason.EXPIRED))]
    nothing_missing = wanted == (last[0], last[1] + 1) or (wanted > last and wanted[1] == 1)
    if nothing_missing or wanted[0] == epoch:
        return []
    return [_epoch_over(wanted, epoch)]


def _epoch_over(wanted: tuple[int, int], next_epoch: int) -> bytes:
    return encode_gap(Gap(*wanted, 0, GapReason.EPOCH_OVER, next_epoch=next_epoch))
