"""Videos find their cameras by name, and a mismatch lists both."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_node.errors import CameraMatchError
from edge_node.matching import match_videos

NAMES = ("north", "south", "cam1")


def test_by_the_whole_stem_by_a_word_in_it_and_outright() -> None:
    found = match_videos(NAMES, ["a/game-7_cam1.mp4", "north.mov", "south=b/0001.mkv"])
    assert found == {
        "north": Path("north.mov"),
        "south": Path("b/0001.mkv"),
        "cam1": Path("a/game-7_cam1.mp4"),
    }
    assert list(found) == list(NAMES)


def test_a_name_inside_a_longer_word_is_no_match() -> None:
    with pytest.raises(CameraMatchError, match=r"cam12\.mp4 fits no camera"):
        match_videos(["cam1"], ["cam12.mp4"])


def test_the_whole_stem_beats_a_word() -> None:
    assert match_videos(["a", "a-b"], ["a.mp4", "a-b.mp4"]) == {
        "a": Path("a.mp4"),
        "a-b": Path("a-b.mp4"),
    }


@pytest.mark.parametrize(
    ("videos", "problem"),
    [
        (["north.mp4", "south.mp4"], "no video for cam1"),
        (["north.mp4", "south.mp4", "cam1.mp4", "cam9.mp4"], r"cam9.mp4 fits no camera"),
        (["north.mp4", "x-north.mp4", "south.mp4", "cam1.mp4"], "camera north has"),
        (["north-south.mp4", "cam1.mp4"], "fits the cameras north, south"),
        (["west=north.mp4", "south.mp4", "cam1.mp4"], "no video for north"),
    ],
)
def test_a_mismatch_lists_cameras_and_videos(videos: list[str], problem: str) -> None:
    if videos[0].startswith("west"):
        videos = ["west=up.mp4", *videos[1:]]
    with pytest.raises(CameraMatchError, match=problem) as caught:
        match_videos(NAMES, videos)
    for word in (*NAMES, *videos):
        assert word in str(caught.value)


def test_a_subset_may_lack_cameras_but_not_all() -> None:
    assert match_videos(NAMES, ["south.mp4"], subset=True) == {"south": Path("south.mp4")}
    with pytest.raises(CameraMatchError, match="fits no camera"):
        match_videos(NAMES, ["west.mp4"], subset=True)
