"""A play is cut out as it was sent, and drawn with the tracks of its time."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from accel import COCO17, Rig, Snapshot
from edge_node.cameras import clip
from edge_node.cameras.clip import DRAWN, Play, cut_play
from edge_node.cameras.ring import Ring, RingOptions
from edge_node.cameras.segments import Segment, segments
from tests.support.rigs import looking_at
from tests.support.videos import DARKEST, STEP, VideoSpec, make_video, number_of
from tipoff.errors import InvalidInputError, NotFoundError

S = 1_000_000_000
START = 1_790_000_000 * S
RATE = 30
NAMES = ("a", "b")


def rig() -> Rig:
    R, t = looking_at(np.array([[6.0, 0, 3], [0, 6.0, 3]]), np.zeros(3))
    K = np.tile(np.array([[160.0, 0, 96], [0, 160.0, 64], [0, 0, 1]]), (2, 1, 1))
    return Rig(list(NAMES), K, np.zeros((2, 5)), R, t, np.array([[192.0, 128.0]] * 2))


def fill(folder: Path, codec: str = "h264", camera_b_ns: int = 0) -> Path:
    """A ring of two cameras: 24 pictures, three times over, in files of about 0.8 s."""
    ring = Ring(folder / "ring", RingOptions(segment_s=0.5))
    path = make_video(folder, "clip", VideoSpec(codec, 192, 128, rate_hz=RATE, frames=24))
    for turn in range(3):
        for name, later_ns in zip(NAMES, (0, camera_b_ns), strict=True):
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                tap, first = ring.tap(name), stream.start_time or 0
                for packet in container.demux(stream):
                    if packet.pts is not None and packet.time_base is not None:
                        place = int((packet.pts - first) * packet.time_base * S)
                        tap.packet(stream, packet, START + later_ns + turn * 24 * S // RATE + place)
    ring.close()
    return folder / "ring"


def snapshots(from_ns: int, count: int, rate_hz: float = RATE) -> list[Snapshot]:
    """One person in the middle, all joints known."""
    joints = np.zeros((1, 17, 3))
    joints[0, :, 2] = np.linspace(0.0, 1.7, 17)
    joints[0, :, 1] = np.tile([0.2, -0.2], 9)[:17]
    return [
        Snapshot(
            time_ns=from_ns + round(n * S / rate_hz),
            ids=np.array([1]),
            joints_m=joints,
            covariance_m2=np.tile(np.eye(3) * 1e-4, (1, 17, 1, 1)),
            confidence=np.ones((1, 17), np.float32),
            views=np.full((1, 17), 2, np.int32),
        )
        for n in range(count)
    ]


def rgb(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [f.to_ndarray(format="rgb24").astype(np.uint8) for f in frames]


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_each_camera_is_cut_from_the_key_frame_before_the_play(tmp_path: Path, codec: str) -> None:
    ring = fill(tmp_path, codec)
    # From the tenth picture of the second turn to the fifth of the third.
    half = S // RATE // 2
    play = Play(START + 34 * S // RATE + half, START + 53 * S // RATE - half)
    done = cut_play(ring, play, tmp_path / "out", rig(), COCO17, [])
    begin = 24 if codec == "h264" else 34
    expected = [n % 24 for n in range(begin, 53)]
    for name in NAMES:
        path = tmp_path / "out" / f"{name}.mp4"
        assert [number_of(pixels) for pixels in rgb(path)] == expected
        assert done.cameras[name] == len(expected)
        with av.open(str(path)) as container:
            times = [frame.time for frame in container.decode(video=0)]
        # Matroska, for what no transport stream holds, counts whole milliseconds.
        coarse = 2e-4 if codec == "h264" else 1e-3
        np.testing.assert_allclose(np.diff(times), 1 / RATE, atol=coarse)
    assert done.drawn == 0
    assert not (tmp_path / "out" / DRAWN).exists()


def test_pictures_meet_their_snapshots_by_capture_time(tmp_path: Path) -> None:
    ring = fill(tmp_path, camera_b_ns=10_000_000)
    begin = START + 30 * S // RATE
    told = snapshots(begin + 15_000_000, 12)
    done = cut_play(ring, Play(begin, begin + S), tmp_path / "out", rig(), COCO17, told)
    assert done.drawn == 12
    drawn = rgb(tmp_path / "out" / DRAWN)
    assert len(drawn) == 12
    for n, canvas in enumerate(drawn):
        left, right = canvas[:, : canvas.shape[1] // 2], canvas[:, canvas.shape[1] // 2 :]
        # Both cameras show the picture of that time, and a coloured skeleton in its middle.
        for half in (left, right):
            corner = half[half.shape[0] * 3 // 4 :, half.shape[1] * 3 // 4 :]
            assert round((float(np.median(corner)) - DARKEST) / STEP) == (30 + n) % 24
            middle = half[:, half.shape[1] // 3 : half.shape[1] * 2 // 3].astype(int)
            coloured = (middle.max(axis=2) - middle.min(axis=2)) > 60
            below = coloured[coloured.shape[0] // 2 :]
            assert below.sum() >= 8
            assert not coloured[-4:].any()


def test_a_torn_file_gives_what_it_has(tmp_path: Path) -> None:
    ring = fill(tmp_path)
    newest = max((ring / "a").iterdir())
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    play = Play(START, START + 3 * S)
    done = cut_play(ring, play, tmp_path / "out", rig(), COCO17, snapshots(START, 90))
    assert done.cameras["b"] == 72
    assert 48 < done.cameras["a"] < 72
    assert done.drawn == 72


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
@pytest.mark.parametrize("moment", ["_key_before", "_draw"])
def test_what_the_ring_lets_go_while_it_is_cut_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, moment: str
) -> None:
    ring, play = fill(tmp_path, codec), Play(START, START + 3 * S)
    whole = cut_play(ring, play, tmp_path / "whole", rig(), COCO17, snapshots(START, 90))
    real = getattr(clip, moment)

    def then(*arguments: object) -> object:
        for path in ring.glob("*/*"):
            path.unlink()
        return real(*arguments)

    monkeypatch.setattr(clip, moment, then)
    done = cut_play(ring, play, tmp_path / "out", rig(), COCO17, snapshots(START, 90))
    assert done == whole
    assert done.cameras == {"a": 72, "b": 72}


@pytest.mark.parametrize("held", [0, 2, 512])
def test_what_it_let_go_before_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    ring, play = fill(tmp_path), Play(START, START + 3 * S)
    monkeypatch.setattr(clip, "HELD_FILES", held)
    real = segments

    def then(folder: Path, camera: str) -> list[Segment]:
        found = real(folder, camera)
        if camera == "b" and len(found) == 3:
            found[0].path.unlink()
        return found

    monkeypatch.setattr(clip, "segments", then)
    done = cut_play(ring, play, tmp_path / "out", rig(), COCO17, snapshots(START, 90))
    assert done.cameras == {"a": 72, "b": 48}
    assert done.begins_ns["b"] == START + 24 * S // RATE


def test_what_goes_unheld_costs_its_pictures_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring, play = fill(tmp_path), Play(START, START + 3 * S)
    monkeypatch.setattr(clip, "HELD_FILES", 0)
    real = clip._key_before

    def then(reached: list[Segment], play: Play) -> int | None:
        found = real(reached, play)
        reached[0].path.unlink()
        return found

    monkeypatch.setattr(clip, "_key_before", then)
    done = cut_play(ring, play, tmp_path / "out", rig(), COCO17, [])
    assert done.cameras == {"a": 48, "b": 48}


def test_what_is_not_held_says_so(tmp_path: Path) -> None:
    ring = fill(tmp_path)
    for at in (START - 20 * S, START + 20 * S):
        with pytest.raises(NotFoundError, match=f"it begins at {START} ns"):
            cut_play(ring, Play(at, at + S), tmp_path / "out", rig(), COCO17, [])
    with pytest.raises(NotFoundError, match="nor any at all"):
        cut_play(tmp_path / "none", Play(START, START + S), tmp_path / "out", rig(), COCO17, [])
    for wrong in ((START, START), (START, START + 1000 * S)):
        with pytest.raises(InvalidInputError, match="begins before it ends"):
            Play(*wrong)
