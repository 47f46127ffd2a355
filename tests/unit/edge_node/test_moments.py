"""Times on the command line are exact, and nothing else is taken for one."""

from __future__ import annotations

import click
import pytest

from edge_node.moments import MOMENT, show_moment


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("0", 0),
        ("1700000000123456789", 1_700_000_000_123_456_789),
        ("9223372036854775807", 2**63 - 1),
        ("1970-01-01T00:00:00Z", 0),
        ("2026-03-01T19:30:00+00:00", 1_772_393_400_000_000_000),
        ("2026-03-01T20:30:00.000001+01:00", 1_772_393_400_000_001_000),
    ],
)
def test_a_time_is_read_to_the_microsecond_and_ns_as_they_are(text: str, time_ns: int) -> None:
    assert MOMENT.convert(text, None, None) == time_ns


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("noon", "no time with a zone"),
        ("2026-03-01T19:30:00", "no time with a zone"),
        ("", "no time with a zone"),
        ("\u0663", "no time with a zone"),
        ("-1", "no time with a zone"),
        ("9" * 100, "no time with a zone"),
        ("9223372036854775808", "after 2262"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("9999-01-01T00:00:00Z", "after 2262"),
    ],
)
def test_what_is_no_time_is_told(text: str, said: str) -> None:
    with pytest.raises(click.BadParameter, match=said):
        MOMENT.convert(text, None, None)


@pytest.mark.parametrize("time_ns", [0, 1_772_393_400_000_000_000, 1_772_393_400_123_999_999])
def test_what_is_shown_is_read_again(time_ns: int) -> None:
    assert MOMENT.convert(show_moment(time_ns), None, None) == time_ns // 1_000_000 * 1_000_000
