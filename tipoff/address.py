"""Addresses of servers, as a client is given them."""

from __future__ import annotations

import re

from tipoff.errors import InvalidInputError

MAX_PORT = 65_535
_OF_ANOTHER = re.compile(r"^(https?|grpcs?|rtsps?)://", re.IGNORECASE)


def check_address(address: str) -> str:
    """Return an address that a client can use: host:port, or what gRPC names otherwise (unix:...).

    gRPC would take 443 for a port that is missing and another one for a port that is none.

    Raises:
        InvalidInputError: It is no such address.
    """
    host, _, port = address.rpartition(":")
    known = address.startswith("unix:") or (
        host and port.isdecimal() and 0 < int(port) <= MAX_PORT and not _OF_ANOTHER.match(address)
    )
    if not known:
        raise InvalidInputError(
            f"{address!r} is no address of a Tipoff server: give host:port, such as 127.0.0.1:7400",
            address=address,
        )
    return address
