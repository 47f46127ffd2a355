"""The cameras of a rig, each on its own, added, replaced and removed while the others run.

cameras = Cameras(rig, CamerasOptions(), wake)
cameras.put("cam1", "rtsp://${CAM_USER}:${CAM_PASSWORD}@10.0.0.11/stream")
for frame in cameras.take(): ...
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edge_node.cameras.address import SourceKind, parse_source
from edge_node.cameras.errors import CameraUnfitError, SourceError
from edge_node.cameras.place import Attached, Current, Judgement, Place
from edge_node.cameras.slot import OBSERVATIONS, OVERTAKEN, PICTURES, Slot, Tally
from edge_node.cameras.source import Schedule, SourceOptions, Surroundings, open_source
from edge_node.cameras.watch import BLIND, Watch, WatchOptions
from edge_node.cameras.worker import CameraWorker, RetryOptions, WorkerParts
from edge_node.errors import FrameSizeError
from edge_node.sizes import size_factor
from tipoff.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from accel import Rig
    from edge_node.cameras.address import Address
    from edge_node.cameras.place import CameraStatus
    from edge_node.cameras.slot import Drop
    from edge_node.cameras.source import PacketTap, Taken
    from edge_node.frames import CameraHealth, CameraState
    from edge_node.perception import Frame

JOINTS = 17
"""Joints of a person, where nobody says otherwise."""
CLOSE_WITHIN_S = 5.0
"""How long `Cameras.close` waits for a thread that hangs in a read."""


@dataclass(frozen=True, slots=True)
class CamerasOptions:
    """How the cameras of a rig are read."""

    source: SourceOptions = field(default_factory=SourceOptions)
    """For every camera without options of its own."""
    retry: RetryOptions = field(default_factory=RetryOptions)
    """How often a lost camera is tried again."""
    watch: WatchOptions = field(default_factory=WatchOptions)
    """When a camera is called what."""
    folder: Path | None = None
    """What relative paths of sources start from."""
    joints: int = JOINTS
    """Joints that recorded observations must have."""
    began_ns: int | None = None
    """When the game that recordings play began, ns UTC; None: it begins now."""
    tap: Callable[[str], PacketTap] | None = None
    """Gives what takes a camera's encoded packets, such as `edge_node.cameras.ring.Ring.tap`."""


class Cameras:
    """The cameras of a rig. Any thread may call any method; one thread at a time takes.

    Args:
        rig: The calibration; its cameras have no source at first.
        options: How they are read.
        wake: Called whenever a frame is there to be taken, from any thread; must return at once.
    """

    def __init__(
        self,
        rig: Rig,
        options: CamerasOptions | None = None,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._rig = rig
        self._options = options or CamerasOptions()
        self._wake = wake or _nothing
        began_ns = self._options.began_ns
        self._schedule = Schedule() if began_ns is None else Schedule.since(began_ns)
        self._lock = threading.Lock()
        self._changing = threading.Lock()
        self._watch = Watch(rig.names, self._options.watch)
        self._places = [Place(name, Tally(index)) for index, name in enumerate(rig.names)]
        self._leaving: list[CameraWorker] = []
        self._closed = False

    @property
    def began_ns(self) -> int:
        """When the game that recordings play began, ns UTC."""
        return self._schedule.began_ns

    # ---- sources ------------------------------------------------------------------------------

    def put(self, name: str, source: str, options: SourceOptions | None = None) -> None:
        """Attach a source to a camera, in place of the one it has; no other camera notices.

        Args:
            name: The camera, as the rig has it.
            source: An RTSP URL, or the path of a video or a recording of observations.
            options: How it is read; None is as for every camera.

        Raises:
            NotFoundError: the rig has no such camera.
            SourceError: the text names no source.
            ConflictError: the cameras are closed.
        """
        index = self._index(name)
        address = parse_source(source, self._options.folder)
        chosen = options or self._options.source
        with self._changing:
            if self._closed:
                raise ConflictError(
                    f"camera {name} takes no source any more, since its node is on its way out: "
                    "start the node again",
                    camera=name,
                )
            self._detach(index)
            self._attach(index, address, chosen)

    def remove(self, name: str) -> None:
        """Take a camera's source away; no other camera notices.

        Raises:
            NotFoundError: the rig has no such camera, or it has no source.
        """
        index = self._index(name)
        with self._changing:
            if self._places[index].attached is None:
                raise NotFoundError(f"camera {name} has no source to be taken away", camera=name)
            self._detach(index)
            with self._lock:
                self._watch.removed(index, time.monotonic_ns())

    def _index(self, name: str) -> int:
        if name not in self._rig.names:
            raise NotFoundError(
                f"the rig has no camera {name!r}; it has {', '.join(self._rig.names)}", camera=name
            )
        return self._rig.names.index(name)

    def _attach(self, index: int, address: Address, options: SourceOptions) -> None:
        place = self._places[index]
        attached = Attached(self._current, index, address)
        depth = OBSERVATIONS if address.observed else PICTURES
        slot = Slot(depth, place.tally, self._wake)
        tap = self._options.tap(place.name) if self._options.tap is not None else None
        around = Surroundings(place.name, self._schedule, place.tally, options, tap)
        parts = WorkerParts(
            camera=index,
            name=place.name,
            connect=lambda: open_source(address, around),
            accept=lambda taken: self._accept(index, address, taken),
            slot=slot,
            tally=place.tally,
            listener=attached,
            retry=self._options.retry,
        )
        attached.worker = CameraWorker(parts)
        with self._lock:
            place.attached, place.slot, place.judged = attached, slot, None
            self._watch.attached(index, time.monotonic_ns())
        attached.worker.start()

    def _detach(self, index: int) -> None:
        place = self._places[index]
        with self._lock:
            attached, place.attached, place.slot = place.attached, None, None
        if attached is not None and attached.worker is not None:
            attached.worker.stop()
            place.earlier_connections += attached.worker.connections
            self._leaving = [worker for worker in self._leaving if not worker.join(0.0)]
            self._leaving.append(attached.worker)

    def _accept(self, index: int, address: Address, taken: Taken) -> None:
        """Refuse a source whose frames the tracker cannot use."""
        name, payload = self._places[index].name, taken.payload
        if not isinstance(payload, np.ndarray):
            try:
                size_factor(name, (payload.width_px, payload.height_px), self._rig.size[index])
            except FrameSizeError as error:
                if address.kind is not SourceKind.RTSP:
                    raise
                # A file stays as it is; a camera may yet be set right.
                raise CameraUnfitError(error.message, camera=name) from None
        elif payload.shape[1] != self._options.joints:
            raise SourceError(
                f"the recording for {name} has {payload.shape[1]} joints and the session "
                f"{self._options.joints}",
                camera=name,
            )

    def _current(self, attached: Attached) -> Current:
        self._lock.acquire()
        mine = self._places[attached.camera].attached is attached
        return Current(self._lock, self._watch if mine else None)

    # ---- frames -------------------------------------------------------------------------------

    def take(self) -> list[Frame]:
        """Give what is there, in order of arrival; the frames of blind cameras are dropped."""
        now_ns = time.monotonic_ns()
        with self._lock:
            verdicts = self._watch.judge(now_ns)
            frames: list[Frame] = []
            for place, verdict in zip(self._places, verdicts, strict=True):
                taken = place.slot.take() if place.slot is not None else []
                if verdict.state in BLIND:
                    for frame in taken:
                        place.tally.add(f"camera_{verdict.state}", frame.capture_time_ns)
                elif taken:
                    place.frames += len(taken)
                    place.last_ns = max(frame.capture_time_ns for frame in taken)
                    frames.extend(taken)
        return sorted(frames, key=lambda frame: (frame.arrived_ns, frame.camera))

    @property
    def overtaken(self) -> int:
        """Frames that were overtaken in their slots so far, over all cameras."""
        return sum(place.tally.counts.get(OVERTAKEN, 0) for place in self._places)

    def take_drops(self) -> list[Drop]:
        """Give the frames that were dropped since the last time, by camera, for the journal."""
        return [drop for place in self._places for drop in place.tally.take()]

    def drop(self, name: str, reason: str, capture_time_ns: int | None = None) -> None:
        """Count a frame that was given and then dropped by whoever took it.

        Raises:
            NotFoundError: the rig has no such camera.
        """
        self._places[self._index(name)].tally.add(reason, capture_time_ns)

    # ---- how they do --------------------------------------------------------------------------

    def judge(
        self, name: str, state: CameraState | None, detail: str = "", *, left_out: bool = True
    ) -> None:
        """Say what the tracker found about a camera whose pictures are well.

        Args:
            name: The camera.
            state: LATE, SWAPPED or MOVED; None: nothing is held against it.
            detail: Why, in words.
            left_out: Whether its frames count for little in the tracking; they are given all the
                same, since only they can show that it is well again.

        Raises:
            NotFoundError: the rig has no such camera.
        """
        place = self._places[self._index(name)]
        with self._lock:
            place.judged = None if state is None else Judgement(state, detail, left_out)

    def health(self) -> tuple[CameraHealth, ...]:
        """Give how every camera does, in the rig's order."""
        with self._lock:
            verdicts = self._watch.judge(time.monotonic_ns())
            return tuple(
                place.health(verdict) for place, verdict in zip(self._places, verdicts, strict=True)
            )

    def status(self) -> tuple[CameraStatus, ...]:
        """Give everything about every camera, in the rig's order."""
        return tuple(
            place.status(health) for health, place in zip(self.health(), self._places, strict=True)
        )

    # ---- the end ------------------------------------------------------------------------------

    def close(self, within_s: float = CLOSE_WITHIN_S) -> None:
        """Stop every camera and wait for its thread; may be called again.

        Args:
            within_s: How long threads are waited for. One that hangs in a read, or in a connect to
                a camera that does not answer, ends by itself later, or with the process.
        """
        with self._changing:
            self._closed = True
            for index in range(len(self._places)):
                self._detach(index)
            until_s = time.monotonic() + within_s
            for worker in self._leaving:
                worker.join(max(until_s - time.monotonic(), 0.0))
            self._leaving.clear()

    def __enter__(self) -> Cameras:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _nothing() -> None:
    pass
