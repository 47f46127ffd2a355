"""Sources are read as they are meant, and no credential leaves the place where it is needed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge_node.cameras.address import SourceKind, parse_source
from edge_node.cameras.errors import SourceError
from tipoff.credentials import redact

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


def test_credentials_in_a_query_are_quoted() -> None:
    """A camera would take its query apart at what a password may hold."""
    address = parse_source("rtsp://${HOST}/${WAY}?user=${CAM_USER}&password=${CAM_PASSWORD}&c=1")
    values = {"HOST": "h:554", "WAY": "a/b?ch=1", "CAM_USER": "ann", "CAM_PASSWORD": "a&b#c d"}
    assert address.url(values) == ("rtsp://h:554/a/b?ch=1?user=ann&password=a%26b%23c%20d&c=1")


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://ann:se'cret@h/a",
        'rtsp://ann:se"cret@h/a',
        "rtsp://ann:se<cret@h/a",
        "rtsp://ann:se cret@h/a",
        "rtsp://ann:s?ecret@h/a",
        "rtsp://ann:secret/a",
        "rtsp://h:x/a?user=ann&password=s'ecret",
        "http://h/a?user=ann&password=se@cret",
        "ann:secret@h/a",
        "rtsp:/ann:secret@h/a",
        "rtsp//ann:secret@h/a",
        "rtsp:ann:secret@h/a",
        "h/a?user=ann&password=secret",
    ],
)
def test_no_mistake_shows_a_password(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_source(text)
    assert "cret" not in str(caught.value)
    if "://" in text and "@" in text:
        assert "cret" not in redact(f"cannot open {text}: no")


def test_a_query_is_hidden_whatever_it_holds() -> None:
    assert parse_source("rtsp://h/a?user=u&password=s'e c<r>t").shown == "rtsp://h/a?***"


def test_a_folder_of_nobody_says_so() -> None:
    with pytest.raises(SourceError, match="no such user on this machine"):
        parse_source("~nobody-of-that-name/cam1.mp4")


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
