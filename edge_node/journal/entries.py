"""What a journal holds, as its writer sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from edge_node.journal.facts import SessionFacts


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
class Dropped:
    """A camera's frame that never reached the tracker."""

    camera: int
    """Index into the rig."""
    capture_time_ns: int
    """Mid-exposure of the first row."""
    reason: str
    """Why."""


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
class Restarted:
    """The tracker began anew, knowing nothing: what was tracked before could not be resumed."""

    reason: str
    """Why."""


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


@dataclass(frozen=True, slots=True)
class Opened:
    """The beginning of a file of the journal; the journal itself writes it."""

    facts: SessionFacts
    """What made the records after it."""
    public_key: bytes
    """Ed25519, 32 bytes: whose signature the heads bear."""
    continues: bool
    """Whether the tracker goes on with what it knew at the record before."""
    begins_epoch: bool = True
    """False where a file was full and this one goes on with the same epoch."""
    cut: str = ""
    """What was found damaged before it and moved aside, in words; empty where nothing was."""


Entry: TypeAlias = (
    Observed | Dropped | Snapped | Checkpointed | Restarted | StateChanged | Ended | Opened
)
