"""Recordings are decoded as they are: codecs, rotation, frame times, and what is broken."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edge_node.capture import QUEUE_FRAMES, CaptureThread, FileSource, probe, rounds
from edge_node.clock import Pace, RecordingClock
from edge_node.errors import VideoError
from edge_node.frames import CameraFrame, CameraState
from edge_node.pictures import ArrayPicture, DecodedPicture
from tests.support.videos import ENCODERS, VideoSpec, make_video, number_of, turn

MS = 1_000_000
RED = (200, 30, 30)


def open_source(path: Path, max_frames: int | None = None) -> FileSource:
    return FileSource(path, 0, "cam", RecordingClock(), max_frames)


def rgb(frame: CameraFrame) -> np.ndarray:
    out = np.empty((frame.image.height_px, frame.image.width_px, 3), np.uint8)
    frame.image.rgb_into(out)
    return out


@pytest.mark.parametrize("codec", sorted(ENCODERS))
def test_every_codec_gives_every_frame_in_order(tmp_path: Path, codec: str) -> None:
    source = open_source(make_video(tmp_path, "clip", VideoSpec(codec=codec)))
    frames = list(source.frames())
    assert source.info.codec == codec
    assert (source.info.width_px, source.info.height_px) == (96, 64)
    assert [frame.index for frame in frames] == list(range(12))
    assert [number_of(rgb(frame)) for frame in frames] == list(range(12))
    assert np.abs(rgb(frames[0])[4, 4].astype(int) - RED).max() <= 8
    assert source.dropped == 0


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, 1)), (180, (1, 1)), (270, (1, 0))])
def test_rotation_metadata_turns_the_picture_upright(
    tmp_path: Path, degrees: int, corner: tuple[int, int]
) -> None:
    path = make_video(tmp_path, "phone")
    turn(path, degrees)
    source = open_source(path)
    pixels = rgb(next(source.frames()))
    assert (source.info.height_px, source.info.width_px) == pixels.shape[:2]
    assert pixels.shape[:2] == ((64, 96) if degrees == 180 else (96, 64))
    red = [pixels[4 - 9 * y, 4 - 9 * x, 0] > 150 for y in (0, 1) for x in (0, 1)]
    assert red == [corner == (y, x) for y in (0, 1) for x in (0, 1)]


def test_a_picture_is_scaled_while_it_is_converted(tmp_path: Path) -> None:
    path = make_video(tmp_path, "phone")
    turn(path, 90)
    frame = next(open_source(path).frames())
    small = np.empty((48, 32, 3), np.uint8)
    frame.image.rgb_into(small)
    assert small[4, 28, 0] > 150
    assert small[44, 4, 0] < 60


def test_pixels_without_a_decoder_are_scaled_alike() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 200
    held = ArrayPicture(pixels)
    out = np.empty((4, 4, 3), np.uint8)
    held.rgb_into(out)
    assert (held.width_px, held.height_px) == (8, 8)
    assert out[0].tolist() == [[200] * 3] * 4
    assert out[3].tolist() == [[0] * 3] * 4


def test_frame_times_are_those_of_the_file_not_of_a_rate(tmp_path: Path) -> None:
    times_s = (0.0, 0.1, 0.15, 0.5, 0.51)
    path = make_video(tmp_path, "vfr", VideoSpec(frames=5, times_s=times_s))
    clock = RecordingClock(start_ns=7_000 * MS, offsets_ns={"cam": 3 * MS})
    frames = FileSource(path, 0, "cam", clock).frames()
    assert [frame.capture_time_ns for frame in frames] == [
        7_003 * MS + round(time_s * 1000) * MS for time_s in times_s
    ]


def test_a_clock_counts_exactly() -> None:
    clock = RecordingClock()
    an_hour = 3600 * 30_000
    assert clock.capture_time_ns("a", an_hour, Fraction(1, 30_000)) == 3600 * 10**9
    assert clock.capture_time_ns("a", 1, Fraction(1001, 30_000)) == 33_366_666


def test_no_more_frames_than_wanted(tmp_path: Path) -> None:
    source = open_source(make_video(tmp_path, "clip"), max_frames=3)
    assert source.total == 3
    assert len(list(source.frames())) == 3


def test_a_file_cut_off_gives_what_can_be_read_and_counts_the_rest(tmp_path: Path) -> None:
    path = make_video(tmp_path, "clip", VideoSpec(codec="mjpeg", frames=24))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    frames = list(open_source(path).frames())
    assert 10 <= len(frames) < 24
    assert [number_of(rgb(frame)) for frame in frames[:10]] == list(range(10))


def test_a_damaged_middle_costs_no_more_than_itself(tmp_path: Path) -> None:
    path = make_video(tmp_path, "clip", VideoSpec(frames=24, width=320, height=240))
    data = bytearray(path.read_bytes())
    rng = random.Random(1)
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 3
    data[middle : middle + 200] = rng.randbytes(200)
    path.write_bytes(bytes(data))
    frames = list(open_source(path).frames())
    assert frames
    times = [frame.capture_time_ns for frame in frames]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"no video at all" * 100, "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_video_is_refused_by_name(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=said) as caught:
        probe(path)
    assert str(path) in str(caught.value)


def test_a_file_without_its_frames_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path, "clip", VideoSpec(frames=24, width=320, height=240))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(bytes(data))
    with pytest.raises(VideoError, match="no frame that can be decoded"):
        probe(path)


class MadeSource:
    """A camera that gives frames at given times, now and then slowly."""

    total = None
    dropped = 0

    def __init__(self, camera: int, times_ms: list[int], seed: int = 0) -> None:
        self.camera, self.name = camera, f"cam{camera}"
        self._times, self._random = times_ms, random.Random(seed)
        self.given = 0

    def frames(self) -> Iterator[CameraFrame]:
        image = ArrayPicture(np.zeros((4, 4, 3), np.uint8))
        for index, time_ms in enumerate(self._times):
            if self._random.random() < 0.1:
                time.sleep(0.002)
            self.given += 1
            yield CameraFrame(self.camera, self.name, time_ms * MS, index, image)


def merged(sources: list[MadeSource]) -> list[list[tuple[int, int]]]:
    captures = [CaptureThread(source) for source in sources]
    for capture in captures:
        capture.start()
    try:
        return [
            [(frame.camera, frame.capture_time_ns // MS) for frame in frames]
            for frames in rounds(captures)
        ]
    finally:
        for capture in captures:
            capture.stop()


def test_a_round_holds_each_camera_once_by_time_and_camera() -> None:
    sources = [MadeSource(0, [0, 20, 40]), MadeSource(1, [5, 25]), MadeSource(2, [0, 40, 80])]
    assert merged(sources) == [
        [(0, 0), (2, 0), (1, 5)],
        [(0, 20), (1, 25)],
        [(0, 40), (2, 40)],
        [(2, 80)],
    ]


def test_rounds_do_not_depend_on_the_threads() -> None:
    times = [sorted(random.Random(c).sample(range(4000), 150)) for c in range(4)]
    seen = [merged([MadeSource(c, times[c], seed) for c in range(4)]) for seed in (1, 2, 3)]
    assert seen[0] == seen[1] == seen[2]
    assert sum(len(frames) for frames in seen[0]) == 600


def test_a_camera_decodes_ahead_only_so_far() -> None:
    source = MadeSource(0, list(range(1000)))
    capture = CaptureThread(source)
    capture.start()
    assert capture.take() is not None
    time.sleep(0.3)
    assert source.given <= QUEUE_FRAMES + 3
    assert capture.taken_state is CameraState.LIVE
    capture.stop()


def test_a_source_that_fails_at_once_is_raised(tmp_path: Path) -> None:
    path = make_video(tmp_path, "clip")
    source = open_source(path)
    path.unlink()
    capture = CaptureThread(source)
    capture.start()
    with pytest.raises(VideoError, match="cannot be read"):
        list(rounds([capture]))
    assert capture.taken_state is CameraState.FAILED


def test_a_pace_holds_frames_back_until_their_time() -> None:
    pace, stop = Pace(start_ns=0), threading.Event()
    began = time.monotonic()
    pace.wait_until(0, stop)
    pace.wait_until(80 * MS, stop)
    assert time.monotonic() - began >= 0.07
    stop.set()
    pace.wait_until(10**15, stop)


def test_rotation_is_rounded_to_quarter_turns() -> None:
    class Turned:
        width, height, rotation = 20, 10, -90

    picture = DecodedPicture(Turned())  # type: ignore[arg-type]
    assert (picture.width_px, picture.height_px) == (10, 20)
