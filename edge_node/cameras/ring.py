"""The last minutes of each camera, as it sent them: encoded, in a bounded ring of files.

Packets are written as they came, without another encoding, into files of some seconds that begin at
a key frame: MPEG transport streams for H.264 and HEVC, Matroska for anything else. Both can be read
up to where a power cut left them. A file's own times count from the capture time of its first
frame, after which it is called (`edge_node.cameras.segments`), so that a clip of all cameras can be
put together. A new file begins where the capture times leave its beat, as where a camera's clock is
found, and at the first key frame of another connection.

One thread writes for all cameras. What waits for it is bounded; where a disk is too slow, video is
left out of the ring and counted, and the cameras never wait.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import structlog

from edge_node.cameras.packets import TRANSPORT, CameraTap
from edge_node.cameras.segments import TICK, Segment, cameras_in, segments, size_bytes
from tipoff.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction
    from pathlib import Path

    from edge_node.cameras.packets import Held

log = structlog.get_logger(__name__)

_S = 1_000_000_000
FOLDER = "video"
"""Of a session's ring, within its state folder."""
QUEUE_PACKETS = 4096
"""Packets of all cameras that wait to be written, at most,"""
QUEUE_BYTES = 64 * 1024 * 1024
"""and their bytes."""
OFF_BEAT_NS = 20_000_000
"""A frame that is off the times of its file by more begins another one."""
LONGER = 3
"""A file without a key frame is cut after so many times its length, and what follows waits for
one."""
CLOSE_WITHIN_S = 3.0
"""How long what waits may take to be written when the ring is closed."""


@dataclass(frozen=True, slots=True)
class RingOptions:
    """How much is kept."""

    length_s: float = 600.0
    """How much of each camera."""
    max_bytes: int = 20_000_000_000
    """Most bytes of all cameras, whatever their length; each has an even share."""
    segment_s: float = 10.0
    """About how long a file is: the key frame after that ends it."""
    epoch: int = 0
    """Epoch of the node that writes; 0: it has none."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not (0 < self.segment_s <= self.length_s and self.max_bytes > 0):
            raise InvalidInputError("a ring needs 0 < segment_s <= length_s and room")


@dataclass(slots=True)
class _File:
    """The file that a camera's packets go to now."""

    path: Path
    container: av.container.OutputContainer
    stream: Any
    start_ns: int
    first: Fraction
    codec: str
    connection: tuple[int, int]
    last_dts: int = -1


class Ring:
    """Keeps the last minutes of cameras.

    Args:
        folder: Where; each camera has a folder in it. What an earlier process left there is kept
            within the same bounds.
        options: How much.
    """

    def __init__(self, folder: Path, options: RingOptions | None = None) -> None:
        self._folder, self._options = folder, options or RingOptions()
        self._queue: queue.Queue[Held | None] = queue.Queue(QUEUE_PACKETS)
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._lost: Counter[str] = Counter()
        self._broken: set[str] = set()
        self._refused: set[str] = set()
        self._files: dict[str, _File] = {}
        self._written: dict[str, list[tuple[Segment, int]]] = {}
        self._cameras = set(cameras_in(folder))
        self._taps = itertools.count()
        self._newest: dict[str, tuple[int, int]] = {}
        self._thread = threading.Thread(target=self._run, name="ring", daemon=True)
        self._thread.start()

    def tap(self, camera: str) -> CameraTap:
        """Give what takes a camera's packets from its next source.

        Of the source before nothing is kept any more once the next one has given a packet.
        """
        with self._lock:
            self._cameras.add(camera)
        return CameraTap(self, camera, next(self._taps))

    @property
    def lost(self) -> Mapping[str, int]:
        """Packets that were not kept, by camera: damaged, or not taken by the disk."""
        with self._lock:
            return dict(self._lost)

    def lose(self, camera: str) -> None:
        """Count a packet that cannot be kept as it came."""
        with self._lock:
            self._lost[camera] += 1

    def put(self, held: Held) -> None:
        """Take a packet, or leave it out where too much waits already."""
        with self._lock:
            full = self._waiting_bytes + len(held.data) > QUEUE_BYTES
            if not full:
                self._waiting_bytes += len(held.data)
        if not full:
            try:
                self._queue.put_nowait(held)
            except queue.Full:
                full = True
                with self._lock:
                    self._waiting_bytes -= len(held.data)
        if full:
            with self._lock:
                self._lost[held.camera] += 1
                self._broken.add(held.camera)

    def close(self, within_s: float = CLOSE_WITHIN_S) -> bool:
        """Write what waits and finish the files; a disk that does not answer is left to its thread.

        Args:
            within_s: How long that may take. Files that are not finished can be read all the same.

        Returns:
            Whether all of it was written in time.
        """
        until_s = time.monotonic() + within_s
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=within_s)
        self._thread.join(max(until_s - time.monotonic(), 0.0))
        if self._thread.is_alive():
            log.error("the newest video was not written to the ring: its disk does not answer")
        return not self._thread.is_alive()

    # ---- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        while (held := self._queue.get()) is not None:
            with self._lock:
                self._waiting_bytes -= len(held.data)
                cut = held.camera in self._broken
                self._broken.discard(held.camera)
            try:
                if cut:
                    self._finish(held.camera)
                self._write(held)
                self._refused.discard(held.camera)
            except Exception as error:
                # Whatever it is: the ring goes on, for this camera with its next file.
                self._refuse(held.camera, error)
        for camera in list(self._files):
            try:
                self._finish(camera)
            except Exception as error:
                self._refuse(camera, error)

    def _refuse(self, camera: str, error: Exception) -> None:
        """Count a packet that was not written; why is said once until one is written again."""
        with self._lock:
            self._lost[camera] += 1
        file = self._files.pop(camera, None)
        if file is not None:
            with contextlib.suppress(Exception):
                file.container.close()
        if camera not in self._refused:
            self._refused.add(camera)
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            log.warning("ring cannot be written", camera=camera, why=reason)

    def _write(self, held: Held) -> None:
        if held.connection < self._newest.get(held.camera, held.connection):
            return  # its source was replaced, and its thread has not ended yet
        self._newest[held.camera] = held.connection
        file = self._files.get(held.camera)
        if file is not None and self._ends(file, held):
            self._finish(held.camera)
            file = None
        if file is None:
            if not held.key:
                return
            file = self._files[held.camera] = self._begin(held)
        ticks = round((held.pts * held.base - file.first) / TICK)
        dts = max(round((held.dts * held.base - file.first) / TICK), file.last_dts + 1)
        packet: av.Packet[Any] = av.Packet(held.data)
        if held.key and held.head and held.head not in held.data:
            # A file must say how it is decoded, even where the camera said so only once.
            packet = av.Packet(held.head + held.data)
        packet.stream, packet.time_base = file.stream, TICK
        packet.pts, packet.dts, packet.is_keyframe = max(ticks, dts), dts, held.key
        file.last_dts = dts
        file.container.mux(packet)

    def _ends(self, file: _File, held: Held) -> bool:
        """Whether a packet goes to another file."""
        if held.codec != file.codec or held.connection != file.connection:
            return True
        place_ns = int((held.pts * held.base - file.first) * _S)
        long = place_ns >= self._options.segment_s * _S
        if long and held.key:
            return True
        off = abs(held.capture_time_ns - file.start_ns - place_ns) > OFF_BEAT_NS
        return off and (held.key or place_ns > LONGER * self._options.segment_s * _S)

    def _begin(self, held: Held) -> _File:
        folder = self._folder / held.camera
        folder.mkdir(parents=True, exist_ok=True)
        transport = held.codec in TRANSPORT
        ending = "ts" if transport else "mkv"
        path = folder / f"{self._options.epoch}-{held.capture_time_ns}.{ending}"
        container = av.open(
            str(path),
            "w",
            format="mpegts" if transport else "matroska",
            options={"flush_packets": "1"},
        )
        stream = container.add_mux_stream(held.codec, width=held.size_px[0], height=held.size_px[1])
        stream.time_base = TICK
        self._shrink(held.camera, Segment(path, held.capture_time_ns, self._options.epoch))
        return _File(
            path=path,
            container=container,
            stream=stream,
            start_ns=held.capture_time_ns,
            first=held.pts * held.base,
            codec=held.codec,
            connection=held.connection,
        )

    def _finish(self, camera: str) -> None:
        file = self._files.pop(camera, None)
        if file is not None:
            file.container.close()

    def _shrink(self, camera: str, begun: Segment) -> None:
        """Let the files go that were written first, as far as the bounds ask."""
        begun_ns = time.monotonic_ns()
        if camera not in self._written:
            lying = [(each, begun_ns) for each in self._lying(camera, begun)]
            self._written[camera] = lying
        # A source that is put anew may begin at the same key frame, and write its file anew.
        written = [one for one in self._written[camera] if one[0].path != begun.path]
        written.append((begun, begun_ns))
        self._written[camera] = written
        sizes = {segment: size_bytes(segment.path) for segment, _ in written}
        total = sum(sizes.values())
        with self._lock:
            share = self._options.max_bytes // len(self._cameras)
        for (this, this_ns), (after, after_ns) in pairwise(list(written)):
            # The next one's beginning is this one's end. A clock that was set back makes files of
            # times to come; how long they have lain counts as well.
            age_ns = max(begun.start_ns - after.start_ns, begun_ns - after_ns)
            if age_ns > self._options.length_s * _S or total > share:
                total -= sizes[this]
                written.remove((this, this_ns))
                this.path.unlink(missing_ok=True)

    def _lying(self, camera: str, begun: Segment) -> list[Segment]:
        """List what an earlier process left, as it was written as far as names can tell.

        Within an epoch, or none, what has times to come was written before the clock was set back,
        and so before the rest.
        """
        found = [each for each in segments(self._folder, camera) if each.path != begun.path]
        return sorted(
            found,
            key=lambda each: (each.epoch, each.start_ns <= begun.start_ns, each.start_ns),
        )
