"""The ring keeps what cameras sent, as they sent it, no more of it than it may, and whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import structlog

from edge_node.cameras import ring as module
from edge_node.cameras.files import VideoFileSource
from edge_node.cameras.ring import Ring, RingOptions
from edge_node.cameras.segments import cameras_in, segments
from edge_node.cameras.slot import Tally
from edge_node.cameras.source import Schedule, SourceOptions, Surroundings
from tests.support.videos import VideoSpec, make_video, number_of

S = 1_000_000_000
START = 1_790_000_000 * S
RATE = 30


def encoded(folder: Path, codec: str = "h264", frames: int = 24) -> tuple[Any, list[Any]]:
    """A stream and its packets."""
    path = make_video(folder, codec, VideoSpec(codec=codec, frames=frames, rate_hz=RATE))
    container = av.open(str(path))
    stream = container.streams.video[0]
    return stream, [packet for packet in container.demux(stream) if packet.size]


def play(ring: Ring, name: str, stream: Any, packets: list[Any], start_ns: int = START) -> None:
    """Give packets with capture times that follow their own."""
    tap = ring.tap(name)
    first = packets[0].pts * packets[0].time_base
    for packet in packets:
        after_ns = round((packet.pts * packet.time_base - first) * S)
        tap.packet(stream, packet, start_ns + after_ns)


def pictures(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Frames of a file with their times from its first one."""
    with av.open(str(path)) as container:
        first = None
        for frame in container.decode(video=0):
            first = frame.time if first is None else first
            yield frame.time - first, frame.to_ndarray(format="rgb24")


@pytest.mark.parametrize("codec", ["h264", "hevc", "mjpeg"])
def test_what_was_sent_can_be_played(tmp_path: Path, codec: str) -> None:
    stream, packets = encoded(tmp_path, codec)
    ring = Ring(tmp_path / "ring")
    play(ring, "cam", stream, packets)
    ring.close()
    (segment,) = segments(tmp_path / "ring", "cam")
    assert segment.start_ns == START
    seen = list(pictures(segment.path))
    assert [number_of(pixels) for _, pixels in seen] == list(range(24))
    assert [round(at * RATE) for at, _ in seen] == list(range(24))
    assert cameras_in(tmp_path / "ring") == ["cam"]
    assert ring.lost == {}


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_damaged_packet_costs_the_ring_itself_and_no_camera(tmp_path: Path, codec: str) -> None:
    path = make_video(tmp_path, codec, VideoSpec(codec=codec, frames=24, rate_hz=RATE))
    with av.open(str(path)) as container:
        fifth = [packet for packet in container.demux(video=0) if packet.size][5]
        place, size = fifth.pos, fifth.size
    assert place is not None
    data = bytearray(path.read_bytes())
    data[place : place + size] = b"\xff" * size
    path.write_bytes(data)
    ring, tally = Ring(tmp_path / "ring"), Tally(0)
    around = Surroundings("cam", Schedule(), tally, SourceOptions(), ring.tap("cam"))
    taken = list(VideoFileSource(path, around).frames(threading.Event()))
    ring.close()
    assert len(taken) == 23
    assert tally.counts == {"undecodable": 1}
    assert ring.lost == {"cam": 1}
    (segment,) = segments(tmp_path / "ring", "cam")
    with av.open(str(segment.path)) as container:
        assert sum(1 for packet in container.demux(video=0) if packet.size) == 23


def test_nothing_is_encoded_again(tmp_path: Path) -> None:
    stream, packets = encoded(tmp_path, "mjpeg")
    ring = Ring(tmp_path / "ring")
    play(ring, "cam", stream, packets)
    ring.close()
    with av.open(str(segments(tmp_path / "ring", "cam")[0].path)) as container:
        kept = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert kept == [bytes(packet) for packet in packets]


def test_old_files_go_and_the_newest_stays(tmp_path: Path) -> None:
    stream, packets = encoded(tmp_path, "mjpeg")
    ring = Ring(tmp_path / "ring", RingOptions(length_s=2.0, segment_s=0.8))
    for turn in range(10):
        play(ring, "cam", stream, packets, START + turn * S)
    ring.close()
    kept = segments(tmp_path / "ring", "cam")
    assert kept[-1].start_ns >= START + 9 * S
    # What is kept reaches as far back as it should, and hardly further.
    assert START + 6 * S <= kept[0].start_ns <= START + 8 * S
    assert all(sum(1 for _ in pictures(each.path)) > 0 for each in kept)


def test_a_source_put_anew_at_the_same_key_frame_writes_its_file_anew(tmp_path: Path) -> None:
    """It counts once: listed twice it went a file early."""
    stream, packets = encoded(tmp_path, "mjpeg")
    ring = Ring(tmp_path / "ring", RingOptions(length_s=2.0, segment_s=0.8))
    for turn in (0, 0, 1, 2, 3):
        play(ring, "cam", stream, packets, START + turn * S)
    ring.close()
    kept = [each.start_ns for each in segments(tmp_path / "ring", "cam")]
    assert kept == [START + turn * S for turn in range(4)]


def test_room_is_bounded_over_restarts(tmp_path: Path) -> None:
    stream, packets = encoded(tmp_path, "mjpeg")
    size = sum(packet.size for packet in packets)
    options = RingOptions(segment_s=0.8, max_bytes=3 * size)
    for turn in range(8):
        ring = Ring(tmp_path / "ring", options)
        play(ring, "cam", stream, packets, START + turn * S)
        ring.close()
        total = sum(s.path.stat().st_size for s in segments(tmp_path / "ring", "cam"))
        assert total <= options.max_bytes + 1.2 * size
    assert len(segments(tmp_path / "ring", "cam")) < 6


def test_a_camera_that_comes_later_has_its_share_of_the_room(tmp_path: Path) -> None:
    stream, packets = encoded(tmp_path, "mjpeg")
    size = sum(packet.size for packet in packets)
    options = RingOptions(segment_s=0.8, max_bytes=8 * size)
    ring = Ring(tmp_path / "ring", options)
    for turn in range(6):
        play(ring, "cam", stream, packets, START + turn * S)
    for turn in range(6, 12):
        for name in ("cam", "late"):
            play(ring, name, stream, packets, START + turn * S)
    ring.close()
    kept = {name: len(segments(tmp_path / "ring", name)) for name in ("cam", "late")}
    assert max(kept.values()) <= 8 // 2 + 1, kept
    assert min(kept.values()) >= 8 // 2 - 1, kept


@pytest.mark.parametrize("restarted", [False, True])
def test_files_of_before_a_clock_was_set_back_go_first(tmp_path: Path, restarted: bool) -> None:
    stream, packets = encoded(tmp_path, "mjpeg")
    size = sum(packet.size for packet in packets)
    ring = Ring(tmp_path / "ring", RingOptions(segment_s=0.8, max_bytes=5 * size))
    for turn in range(4):
        play(ring, "cam", stream, packets, START + turn * S)
    if restarted:
        ring.close()
        ring = Ring(tmp_path / "ring", RingOptions(segment_s=0.8, max_bytes=5 * size))
    back_ns = START - 3600 * S
    for turn in range(6):
        play(ring, "cam", stream, packets, back_ns + turn * S)
    ring.close()
    kept = [each.start_ns for each in segments(tmp_path / "ring", "cam")]
    assert kept == [back_ns + turn * S for turn in range(6 - len(kept), 6)]
    assert len(kept) >= 3


def test_nothing_is_written_before_a_key_frame(tmp_path: Path) -> None:
    stream, packets = encoded(tmp_path, "h264")
    ring = Ring(tmp_path / "ring")
    play(ring, "cam", stream, [p for p in packets if not p.is_keyframe])
    ring.close()
    assert segments(tmp_path / "ring", "cam") == []


def packets_in(folder: Path) -> list[int]:
    """How many packets each file holds."""
    found = []
    for segment in segments(folder, "cam"):
        with av.open(str(segment.path)) as container:
            found.append(sum(1 for packet in container.demux(video=0) if packet.size))
    return found


def test_another_connection_never_goes_on_in_the_file_of_the_one_before(tmp_path: Path) -> None:
    """It begins in the middle of a group of pictures: of that nothing can be decoded."""
    stream, packets = encoded(tmp_path, "h264")
    (tmp_path / "again").mkdir()
    again, more = encoded(tmp_path / "again", "h264")
    ring = Ring(tmp_path / "ring")
    tap = ring.tap("cam")
    for number, packet in enumerate(packets):
        tap.packet(stream, packet, START + number * S // RATE)
    for number, packet in enumerate([*more[4:], *more]):
        tap.packet(again, packet, START + 20 * S + number * S // RATE)
    ring.close()
    kept = segments(tmp_path / "ring", "cam")
    assert [each.start_ns for each in kept] == [START, START + 20 * S + 20 * S // RATE]
    assert packets_in(tmp_path / "ring") == [24, 24]


def test_a_source_that_was_replaced_is_not_mixed_into_the_next_one(tmp_path: Path) -> None:
    """Its thread may give packets for as long as a read takes; it may even connect once more."""
    stream, packets = encoded(tmp_path, "h264")
    (tmp_path / "again").mkdir()
    again, more = encoded(tmp_path / "again", "h264")
    ring = Ring(tmp_path / "ring")
    old = ring.tap("cam")
    for number, packet in enumerate(packets[:12]):
        old.packet(stream, packet, START + number * S // RATE)
    new = ring.tap("cam")
    for number, packet in enumerate(more):
        at_ns = START + S + number * S // RATE
        new.packet(again, packet, at_ns)
        old.packet(stream if number % 2 else again, packets[number], at_ns + S // 90)
    ring.close()
    assert [s.start_ns for s in segments(tmp_path / "ring", "cam")] == [START, START + S]
    assert packets_in(tmp_path / "ring") == [12, 24]


def test_capture_times_that_jump_begin_another_file(tmp_path: Path) -> None:
    stream, packets = encoded(tmp_path, "mjpeg")
    ring = Ring(tmp_path / "ring")
    tap = ring.tap("cam")
    for number, packet in enumerate(packets):
        jump = 0 if number < 12 else S // 10
        tap.packet(stream, packet, START + jump + number * S // RATE)
    ring.close()
    assert [s.start_ns for s in segments(tmp_path / "ring", "cam")] == [
        START,
        START + S // 10 + 12 * S // RATE,
    ]


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    stream, packets = encoded(tmp_path, "h264")
    ring = Ring(tmp_path / "ring")
    play(ring, "cam", stream, packets)
    ring.close()
    (segment,) = segments(tmp_path / "ring", "cam")
    data = segment.path.read_bytes()
    segment.path.write_bytes(data[: len(data) * 3 // 4])
    assert 5 <= sum(1 for _ in pictures(segment.path)) <= 24


def test_a_disk_that_refuses_costs_video_and_nothing_else(tmp_path: Path) -> None:
    stream, packets = encoded(tmp_path, "mjpeg")
    (tmp_path / "ring").write_text("no folder")
    ring = Ring(tmp_path / "ring")
    play(ring, "cam", stream, packets)
    ring.close()
    assert ring.lost == {"cam": len(packets)}


def test_a_disk_that_is_too_slow_never_holds_a_camera_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, packets = encoded(tmp_path, "mjpeg")
    write, played = Ring._write, threading.Event()

    def slow(self: Ring, held: Any) -> None:
        assert played.wait(60)
        write(self, held)

    monkeypatch.setattr(module, "QUEUE_BYTES", 3 * packets[0].size)
    monkeypatch.setattr(Ring, "_write", slow)
    ring = Ring(tmp_path / "ring")
    play(ring, "cam", stream, packets)
    played.set()
    ring.close()
    assert ring.lost["cam"] >= 10
    kept = sum(1 for s in segments(tmp_path / "ring", "cam") for _ in pictures(s.path))
    assert kept + ring.lost["cam"] == len(packets)


def test_closing_leaves_a_disk_that_hangs_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, packets = encoded(tmp_path, "mjpeg")
    hangs = threading.Event()
    monkeypatch.setattr(Ring, "_write", lambda *_: hangs.wait())
    monkeypatch.setattr(module, "QUEUE_PACKETS", 4)
    ring = Ring(tmp_path / "ring")
    play(ring, "cam", stream, packets)
    assert not ring.close(0.1)
    hangs.set()


def test_an_error_that_nobody_expects_costs_its_packet_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, packets = encoded(tmp_path, "mjpeg")
    write, fails = Ring._write, iter([False] * 5 + [True] * 5)

    def odd(self: Ring, held: Any) -> None:
        if next(fails, False):
            raise ValueError("odd")
        write(self, held)

    monkeypatch.setattr(Ring, "_write", odd)
    ring = Ring(tmp_path / "ring")
    with structlog.testing.capture_logs() as lines:
        play(ring, "cam", stream, packets)
        assert ring.close()
    assert ring.lost == {"cam": 5}
    kept = sum(1 for s in segments(tmp_path / "ring", "cam") for _ in pictures(s.path))
    assert kept == len(packets) - 5
    assert [line["why"] for line in lines] == ["ValueError: odd"]
