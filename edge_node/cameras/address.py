"""What a source's text says: an RTSP URL, a video file or a recording of observations.

Credentials stand in a URL as ``${NAME}`` and are taken from the environment when it is opened and
not before, so that nothing that prints a source can print them. Where somebody writes them out all
the same, `tipoff.credentials` keeps them out of logs, errors and status.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from edge_node.cameras.errors import SourceError
from tipoff.credentials import end_of_authority, hidden

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SOURCE_CHARACTERS = 2048
"""A longer text is no source."""

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_NEARLY_URL = re.compile(r"^rtsps?(:|//)|:.*@|\?.*=", re.IGNORECASE | re.DOTALL)
"""What holds credentials or would be an RTSP URL, but for its scheme."""
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


class SourceKind(Enum):
    """What a source is."""

    RTSP = "rtsp"
    """A camera that is asked for its stream."""
    VIDEO = "video"
    """A video file, played as if it were a camera."""
    OBSERVATIONS = "observations"
    """Recorded keypoints, played as if they had just been found."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a camera's frames come from."""

    kind: SourceKind
    """What it is."""
    shown: str
    """The text without credentials: for logs, errors and people."""
    text: str = field(repr=False)
    """The text as it was given, variables not filled in."""

    def url(self, environment: Mapping[str, str] | None = None) -> str:
        """Give the URL with credentials from the environment. Never log it.

        Args:
            environment: Where variables are looked up; None is the process'.

        Raises:
            SourceError: a variable is not set.
        """
        values = os.environ if environment is None else environment
        authority = re.split(r"[/?]", self.text[self.text.index("://") + 3 :], maxsplit=1)[0]
        end = self.text.index("://") + 3 + len(authority)
        at, query = self.text.rfind("@", 0, end), self.text.find("?", end)

        def fill(match: re.Match[str]) -> str:
            name = match[1]
            if not values.get(name):
                raise SourceError(
                    f"{self.shown} needs the environment variable {name}, which is not set: set "
                    "it where the node is started",
                    variable=name,
                )
            # A password may hold what ends a URL's part. Before the @ libav takes the quoting off
            # again, in a query the camera does.
            secret = match.start() < at or 0 <= query < match.start()
            return quote(values[name], safe="") if secret else values[name]

        return _VARIABLE.sub(fill, self.text)

    @property
    def observed(self) -> bool:
        """Whether its people were found before."""
        return self.kind is SourceKind.OBSERVATIONS

    @property
    def path(self) -> Path:
        """The file, of a video or a recording."""
        return Path(self.text)


def parse_source(text: str, folder: Path | None = None) -> Address:
    """Read a source's text.

    Args:
        text: ``rtsp://...``, ``rtsps://...``, or a path; ``*.parquet`` is a recording of
            observations, any other file a video.
        folder: What relative paths start from.

    Raises:
        SourceError: it is none of these.
    """
    text = text.strip()
    if not text or len(text) > MAX_SOURCE_CHARACTERS or any(ord(c) < ord(" ") for c in text):
        raise SourceError(
            "a source is an RTSP URL or the path of a file, of at most "
            f"{MAX_SOURCE_CHARACTERS} printable characters"
        )
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _file(text, folder)
    shown = hidden(text)
    if scheme[1].lower() not in ("rtsp", "rtsps"):
        raise SourceError(
            f"{shown}: {scheme[1]} is not spoken here; give rtsp://, rtsps:// or a path. "
            "Whatever ffmpeg reads can be played by an RTSP server beside the node"
        )
    _check_password(text, shown)
    _check_url(text, shown)
    return Address(SourceKind.RTSP, shown, text)


def _file(text: str, folder: Path | None) -> Address:
    if _NEARLY_URL.search(text):
        raise SourceError(
            f"{hidden(text)} lacks the beginning of a URL, and no path may hold a : before an @ or "
            "a = after a ?: rename the file, or write rtsp://HOST/PATH"
        )
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise SourceError(
            f"{text}: there is no such user on this machine; write the path from / on"
        ) from None
    path = path if path.is_absolute() or folder is None else folder / path
    observed = path.suffix.lower() == ".parquet"
    kind = SourceKind.OBSERVATIONS if observed else SourceKind.VIDEO
    return Address(kind, str(path), str(path))


def _check_url(text: str, shown: str) -> None:
    for name in _VARIABLE.findall(text):
        if not _NAME.match(name):
            raise SourceError(
                f"{shown}: between ${{ and }} stands the name of an environment variable, in "
                "letters, digits and underscores"
            )
    try:
        parts = urlsplit(_VARIABLE.sub("x", text))
        found = parts.hostname and parts.port != 0
    except ValueError:
        found = False
    if not found:
        raise SourceError(f"{shown} names no host, or a port that is none: rtsp://HOST:PORT/PATH")


def _check_password(text: str, shown: str) -> None:
    """Refuse a password that is written out: files and histories are read by many."""
    begin = text.index("://") + 3
    at = text.rfind("@", begin, end_of_authority(text))
    _user, colon, password = text[begin : max(at, begin)].partition(":")
    if colon and _VARIABLE.sub("", password):
        raise SourceError(
            f"{shown} writes a password out: put ${{NAME}} in its place and set the environment "
            "variable NAME where the node is started"
        )
