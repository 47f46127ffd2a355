"""An address that is none is refused at once, and not looked for at another place."""

from __future__ import annotations

import pytest

import tipoff
from tipoff.address import check_address
from tipoff.errors import InvalidInputError


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:7400",
        "court-1.arena:7400",
        "[::1]:7400",
        "[fe80::1%eth0]:7400",
        "unix:/run/t",
        "unix-abstract:t",
        "dns:///h:7400",
    ],
)
def test_an_address_is_taken(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        *("", "127.0.0.1", ":7400", "h:", "h:0", "h:65536", "h:x", "http://127.0.0.1:7400"),
        *(
            "::1",
            "2001:db8::5",
            "fe80::1:7400",
            " h:7400",
            "h/x:7400",
            "h:\u0667\u0664",
            "h:0007400",
        ),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInputError, match="host:port"):
        tipoff.Client(address)
    with pytest.raises(InvalidInputError, match="host:port"):
        tipoff.aio.AsyncClient(address)


def test_no_mistake_shows_a_password() -> None:
    with pytest.raises(InvalidInputError) as caught:
        tipoff.Client("http://ann:secret@h/")
    assert "secret" not in str(caught.value)
    assert "secret" not in str(vars(caught.value))
