"""Video of a session's cameras in its ring, as a node keeps it."""

from __future__ import annotations

from pathlib import Path

import av

from edge_node.cameras.ring import Ring, RingOptions
from tests.support.journals import START_NS, simulated
from tests.support.videos import VideoSpec, make_video

S = 1_000_000_000
RATE = 30
FRAMES = 24


def film(scratch: Path, ring_folder: Path, options: RingOptions | None = None) -> None:
    """Keep 0.8 s of video of all cameras of `simulated`, from START_NS on."""
    rig = simulated().rig
    width, height = (int(side) for side in rig.size[0])
    spec = VideoSpec(width=width // 4, height=height // 4, frames=FRAMES, rate_hz=RATE)
    path = make_video(scratch, "court", spec)
    ring = Ring(ring_folder, options)
    for name in rig.names:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            tap, first = ring.tap(name), stream.start_time or 0
            for packet in container.demux(stream):
                if packet.pts is not None and packet.time_base is not None:
                    place_ns = int((packet.pts - first) * packet.time_base * S)
                    tap.packet(stream, packet, START_NS + place_ns)
    ring.close()
