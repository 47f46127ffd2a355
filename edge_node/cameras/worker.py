"""A camera's thread: reads its source, looks at its frames, leaves them in its slot, tries again.

A camera that is lost is tried again after a pause that doubles, with jitter, so that eight cameras
behind a switch that came back do not all knock at once. One that sends what cannot be used is tried
again at the longest pause; a file that is none is not tried again.
"""

from __future__ import annotations

import random
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import structlog

from edge_node.cameras.errors import CameraLostError, CameraUnfitError
from edge_node.cameras.pixels import Glance
from edge_node.frames import CameraFrame, ObservedFrame
from tipoff.credentials import redact
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_node.cameras.slot import Slot, Tally
    from edge_node.cameras.source import LiveSource, SourceClock, Taken
    from edge_node.cameras.watch import Look
    from edge_node.perception import Frame

log = structlog.get_logger(__name__)

_S = 1_000_000_000
NOT_RISING = "time_not_rising"
"""A capture time that does not lie after the one before it."""
UNFIT_FAILURES = 64
"""A camera that sends what cannot be used is tried again as one that failed so often in a row."""
SET_BACK_NS = 10 * _S
"""A clock that falls by more was set: its new times are taken."""


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """How often a camera is tried again."""

    first_s: float = 0.25
    """Pause after the first failure; it doubles with each one."""
    most_s: float = 5.0
    """Longest pause."""
    jitter: float = 0.3
    """Each pause is longer or shorter by up to this part of it."""
    good_s: float = 5.0
    """After frames for so long the pauses begin anew."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not (0 < self.first_s <= self.most_s and 0 <= self.jitter < 1 and self.good_s > 0):
            raise InvalidInputError("retries need 0 < first_s <= most_s and a jitter in [0, 1)")

    def pause_s(self, failures: int, dice: random.Random) -> float:
        """Give the pause after so many failures in a row, from 1."""
        # 2 ** 20 pauses are long enough; more would overflow after a night without a camera.
        base = min(self.first_s * 2.0 ** min(failures - 1, 20), self.most_s)
        return base * (1.0 + self.jitter * (2.0 * dice.random() - 1.0))


class Listener(Protocol):
    """Is told what a camera's thread sees; called from that thread."""

    def saw(self, camera: int, now_ns: int, look: Look | None) -> None:
        """A frame came."""

    def lost(self, camera: int, now_ns: int, why: str) -> None:
        """The connection was lost; it is tried again."""

    def finished(self, camera: int, now_ns: int, failure: str) -> None:
        """The source is over, or is none."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a camera's thread works with."""

    camera: int
    """Index into ``rig.names``."""
    name: str
    """The camera's name."""
    connect: Callable[[], LiveSource]
    """Makes a source, one for each connection."""
    accept: Callable[[Taken], None]
    """Told the first frame of a connection; raises where the tracker cannot use such frames, a
    CameraUnfitError where others may come."""
    slot: Slot
    """Where frames go."""
    tally: Tally
    """Counts what is lost."""
    listener: Listener
    """Is told."""
    retry: RetryOptions = field(default_factory=RetryOptions)
    """How often it is tried again."""


class CameraWorker:
    """Runs one camera until it is stopped or its source is over.

    Args:
        parts: What it works with.
    """

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts
        self._stop = threading.Event()
        self._dice = random.Random(f"{parts.name}/{time.monotonic_ns()}")
        self._glance = Glance()
        self._index = 0
        self._last_ns: int | None = None
        self._clock: SourceClock | None = None
        self._unfit = False
        self.connections = 0
        """Times that the source was opened and gave a frame."""
        self._thread = threading.Thread(target=self._run, name=f"camera-{parts.name}", daemon=True)
        self._log = log.bind(camera=parts.name)

    @property
    def clock(self) -> SourceClock | None:
        """What its capture times rest on; None before it was opened."""
        return self._clock

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Tell it to end; does not wait. What it reads from now on goes nowhere."""
        self._stop.set()
        self._parts.slot.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False where it takes longer."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            began_s = time.monotonic()
            connections = self.connections
            why = self._once()
            if why is None or self._stop.is_set():
                return
            lasted_s = time.monotonic() - began_s if self.connections > connections else 0.0
            failures = 1 if lasted_s >= self._parts.retry.good_s else failures + 1
            steps = UNFIT_FAILURES if self._unfit else failures
            pause_s = self._parts.retry.pause_s(steps, self._dice)
            self._log.warning("camera lost", why=why, failures=failures, again_in_s=pause_s)
            self._parts.listener.lost(self._parts.camera, time.monotonic_ns(), why)
            self._stop.wait(pause_s)

    def _once(self) -> str | None:
        """Read one connection to its end; gives why it was lost, None where it is over."""
        failure, self._unfit = "", False
        try:
            source = self._parts.connect()
            self._clock = source.clock
            first = True
            for taken in source.frames(self._stop):
                if first:
                    self._parts.accept(taken)
                    first, self._last_ns = False, None
                    self.connections += 1
                    self._log.info("camera gives frames", clock=str(source.clock.clock))
                self._take(taken)
        except CameraLostError as error:
            self._unfit = isinstance(error, CameraUnfitError)
            return error.message
        except InvalidInputError as error:
            failure = error.message
            self._log.error("camera failed", why=failure)
        except Exception as error:
            # Whatever a decoder throws costs its camera a connection and no other camera anything.
            # Its trace is written without values: those of libav hold the URL as it was opened.
            where = "".join(traceback.format_tb(error.__traceback__))
            why = f"{type(error).__name__}: {redact(str(error))}"
            self._log.error("camera's thread failed", why=why, where=where)
            return why
        if not self._stop.is_set():
            self._parts.listener.finished(self._parts.camera, time.monotonic_ns(), failure)
        return None

    def _take(self, taken: Taken) -> None:
        parts, now_ns = self._parts, time.monotonic_ns()
        if self._stop.is_set():
            return
        index, self._index = self._index, self._index + 1
        if self._falls(taken.capture_time_ns):
            parts.tally.add(NOT_RISING, taken.capture_time_ns)
            return
        self._last_ns = taken.capture_time_ns
        frame: Frame
        look: Look | None = None
        if isinstance(taken.payload, np.ndarray):
            look = self._glance.at_people(taken.payload)
            frame = ObservedFrame(
                parts.camera, parts.name, taken.capture_time_ns, index, taken.payload, now_ns
            )
        else:
            if self._glance.due(now_ns):
                look = self._glance.at_picture(taken.payload.luma())
            frame = CameraFrame(
                parts.camera,
                parts.name,
                taken.capture_time_ns,
                index,
                taken.payload,
                arrived_ns=time.monotonic_ns(),
                packet_ns=taken.packet_ns,
            )
        parts.listener.saw(parts.camera, now_ns, look)
        parts.slot.put(frame)

    def _falls(self, time_ns: int) -> bool:
        last_ns = self._last_ns
        return last_ns is not None and last_ns - SET_BACK_NS < time_ns <= last_ns
