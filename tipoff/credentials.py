"""Credentials in URLs are taken out of whatever is written down: logs, errors, status."""

from __future__ import annotations

import re

HIDDEN = "***"
"""What stands where credentials were."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")


def redact(text: str) -> str:
    """Take credentials out of every URL in a text.

    What stands before the @ goes, and so do the values of a query, where many cameras want them.
    """
    return _URL.sub(lambda match: _redacted(match[0]), text)


def _redacted(url: str) -> str:
    begin = url.index("://") + 3
    at = url.rfind("@", begin, end_of_authority(url))
    head, rest = url[:begin], url[begin:]
    if at >= 0:
        rest = f"{HIDDEN}@{url[at + 1 :]}"
    path, question, _query = rest.partition("?")
    return f"{head}{path}{question}{HIDDEN if question else ''}"


def end_of_authority(url: str) -> int:
    """Say where a URL's host ends, an @ in an unquoted password notwithstanding."""
    begin = url.find("://") + 3
    # A password with a slash has its @ behind that: hide too much rather than too little.
    last = url.rfind("@")
    slash = url.find("/", max(begin, last))
    return len(url) if slash < 0 else slash
