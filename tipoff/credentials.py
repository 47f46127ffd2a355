"""Credentials in URLs are taken out of whatever is written down: logs, errors, status."""

from __future__ import annotations

import re

HIDDEN = "***"
"""What stands where credentials were."""
_URLS = re.compile(
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://.*?(?=(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://|$)",
    re.M,
)
"""Each URL with all that follows it in its line: a password may hold anything, also spaces."""
_QUERY = re.compile(r"\?\S+")
_EITHER = re.compile(r"\?\S*@")
"""A password with a ? before the host, or a query with an @: who knows?"""
_PORT = re.compile(r"^(\[[^\]]*\]|[^:]*):(?!\d*$|\$\{).*$")


def redact(text: str) -> str:
    """Take credentials out of every URL in a text.

    What stands before the last @ of a line goes, and so do the values of a query, where many
    cameras want them: up to the next space.
    """
    if "://" not in text:
        return text
    return _URLS.sub(lambda match: _redacted(match[0]), text)


def _redacted(url: str) -> str:
    begin, at = url.index("://") + 3, url.rfind("@")
    if _EITHER.search(url):
        return url[:begin] + HIDDEN
    rest = f"{HIDDEN}{url[at:]}" if at >= begin else url[begin:]
    return url[:begin] + _QUERY.sub(f"?{HIDDEN}", rest)


def hidden(text: str) -> str:
    """Show a text that should be a URL or a host, as a whole, without credentials.

    Nothing before its last @ is shown, no value of its query, and no port that is no number, as
    where the @ was forgotten. Where an @ follows a ?, nothing is: it may be either's.
    """
    begin = text.find("://") + 3 if "://" in text else 0
    at = text.rfind("@")
    if 0 <= text.find("?", begin) < at:
        return text[:begin] + HIDDEN
    rest = f"{HIDDEN}{text[at:]}" if at >= begin else text[begin:]
    path, question, _query = rest.partition("?")
    host, slash, path = path.partition("/")
    host = _PORT.sub(rf"\1:{HIDDEN}", host)
    return f"{text[:begin]}{host}{slash}{path}{question}{HIDDEN if question else ''}"


def end_of_authority(url: str) -> int:
    """Say where a URL's host ends, an @ in an unquoted password notwithstanding."""
    begin = url.find("://") + 3
    # A password with a slash has its @ behind that: hide too much rather than too little.
    last = url.rfind("@")
    slash = url.find("/", max(begin, last))
    return len(url) if slash < 0 else slash
