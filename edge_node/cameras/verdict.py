"""What a camera can be found to do, and when it is."""

from __future__ import annotations

from dataclasses import dataclass

from edge_node.frames import CameraState

_S = 1_000_000_000
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """When a camera is called what. All times are well within the second that is promised."""

    silent_beats: float = 4.0
    """Silent for so many of its own beats: disconnected, within the two bounds below."""
    silent_least_ns: int = 650 * _MS
    """Not sooner than this."""
    silent_most_ns: int = 900 * _MS
    """Not later than this."""
    still_ns: int = 650 * _MS
    """Still for so long is frozen."""
    empty_still_ns: int = 30 * _S
    """Still for so long is frozen also where nobody is in the picture and it had no noise: longer
    than a half of the court is empty."""
    black_ns: int = 500 * _MS
    """Dark for so long is black."""
    alike_ns: int = 500 * _MS
    """Alike for so long is duplicated."""
    back_ns: int = 250 * _MS
    """Well for so long is well."""
    still_levels: float = 2.0
    """A block mean that changes by less stands still, in levels of 255."""
    moving_levels: float = 6.0
    """A block mean that changes by more moves."""
    black_mean: float = 28.0
    """A picture whose mean is below is dark (16 is black in most videos),"""
    black_block: float = 44.0
    """if its brightest block is below this."""
    alike: float = 0.99
    """Least correlation of two small pictures that show the same."""
    plain_levels: float = 6.0
    """A picture of less contrast than this standard deviation is like any other."""
    jump: float = 0.3
    """A camera whose picture correlates so much less with its own before, and less than the
    other's does with its own, has jumped."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a camera is doing."""

    state: CameraState
    """What."""
    detail: str = ""
    """Why, in words; empty where nothing is wrong."""


LIVE = Verdict(CameraState.LIVE)
BLIND = (CameraState.FROZEN, CameraState.BLACK, CameraState.DUPLICATED)
"""States in which frames come that are worth nothing."""
