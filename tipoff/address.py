"""Addresses of servers, as a client is given them."""

from __future__ import annotations

import re

from tipoff.credentials import hidden
from tipoff.errors import InvalidInputError

MAX_PORT = 65_535
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|(dns|ipv4|vsock):[^\s@]+|ipv6:\S+|[^\s:/@\[\]]+)")
"""A name or number, in brackets where it holds colons, or what gRPC names otherwise."""


def check_address(address: str) -> str:
    """Return an address that a client can use: host:port, or what gRPC names otherwise (unix:...).

    gRPC would take 443 for a port that is missing and another one for a port that is none.

    Raises:
        InvalidInputError: It is no such address.
    """
    host, _, port = address.rpartition(":")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
    known = address.startswith(("unix:", "unix-abstract:")) or (
        _HOST.fullmatch(host) and 0 < number <= MAX_PORT
    )
    if not known:
        shown = hidden(address)
        raise InvalidInputError(
            f"{shown!r} is no address of a Tipoff server: give host:port, such as 127.0.0.1:7400",
            address=shown,
        )
    return address
