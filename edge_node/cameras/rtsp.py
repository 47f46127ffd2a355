"""A camera that is asked for its stream by RTSP.

Two threads for each: one only reads, stamps and hands on packets, so that a decoder that is slow
for a moment never holds up the socket behind which the camera would queue its past; the camera's
own thread decodes. Between them waits less than ``MAX_BEHIND_NS``; a decoder that falls behind
further goes on at the next key frame, and what it left out is counted.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import Flags

from edge_node.cameras.clock import StreamClock
from edge_node.cameras.errors import CameraLostError, SourceError
from edge_node.cameras.source import SourceClock, Taken
from edge_node.frames import CaptureClock
from edge_node.pictures import DecodedPicture
from edge_node.utc import utc_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_node.cameras.address import Address
    from edge_node.cameras.slot import Tally
    from edge_node.cameras.source import Surroundings

_S = 1_000_000_000
MAX_WAITING_PACKETS = 512
"""Packets between reading and decoding, at most."""
MAX_BEHIND_NS = 700_000_000
"""The oldest of them is so old, at most."""
MAX_BROKEN_PACKETS = 300
"""Packets in a row that cannot be decoded before the connection is made anew."""
REMEMBERED_STAMPS = 64
"""Packets whose frames may still come out of the decoder, at most."""
POLL_S = 0.1
"""How often a thread that waits looks whether it shall stop."""
MAX_PROBE_BYTES = 500_000
"""What libav may read to find out what a stream is."""
MAX_PROBE_US = 1_000_000
"""How long it may take to."""

NO_ANSWER = "no answer in time"
"""Why a camera is lost that is silent for too long."""
BEFORE_KEY_FRAME = "before_key_frame"
"""A decoder begins at a key frame."""
DECODER_BEHIND = "decoder_behind"
"""The decoder could not follow."""
UNDECODABLE = "undecodable"
"""The decoder could make nothing of it."""


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A packet with the times that belong to it."""

    packet: av.Packet[Any]
    monotonic_ns: int
    capture_time_ns: int


class PacketLine:
    """Packets between the thread that reads and the one that decodes.

    Args:
        tally: Counts what is left out.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._ready = threading.Condition()
        self._waiting: deque[_Arrived] = deque()
        self._wants_key = True
        self._end: Exception | None = None

    def put(self, arrived: _Arrived) -> None:
        """Hand a packet on; nothing before a key frame, and nothing that is too old."""
        with self._ready:
            if self._waiting and self._is_behind(arrived):
                self._tally.add(DECODER_BEHIND, frames=len(self._waiting))
                self._waiting.clear()
                self._wants_key = True
            if self._wants_key and not arrived.packet.is_keyframe:
                self._tally.add(BEFORE_KEY_FRAME)
                return
            self._wants_key = False
            self._waiting.append(arrived)
            self._ready.notify()

    def _is_behind(self, arrived: _Arrived) -> bool:
        age_ns = arrived.monotonic_ns - self._waiting[0].monotonic_ns
        return age_ns > MAX_BEHIND_NS or len(self._waiting) >= MAX_WAITING_PACKETS

    def end(self, why: Exception) -> None:
        """Nothing comes any more."""
        with self._ready:
            self._end = why
            self._ready.notify()

    def take(self, stop: threading.Event) -> _Arrived | None:
        """Wait for a packet; None where ``stop`` is set, whatever waits.

        Raises:
            CameraLostError: nothing comes any more.
        """
        with self._ready:
            while not self._waiting and not stop.is_set():
                if self._end is not None:
                    raise self._end
                self._ready.wait(POLL_S)
            return None if stop.is_set() else self._waiting.popleft()

    def broken(self) -> None:
        """What waits rests on a frame that is lost: go on at the next key frame."""
        with self._ready:
            self._wants_key = True


class Silence:
    """Says when the picture has failed to come for too long, whatever else does.

    Args:
        limit_s: How long it may.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_ns = round(limit_s * _S)
        self._since_ns = time.monotonic_ns()

    def lasts(self, *, ours: bool) -> bool:
        """Take a packet in, of the picture or of something else; whether it is too long now."""
        now_ns = time.monotonic_ns()
        if ours:
            self._since_ns = now_ns
        return now_ns - self._since_ns > self._limit_ns


class RtspSource:
    """One connection to a camera.

    Args:
        address: Its URL.
        around: What it works with.
    """

    def __init__(self, address: Address, around: Surroundings) -> None:
        self._address, self._tally, self._tap = address, around.tally, around.tap
        self._options = options = around.options
        self._clock = StreamClock(options.latency_ns, use_sender=options.use_sender_clock)
        self._stamps: dict[int, _Arrived] = {}
        self.clock = SourceClock(CaptureClock.ARRIVAL, jitter=self._clock)

    def frames(self, stop: threading.Event) -> Iterator[Taken]:
        """Connect, and decode what comes until the connection is lost."""
        container = self._opened()
        line, reading = PacketLine(self._tally), threading.Event()
        reader = threading.Thread(
            target=self._read, args=(container, line, reading), name="camera-reader", daemon=True
        )
        reader.start()
        try:
            yield from self._decoded(container.streams.video[0], line, stop)
        finally:
            reading.set()
            # A read ends within its own time limit; then, and not before, may the container go.
            reader.join()
            container.close()

    def _opened(self) -> av.container.InputContainer:
        options = {
            "rtsp_transport": self._options.transport,
            "fpsprobesize": "0",
            "probesize": str(MAX_PROBE_BYTES),
            "analyzeduration": str(MAX_PROBE_US),
            # Sound and metadata are not even asked for.
            "allowed_media_types": "video",
        }
        limits = (self._options.open_timeout_s, self._options.read_timeout_s)
        try:
            # Whatever libav says of a URL may hold its password: nothing of it is passed on.
            container = av.open(self._address.url(), options=options, timeout=limits)
        except SourceError:
            raise
        except (av.FFmpegError, OSError, ValueError) as error:
            raise CameraLostError(
                f"{self._address.shown} cannot be opened: {_reason(error)}"
            ) from None
        if not container.streams.video:
            container.close()
            raise CameraLostError(f"{self._address.shown} has no video stream")
        return container

    def _read(
        self, container: av.container.InputContainer, line: PacketLine, stop: threading.Event
    ) -> None:
        """Read packets and hand them on, until the connection ends."""
        stream = container.streams.video[0]
        shown = self._address.shown
        why: Exception = CameraLostError(f"{shown} ended its stream")
        silent = Silence(self._options.read_timeout_s)
        try:
            # All streams, though one is wanted: where another goes on, libav's own time limit
            # begins anew with each of its packets, and nobody would look at `stop`.
            for packet in container.demux():
                if stop.is_set():
                    return
                ours = packet.stream.index == stream.index and bool(packet.size)
                if silent.lasts(ours=ours):
                    why = CameraLostError(f"{shown} was lost: {NO_ANSWER}")
                    return
                if not ours or packet.pts is None:
                    continue
                arrived = self._stamped(packet, container)
                if self._tap is not None:
                    self._tap.packet(stream, packet, arrived.capture_time_ns)
                line.put(arrived)
        except (av.FFmpegError, OSError) as error:
            why = CameraLostError(f"{shown} was lost: {_reason(error)}")
        except Exception as error:
            why = error
        finally:
            line.end(why)

    def _decoded(
        self, stream: av.VideoStream, line: PacketLine, stop: threading.Event
    ) -> Iterator[Taken]:
        stream.codec_context.thread_count = 1  # the cameras decode beside each other already
        stream.codec_context.flags |= Flags.low_delay
        broken = 0
        while (arrived := line.take(stop)) is not None:
            self._remember(arrived)
            try:
                frames = arrived.packet.decode()
            except av.FFmpegError:
                broken += 1
                self._tally.add(UNDECODABLE)
                line.broken()
                if broken >= MAX_BROKEN_PACKETS:
                    raise CameraLostError(
                        f"{self._address.shown} sends nothing that can be decoded"
                    ) from None
                continue
            for frame in frames:
                if frame.is_corrupt or frame.pts not in self._stamps:
                    self._tally.add(UNDECODABLE)
                    continue
                broken = 0
                arrived = self._stamps.pop(frame.pts)
                picture = DecodedPicture(frame)
                yield Taken(picture, arrived.capture_time_ns, arrived.monotonic_ns)

    def _remember(self, arrived: _Arrived) -> None:
        self._stamps[arrived.packet.pts or 0] = arrived
        while len(self._stamps) > REMEMBERED_STAMPS:
            self._stamps.pop(next(iter(self._stamps)))

    def _stamped(self, packet: av.Packet[Any], container: av.container.InputContainer) -> _Arrived:
        here_ns, monotonic_ns = utc_ns(), time.monotonic_ns()
        base = packet.time_base or Fraction(1, av.time_base)
        media_ns = (packet.pts or 0) * base.numerator * _S // base.denominator
        stamp = self._clock.stamp(media_ns, here_ns, _sender_ns(packet, container, media_ns))
        self.clock.clock, self.clock.detail = stamp.clock, self._clock.detail
        return _Arrived(packet, monotonic_ns, stamp.capture_time_ns)


def _sender_ns(
    packet: av.Packet[Any], container: av.container.InputContainer, media_ns: int
) -> int | None:
    """Give what the sender's clock showed, by its newest report, else by its first one."""
    if packet.has_sidedata("prft"):
        # AVProducerReferenceTime: int64 wallclock in us, then flags.
        (wallclock_us,) = struct.unpack_from("=q", bytes(packet.get_sidedata("prft")))
        return int(wallclock_us) * 1000
    start_us = container.start_time_realtime
    return None if start_us is None else start_us * 1000 + media_ns


def _reason(error: Exception) -> str:
    """Say why, in words that hold no URL."""
    if isinstance(error, av.error.ExitError):
        return NO_ANSWER  # libav calls it an immediate exit that was requested
    return getattr(error, "strerror", None) or type(error).__name__
