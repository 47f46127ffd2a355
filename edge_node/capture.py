"""Capture: a thread for each camera decodes its recording into a bounded queue."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import av
import structlog

from edge_node.errors import VideoError
from edge_node.frames import CameraFrame, CameraState
from edge_node.pictures import DecodedPicture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_node.clock import Pace, RecordingClock

QUEUE_FRAMES = 6
"""Decoded frames that wait for a camera's turn, at most."""
POLL_S = 0.1
"""How often a thread that waits looks whether it shall stop."""
MAX_BROKEN_PACKETS = 300
"""Packets in a row that cannot be decoded before a recording counts as ended there."""

log = structlog.get_logger(__name__)


class Source(Protocol):
    """One camera's frames, in order of time."""

    camera: int
    """Index into ``rig.names``."""
    name: str
    """The camera's name in the rig."""

    def frames(self) -> Iterator[CameraFrame]:
        """Give the frames until the source ends.

        Raises:
            VideoError: nothing can be read.
        """

    @property
    def dropped(self) -> int:
        """Frames lost so far because they could not be decoded."""

    @property
    def total(self) -> int | None:
        """How many frames there will be, where that is known."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file says of itself."""

    codec: str
    """Name of its codec."""
    width_px: int
    """Width of the upright picture."""
    height_px: int
    """Height of the upright picture."""
    rate_hz: float | None
    """Its average rate, None where the file does not say."""
    frames: int | None
    """How many frames it has, None where the file does not say."""


def probe(path: Path) -> VideoInfo:
    """Read what a video file says of itself, and its first frame.

    Raises:
        VideoError: it is no video that can be read.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        picture = None
        with contextlib.suppress(av.FFmpegError):
            picture = next((DecodedPicture(frame) for frame in container.decode(stream)), None)
        if picture is None:
            raise VideoError(
                f"{path} has no frame that can be decoded ({stream.codec_context.name}): the "
                "file may be truncated; copy or export it again",
                path=path,
            )
        rate = stream.average_rate
        return VideoInfo(
            codec=stream.codec_context.name,
            width_px=picture.width_px,
            height_px=picture.height_px,
            rate_hz=float(rate) if rate else None,
            frames=stream.frames or None,
        )


class FileSource:
    """A video file as a camera.

    Args:
        path: The file: H.264, HEVC, VP9, MJPEG, whatever libav reads.
        camera: Index of its camera in the rig.
        name: Name of its camera.
        clock: Gives its frames their capture times.
        max_frames: Stop after so many frames.
    """

    def __init__(
        self,
        path: Path,
        camera: int,
        name: str,
        clock: RecordingClock,
        max_frames: int | None = None,
    ) -> None:
        self.path, self.camera, self.name = path, camera, name
        self.info = probe(path)
        self._clock, self._max_frames = clock, max_frames
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Frames lost so far because they could not be decoded."""
        return self._dropped

    @property
    def total(self) -> int | None:
        """How many frames there will be, where the file says so."""
        counts = [count for count in (self.info.frames, self._max_frames) if count is not None]
        return min(counts) if self.info.frames is not None else None

    def frames(self) -> Iterator[CameraFrame]:
        """Decode the file; what is broken is left out and counted."""
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # the cameras decode beside each other already
            first: int | None = None
            last_ns: int | None = None
            for index, frame in enumerate(self._decoded(container, stream)):
                if self._max_frames is not None and index >= self._max_frames:
                    return
                first = frame.pts if first is None else first
                ticks = (frame.pts or 0) - (first or 0)
                time_base = frame.time_base or stream.time_base or Fraction(1, av.time_base)
                time_ns = self._clock.capture_time_ns(self.name, ticks, time_base)
                if last_ns is not None and time_ns <= last_ns:
                    self._dropped += 1  # a clock that stands still or runs back
                    continue
                last_ns = time_ns
                picture = DecodedPicture(frame)
                yield CameraFrame(self.camera, self.name, time_ns, index, picture)

    def _decoded(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[av.VideoFrame]:
        """Decode packet by packet, so that a broken one costs no more than itself."""
        broken = 0
        for packet in self._packets(container, stream):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                self._dropped += 1
                broken += 1
                log.warning("broken packet", camera=self.name, error=str(error))
                if broken >= MAX_BROKEN_PACKETS:
                    return
                continue
            for frame in frames:
                if frame.pts is None or frame.is_corrupt:
                    self._dropped += 1
                else:
                    broken = 0
                    yield frame

    def _packets(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[av.Packet[av.VideoStream]]:
        """Read packets until the end, or until the file cannot be read any further."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                self._dropped += 1
                log.warning("file ends early", camera=self.name, error=str(error))
                return
            yield packet


def _opened(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{path} cannot be read as a video: {reason}", path=path) from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{path} holds no video stream", path=path)
    return container


class CaptureThread:
    """Runs a source ahead of its use, at most ``QUEUE_FRAMES`` frames.

    Args:
        source: Where the frames come from.
        pace: Hold frames back until their time has come; None decodes as fast as it can.
        on_decoded: Told the seconds that each frame took to decode.
    """

    def __init__(
        self,
        source: Source,
        pace: Pace | None = None,
        on_decoded: Callable[[float], None] | None = None,
    ) -> None:
        self.source = source
        self.taken_state = CameraState.WAITING
        """The camera's state as far as its frames have been taken, whatever was decoded ahead."""
        self.error: Exception | None = None
        self._pace, self._on_decoded = pace, on_decoded
        self._queue: queue.Queue[CameraFrame | None] = queue.Queue(QUEUE_FRAMES)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"capture-{source.name}", daemon=True
        )

    def start(self) -> None:
        """Begin to decode."""
        self._thread.start()

    def stop(self) -> None:
        """Stop decoding and wait for the thread."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def take(self) -> CameraFrame | None:
        """Give the next frame, waiting for it; None when the source has ended."""
        while not self._stop.is_set():
            with contextlib.suppress(queue.Empty):
                frame = self._queue.get(timeout=POLL_S)
                self.taken_state = self._state_after(frame)
                return frame
        return None

    def _state_after(self, frame: CameraFrame | None) -> CameraState:
        if frame is not None:
            return CameraState.LIVE
        return CameraState.ENDED if self.error is None else CameraState.FAILED

    def _run(self) -> None:
        try:
            self._decode()
        except Exception as error:
            self.error = error
        self._put(None)

    def _decode(self) -> None:
        frames = self.source.frames()
        while not self._stop.is_set():
            began = time.perf_counter()
            frame = next(frames, None)
            if self._on_decoded is not None:
                self._on_decoded(time.perf_counter() - began)
            if frame is None:
                return
            if self._pace is not None:
                self._pace.wait_until(frame.capture_time_ns, self._stop)
            self._put(frame)

    def _put(self, frame: CameraFrame | None) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(frame, timeout=POLL_S)
                return


def rounds(captures: list[CaptureThread]) -> Iterator[list[CameraFrame]]:
    """Merge the cameras by time into rounds, in each of which a camera has one frame at most.

    A round ends before the first frame, by time and then by camera, whose camera is in it already.
    So it follows from the recordings alone, whatever the threads do, and cameras may differ in
    rate, in phase and in length.

    Raises:
        VideoError: a source failed before its first frame.
    """
    heads = {capture.source.camera: capture.take() for capture in captures}
    by_camera = {capture.source.camera: capture for capture in captures}
    _raise_failed(captures)
    current: dict[int, CameraFrame] = {}
    while True:
        waiting = [frame for frame in heads.values() if frame is not None]
        if not waiting:
            break
        frame = min(waiting, key=lambda head: (head.capture_time_ns, head.camera))
        if frame.camera in current:
            yield list(current.values())
            current = {}
        current[frame.camera] = frame
        heads[frame.camera] = by_camera[frame.camera].take()
    if current:
        yield list(current.values())


def _raise_failed(captures: list[CaptureThread]) -> None:
    for capture in captures:
        if capture.taken_state is CameraState.FAILED and capture.error is not None:
            raise capture.error
