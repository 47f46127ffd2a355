"""A camera's place in its group: the source that is attached to it, and how it does.

What a place holds changes under the lock of the group (`edge_node.cameras.group`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_node.cameras.watch import BLIND
from edge_node.frames import CameraHealth, CameraState, CaptureClock

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from edge_node.cameras.address import Address
    from edge_node.cameras.slot import Slot, Tally
    from edge_node.cameras.watch import Look, Verdict, Watch
    from edge_node.cameras.worker import CameraWorker


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """Everything about one camera, for those who run the node."""

    health: CameraHealth
    """As the streams tell it."""
    source: str
    """Where its frames come from, without credentials; empty: it has no source."""
    reconnects: int
    """Times that it was connected anew."""
    dropped: Mapping[str, int]
    """Frames that were dropped so far, by where and why."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the tracker found about a camera whose pictures are well."""

    state: CameraState
    """LATE, SWAPPED or MOVED."""
    detail: str
    """Why, in words."""
    left_out: bool
    """Whether its frames count for little in the tracking."""


class Attached:
    """A source that is attached to a camera, and what its thread says of it.

    Args:
        current: Gives the watch under its lock, if this is still the camera's source.
        camera: Index into ``rig.names``.
        address: Where its frames come from.
    """

    def __init__(
        self, current: Callable[[Attached], Current], camera: int, address: Address
    ) -> None:
        self._current, self.camera, self.address = current, camera, address
        self.worker: CameraWorker | None = None

    def saw(self, camera: int, now_ns: int, look: Look | None) -> None:
        """Pass it on, if this is still the camera's source."""
        with self._current(self) as watch:
            if watch is not None:
                watch.saw(camera, now_ns, look)

    def lost(self, camera: int, now_ns: int, why: str) -> None:
        """Pass it on, if this is still the camera's source."""
        with self._current(self) as watch:
            if watch is not None:
                watch.lost(camera, now_ns, why)

    def finished(self, camera: int, now_ns: int, failure: str) -> None:
        """Pass it on, if this is still the camera's source."""
        with self._current(self) as watch:
            if watch is not None:
                watch.finished(camera, now_ns, failure)


class Current:
    """The watch under its lock, if a source is still its camera's.

    Args:
        lock: The watch's, held already; it is released at the end of the block.
        watch: None: the source is its camera's no longer.
    """

    def __init__(self, lock: threading.Lock, watch: Watch | None) -> None:
        self._lock, self._watch = lock, watch

    def __enter__(self) -> Watch | None:
        return self._watch

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@dataclass(slots=True)
class Place:
    """A camera of the rig."""

    name: str
    """As the rig has it."""
    tally: Tally
    """Counts its frames that were dropped."""
    attached: Attached | None = None
    """Its source, if it has one,"""
    slot: Slot | None = None
    """and where that leaves its frames."""
    judged: Judgement | None = None
    """What the tracker holds against it."""
    frames: int = 0
    """Frames of it that were given."""
    last_ns: int | None = None
    """Capture time of the newest of those given last, ns UTC."""
    earlier_connections: int = 0
    """Connections of the sources that it had before."""

    @property
    def connections(self) -> int:
        """Times that it was connected, by all its sources."""
        attached = self.attached
        worker = attached.worker if attached is not None else None
        return self.earlier_connections + (worker.connections if worker is not None else 0)

    def health(self, verdict: Verdict) -> CameraHealth:
        """Give how it does, as the streams tell it.

        Args:
            verdict: What the watch says of its pictures.
        """
        worker = self.attached.worker if self.attached is not None else None
        clock = worker.clock if worker is not None else None
        health = CameraHealth(
            name=self.name,
            state=verdict.state,
            frames=self.frames,
            dropped=self.tally.total,
            last_capture_time_ns=self.last_ns,
            detail=verdict.detail,
            clock=clock.clock if clock is not None else CaptureClock.RECORDING,
            clock_jitter_ns=clock.jitter_ns if clock is not None else 0,
            left_out=verdict.state in BLIND or self.attached is None,
        )
        if verdict.state is not CameraState.LIVE:
            return health
        judged = self.judged
        if judged is not None:
            return replace(
                health, state=judged.state, detail=judged.detail, left_out=judged.left_out
            )
        return replace(health, detail=clock.detail) if clock is not None else health

    def status(self, health: CameraHealth) -> CameraStatus:
        """Give everything about it.

        Args:
            health: How it does.
        """
        # Asked for once: it may be taken away at any moment.
        attached = self.attached
        return CameraStatus(
            health=health,
            source=attached.address.shown if attached is not None else "",
            reconnects=max(self.connections - 1, 0),
            dropped=self.tally.counts,
        )
