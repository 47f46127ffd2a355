"""Sources are read as they are meant, and no credential leaves the place where it is needed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge_node.cameras.address import SourceKind, parse_source
from edge_node.cameras.errors import SourceError

SECRET = "p@ss:w/rd%20"
ENVIRONMENT = {"CAM_USER": "ann", "CAM_PASSWORD": SECRET, "HOST": "10.0.0.11"}
URL = "rtsp://${CAM_USER}:${CAM_PASSWORD}@${HOST}:8554/stream1"


def test_credentials_are_filled_in_only_when_it_is_opened() -> None:
    address = parse_source(URL)
    assert address.kind is SourceKind.RTSP
    assert address.url(ENVIRONMENT) == "rtsp://ann:p%40ss%3Aw%2Frd%2520@10.0.0.11:8554/stream1"
    assert address.shown == "rtsp://***@${HOST}:8554/stream1"
    for said in (repr(address), str(address), address.shown, str(dataclasses.replace(address))):
        assert "CAM_PASSWORD" not in said
        assert SECRET not in said


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(SourceError, match="CAM_PASSWORD, which is not set") as caught:
        parse_source(URL).url({"CAM_USER": "ann", "HOST": "x"})
    assert "ann" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an RTSP URL or the path"),
        ("rtsp://", "names no host"),
        ("rtsp:///a", "names no host"),
        ("rtsp://h:99999/a", "names no host, or a port"),
        ("http://h/a", "http is not spoken here"),
        ("rtsp://${no name}@h/a", "the name of an environment variable"),
        ("rtsp://ann:secret@h/a", "writes a password out"),
        ("a\nb", "printable"),
        ("x" * 3000, "printable"),
    ],
)
def test_what_is_no_source_says_so(text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        parse_source(text)
    assert "secret" not in str(caught.value)


def test_paths_start_from_their_folder(tmp_path: Path) -> None:
    video = parse_source("game/cam1.mp4", tmp_path)
    assert (video.kind, video.path) == (SourceKind.VIDEO, tmp_path / "game" / "cam1.mp4")
    assert parse_source("/a/b.Parquet", tmp_path).kind is SourceKind.OBSERVATIONS
    assert parse_source("/a/b.Parquet", tmp_path).path == Path("/a/b.Parquet")
