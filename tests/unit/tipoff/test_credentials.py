"""What is written down holds no credentials."""

from __future__ import annotations

import pytest

from tipoff.credentials import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://u:p@h/a", "rtsp://***@h/a"),
        ("rtsp://u:p@ss@h:554/a", "rtsp://***@h:554/a"),
        ("rtsp://u:p/w@h/a", "rtsp://***@h/a"),
        ("rtsp://h/a?user=u&password=p", "rtsp://h/a?***"),
        ("could not open rtsp://u:p@h/a: no", "could not open rtsp://***@h/a: no"),
        ("'rtsp://u:p@h' and rtsps://v:q@i/b", "'rtsp://***@h' and rtsps://***@i/b"),
        ("rtsp://h:554/a", "rtsp://h:554/a"),
        ("no url", "no url"),
    ],
)
def test_credentials_are_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_long_text_is_read_in_no_time() -> None:
    """Each of its places could be where a URL begins."""
    long = "x" * 200_000
    assert redact(f"{long}://u:p@h") == f"{long}://***@h"
    assert redact(long) == long
