"""An RTSP camera's two threads see when they shall end and when no picture comes, whatever does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from edge_node.cameras.address import parse_source
from edge_node.cameras.errors import CameraLostError
from edge_node.cameras.rtsp import PacketLine, RtspSource, _Arrived
from edge_node.cameras.slot import Tally
from edge_node.cameras.source import Schedule, SourceOptions, Surroundings

VIDEO = SimpleNamespace(
    index=0, codec_context=SimpleNamespace(flags=0, thread_count=0), time_base=None
)
METADATA = SimpleNamespace(index=1)
LONG_S = 10.0
"""Nothing here takes so long unless it is broken."""


@dataclass
class Container:
    """A connection of which nothing comes but metadata, as libav gives it."""

    closed: bool = False
    exhausted: bool = False
    given: int = 0

    def __post_init__(self) -> None:
        self.streams = SimpleNamespace(video=[VIDEO])

    def demux(self, *streams: Any) -> Iterator[Any]:
        until_s = time.monotonic() + LONG_S
        while time.monotonic() < until_s:
            time.sleep(0.002)
            self.given += 1
            if not streams or METADATA in streams:
                yield SimpleNamespace(stream=METADATA, size=100, pts=self.given)
        self.exhausted = True

    def close(self) -> None:
        self.closed = True


def source_of(
    container: Container, monkeypatch: pytest.MonkeyPatch, read_timeout_s: float
) -> RtspSource:
    options = SourceOptions(read_timeout_s=read_timeout_s)
    source = RtspSource(
        parse_source("rtsp://host/1"), Surroundings("cam", Schedule(), Tally(0), options)
    )
    monkeypatch.setattr(source, "_opened", lambda: container)
    return source


def test_a_camera_of_which_only_metadata_comes_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    container = Container()
    source = source_of(container, monkeypatch, read_timeout_s=0.05)
    with pytest.raises(CameraLostError, match="host/1 was lost: no answer in time"):
        list(source.frames(threading.Event()))
    assert container.closed
    assert not container.exhausted


def test_a_camera_of_which_only_metadata_comes_can_be_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    container, stop = Container(), threading.Event()
    source = source_of(container, monkeypatch, read_timeout_s=60.0)
    threading.Timer(0.05, stop.set).start()
    assert list(source.frames(stop)) == []
    assert container.closed
    assert not container.exhausted


def test_who_takes_packets_stops_though_more_wait() -> None:
    line, stop = PacketLine(Tally(0)), threading.Event()
    packet: Any = SimpleNamespace(is_keyframe=True)
    for at_ns in range(3):
        line.put(_Arrived(packet, at_ns, at_ns))
    assert line.take(stop) is not None
    stop.set()
    assert line.take(stop) is None
