"""A camera's packets on their way from its source to the ring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
from av.bitstream import BitStreamFilterContext

from edge_node.cameras.segments import TICK

if TYPE_CHECKING:
    from fractions import Fraction

    from edge_node.cameras.ring import Ring

TRANSPORT = frozenset(("h264", "hevc"))
"""Codecs that go into MPEG transport streams."""
START_CODES = (b"\x00\x00\x00\x01", b"\x00\x00\x01")
"""How the units in a packet begin in a transport stream."""


@dataclass(frozen=True, slots=True)
class Held:
    """A packet on its way to the disk, free of the connection that it came by."""

    camera: str
    """Whose it is."""
    connection: tuple[int, int]
    """Number of its source, and of the connection of that."""
    codec: str
    """As libav calls it."""
    size_px: tuple[int, int]
    """Width and height of the pictures."""
    head: bytes
    """What says how it is decoded, where that is laid out as in a transport stream; else empty."""
    data: bytes
    """The packet, laid out as its file takes it."""
    pts: int
    """When its picture is shown,"""
    dts: int
    """and when it is decoded, both as the source counts time,"""
    base: Fraction
    """in these parts of a second."""
    key: bool
    """Whether it can be decoded without the ones before."""
    capture_time_ns: int
    """When its frame was taken, ns UTC."""


class CameraTap:
    """Takes the packets of one source of a camera; never waits.

    Args:
        ring: Where they go.
        camera: Whose they are.
        number: Which source of the ring's this is, from 0.
    """

    def __init__(self, ring: Ring, camera: str, number: int) -> None:
        self._ring, self._camera, self._number = ring, camera, number
        self._connections = 0
        self._stream: Any = None
        self._filter: BitStreamFilterContext | None = None

    def packet(self, stream: av.VideoStream, packet: av.Packet[Any], capture_time_ns: int) -> None:
        """Take a packet, as it is, and when its frame was taken, ns UTC."""
        context = stream.codec_context
        head = bytes(context.extradata or b"")
        if self._stream is not stream:
            self._stream, self._filter = stream, None
            self._connections += 1
        try:
            data = self._data(stream, packet, head)
        except (av.FFmpegError, OSError, ValueError):
            # A damaged packet costs the ring itself, as it costs the decoder, and no camera.
            self._filter = None
            self._ring.lose(self._camera)
            return
        self._ring.put(
            Held(
                camera=self._camera,
                connection=(self._number, self._connections),
                codec=context.name,
                size_px=(context.width, context.height),
                head=head if head.startswith(START_CODES) else b"",
                data=data,
                pts=packet.pts or 0,
                dts=packet.dts if packet.dts is not None else packet.pts or 0,
                base=packet.time_base or TICK,
                key=packet.is_keyframe,
                capture_time_ns=capture_time_ns,
            )
        )

    def _data(self, stream: av.VideoStream, packet: av.Packet[Any], head: bytes) -> bytes:
        """Give a packet's bytes as a transport stream takes them; MP4 lays them out differently."""
        codec = stream.codec_context.name
        if codec not in TRANSPORT or not head or head.startswith(START_CODES):
            return bytes(packet)
        if self._filter is None:
            self._filter = BitStreamFilterContext(f"{codec}_mp4toannexb", stream)
        copy: av.Packet[Any] = av.Packet(bytes(packet))
        copy.pts, copy.dts, copy.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
        return b"".join(bytes(each) for each in self._filter.filter(copy))
