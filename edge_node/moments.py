"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
LATEST_NS = 2**63 - 1
MAX_DIGITS = 64
"""A text of so many digits is not read as a number."""


class Moment(click.ParamType):  # type: ignore[type-arg] # older versions take none
    """A time with its zone, or ns UTC; given on as ns UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it.

        Raises:
            click.BadParameter: It is neither.
        """
        if isinstance(value, int):
            return value
        if value.isascii() and value.isdigit() and len(value) < MAX_DIGITS:
            time_ns = int(value)
        else:
            time_ns = self._read(value, param, ctx)
        if not 0 <= time_ns <= LATEST_NS:
            self.fail(f"{value!r} lies before 1970 or after 2262", param, ctx)
        return time_ns

    def _read(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            what = "is no time with a zone, such as 2026-03-01T19:30:00+00:00, nor ns UTC"
            self.fail(f"{text!r} {what}", param, ctx)
        return (moment - _EPOCH) // _MICROSECOND * 1000


MOMENT = Moment()


def show_moment(time_ns: int) -> str:
    """Write a time as :class:`Moment` reads it, to the millisecond below it."""
    moment = _EPOCH + time_ns // 1000 * _MICROSECOND
    return moment.isoformat(timespec="milliseconds")
