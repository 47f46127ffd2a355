"""What a journal holds, as its writer sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Observed:
    """A call of ``Tracker.observe``."""

    camera: int
    """Index into the rig."""
    capture_time_ns: int
    """Mid-exposure of the first row."""
    keypoints: NDArray[np.float32]
    """(N, J, 3) u, v in pixels of the calibration and confidence."""
    asked: tuple[int, ...] | None
    """Identities that were looked for; None: everybody."""
    accepted: bool
    """Whether the tracker took it."""


@dataclass(frozen=True, slots=True)
class Snapped:
    """A snapshot that was taken to be sent."""

    kind: str
    """``live`` or ``smoothed``."""
    sequence: int
    """Its number in the epoch, per kind."""
    time_ns: int
    """Time that it was asked for."""
    digest: bytes
    """Of the snapshot as the tracker gave it, 32 bytes."""
    message: bytes
    """The response as it was sent; it may hold a part of the people."""


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """All that the tracker knew after the calls before."""

    checkpoint: bytes
    """What ``Tracker.checkpoint`` gave."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Something beside the tracker changed: cameras, members of the area, availability."""

    name: str
    """What."""
    value: Mapping[str, Any] = field(default_factory=dict)
    """How it is now; JSON."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over: no record follows in any epoch."""

    reason: str
    """``completed``, ``failed`` or ``stopped``."""
    detail: str
    """Why, in words."""


Entry: TypeAlias = Observed | Snapped | Checkpointed | StateChanged | Ended
