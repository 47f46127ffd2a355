"""A bounded pool of shared-memory slots for frames, registered with one server."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tipoff.errors import InvalidInputError
from triton_models.errors import SlotsBusyError
from triton_models.segments import Segment, frame_segment_name, sweep_frames

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

CHANNELS = 3
ALIGNMENT_BYTES = 2**16


class Registrar(Protocol):
    """Who tells the server about a region."""

    def register(self, region: str, key: str, size: int) -> None:
        """Make a segment known to the server as a region."""

    def unregister(self, region: str) -> None:
        """Let the server forget a region."""


@dataclass(slots=True)
class Slot:
    """One place for a frame; its segment grows when a larger frame comes."""

    number: int
    """Index in the pool."""
    segment: Segment | None = None
    """Its memory, None until first used."""
    users: int = 0
    """Who still needs the content: the lease and every request in flight."""


@dataclass(slots=True)
class SharedFrame:
    """A frame in shared memory, leased from the pool: write ``pixels``, then send it.

    It may be used for any number of requests; the slot returns to the pool when the lease is
    released and the last of its requests has been answered.
    """

    pixels: NDArray[np.uint8]
    """The frame, uint8 (H, W, 3) RGB, to be written by whoever leased it."""
    slot: Slot = field(repr=False)
    """Where it lies."""
    pool: SlotPool = field(repr=False)
    """Whose it is."""
    released: bool = False
    """Whether the lease has ended."""

    @property
    def region(self) -> str:
        """The region's name at the server."""
        assert self.slot.segment is not None
        return self.slot.segment.name

    def release(self) -> None:
        """End the lease; a second time does nothing."""
        if not self.released:
            self.released = True
            self.pool.drop(self.slot)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class SlotPool:
    """At most ``limit`` frames in flight.

    Args:
        limit: How many slots there are.
        registrar: Who tells the server about a slot's memory.
    """

    def __init__(self, limit: int, registrar: Registrar) -> None:
        assert limit > 0, limit
        self._registrar = registrar
        self._slots = [Slot(number) for number in range(limit)]
        self._free = list(self._slots)
        self._changed = threading.Condition()
        self._made = 0
        self._closed = False
        sweep_frames()

    def lease(self, height: int, width: int, timeout_s: float) -> SharedFrame:
        """Return a frame to be written, waiting at most ``timeout_s`` for a free slot.

        Args:
            height: Rows of the frame.
            width: Columns of the frame.
            timeout_s: How long to wait.

        Raises:
            SlotsBusyError: no slot became free in time.
            UnavailableError: there is no room for the memory, or no server to register it.
        """
        size = height * width * CHANNELS
        if size <= 0:
            raise InvalidInputError(f"a frame of {width}x{height} px holds nothing")
        slot = self._take(timeout_s)
        try:
            segment = self._fit(slot, size)
        except BaseException:
            self.drop(slot)
            raise
        pixels = segment.bytes[:size].reshape(height, width, CHANNELS)
        return SharedFrame(pixels, slot, self)

    def hold(self, slot: Slot) -> None:
        """Keep a slot for one more request."""
        with self._changed:
            assert slot.users > 0, "a released slot cannot be sent"
            slot.users += 1

    def drop(self, slot: Slot) -> None:
        """Give up one use of a slot."""
        with self._changed:
            slot.users -= 1
            assert slot.users >= 0, "dropped twice"
            if slot.users == 0:
                self._free.append(slot)
                self._changed.notify()

    def register_again(self, slot: Slot) -> None:
        """Register a slot that is in use anew, for a server that has been started again."""
        assert slot.users > 0
        assert slot.segment is not None
        self._registrar.register(slot.segment.name, slot.segment.key, slot.segment.size)

    def close(self) -> None:
        """Unregister and unlink every slot; leases that are still held keep their memory."""
        with self._changed:
            self._closed = True
            for slot in self._slots:
                self._forget(slot)
            self._changed.notify_all()

    def _take(self, timeout_s: float) -> Slot:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._free:
                if self._closed or not self._changed.wait(deadline - time.monotonic()):
                    break
            if self._closed or not self._free:
                raise SlotsBusyError(
                    f"all {len(self._slots)} shared-memory slots were in use for {timeout_s:.1f} s"
                    ": send fewer requests at once, or give the client more slots",
                    slots=len(self._slots),
                )
            slot = self._free.pop()
            slot.users = 1
            return slot

    def _fit(self, slot: Slot, size: int) -> Segment:
        if slot.segment is not None and slot.segment.size >= size:
            return slot.segment
        with self._changed:
            self._forget(slot)
            self._made += 1
            name = frame_segment_name(id(self) % 2**32 * 1000 + self._made)
        segment = Segment(name, -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES)
        try:
            self._registrar.register(segment.name, segment.key, segment.size)
        except BaseException:
            segment.unlink()
            raise
        slot.segment = segment
        return segment

    def _forget(self, slot: Slot) -> None:
        if slot.segment is not None:
            self._registrar.unregister(slot.segment.name)
            slot.segment.unlink()
            slot.segment = None
