"""Reading a session file's values, with the line and the remedy in every error."""

from __future__ import annotations

import difflib
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from edge_node.live.errors import SessionFileError
from edge_node.live.toml_lines import key_lines
from tipoff.credentials import redact
from tipoff.errors import InvalidInputError

MAX_FILE_BYTES = 1024 * 1024
"""A larger file is no session file."""
MAX_TEXT = 4096
"""Characters of a text, at most."""
_LONG_NUMBER = re.compile(r"[0-9_]{1000,}")

T = TypeVar("T")


class Table:
    """A table of the file that knows where it stands, and which of its keys were read."""

    def __init__(
        self,
        file: Path,
        values: Mapping[str, Any],
        path: tuple[str | int, ...],
        lines: Mapping[Any, int],
    ) -> None:
        self.file, self._values, self._path, self._lines = file, values, path, lines
        self._read: set[str] = set()

    @property
    def names(self) -> list[str]:
        """The table's keys, in the file's order."""
        return list(self._values)

    def error(self, key: str | None, message: str) -> SessionFileError:
        """Make an error about a key, or about the table."""
        path = self._path if key is None else (*self._path, key)
        where = path
        while where and where not in self._lines:
            where = where[:-1]
        line = self._lines.get(where, 1)
        name = ".".join(str(part) for part in path)
        about = f"{name}: " if name else ""
        return SessionFileError(
            f"{self.file}:{line}: {about}{message}", file=self.file, line=line, key=name
        )

    def _get(self, key: str) -> Any:
        self._read.add(key)
        return self._values.get(key)

    def text(self, key: str, default: T, example: str = "") -> str | T:
        """Read a text that is not empty."""
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
            shown = f", such as {key} = {example!r}" if example else ""
            raise self.error(key, f"must be a text that is not empty{shown}")
        return value.strip()

    def needed(self, key: str, example: str) -> str:
        """Read a text that must be there."""
        value = self.text(key, None, example)
        if value is None:
            raise self.error(None, f"{key} is missing: write {key} = {example!r}")
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """Read one of some words."""
        value = self.text(key, default)
        if value not in choices:
            raise self.error(key, f"{value!r} is none of {', '.join(choices)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Read true or false."""
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false, without quotes")
        return value

    def integer(self, key: str, default: T, least: int, most: int) -> int | T:
        """Read a whole number within bounds."""
        value = self._get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.error(key, f"must be a whole number from {least} to {most}")
        return value

    def number(self, key: str, default: T, least: float, most: float) -> float | T:
        """Read a number within bounds."""
        value = self._get(key)
        if value is None:
            return default
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not least <= value <= most:
            raise self.error(key, f"must be a number from {least:g} to {most:g}")
        return float(value)

    def numbers(self, key: str, count: int) -> tuple[float, ...] | None:
        """Read so many numbers."""
        value = self._get(key)
        if value is None:
            return None
        good = isinstance(value, list) and len(value) == count
        if not good or not all(_is_number(each) for each in value):
            raise self.error(key, f"must be a list of {count} numbers")
        return tuple(float(v) for v in value)

    def raw(self, key: str) -> Any:
        """Read whatever stands there; None where nothing does."""
        return self._get(key)

    def table(self, key: str) -> Table:
        """Read a table; one that is not there is empty."""
        value = self._get(key)
        if value is None:
            return Table(self.file, {}, (*self._path, key), self._lines)
        if not isinstance(value, dict):
            raise self.error(
                key, f"must be a table: write [{'.'.join(map(str, (*self._path, key)))}]"
            )
        return Table(self.file, value, (*self._path, key), self._lines)

    def tables(self, key: str, most: int) -> Iterator[Table]:
        """Read an array of tables."""
        value = self._get(key)
        if value is None:
            return
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.error(
                key, f"must be tables: write [[{'.'.join(map(str, (*self._path, key)))}]]"
            )
        if len(value) > most:
            raise self.error(key, f"has {len(value)} tables; at most {most} are read")
        for number, each in enumerate(value):
            yield Table(self.file, each, (*self._path, key, number), self._lines)

    def done(self) -> None:
        """Refuse keys that nobody reads: they are misspelt, or belong elsewhere."""
        for key in self._values:
            if key not in self._read:
                near = difflib.get_close_matches(key, self._read, 1)
                meant = f"; did you mean {near[0]}?" if near else ""
                known = ", ".join(sorted(self._read))
                raise self.error(key, f"is not known here{meant} (known: {known})")

    def made(self, key: str | None, make: Any) -> Any:
        """Make options out of values; what they refuse is told with its line."""
        try:
            return make()
        except SessionFileError:
            raise
        except InvalidInputError as error:
            raise self.error(key, redact(error.message)) from None


def read_table(path: Path) -> Table:
    """Read a session file.

    Raises:
        SessionFileError: it cannot be read, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise SessionFileError(f"{path} is larger than 1 MB and no session file", file=path)
        text = data.decode("utf-8-sig")  # some editors begin a file with a mark
    except OSError as error:
        raise SessionFileError(
            f"{path} cannot be read: {error.strerror or type(error).__name__}", file=path
        ) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SessionFileError(
            f"{path}:{line}: is not UTF-8; save it as UTF-8", file=path, line=line
        ) from None
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        line, reason = _syntax(error, text)
        raise SessionFileError(
            f"{path}:{line}: is no TOML: {reason}", file=path, line=line
        ) from None
    return Table(path, values, (), key_lines(text))


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float can hold: TOML's whole numbers have no end."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def _syntax(error: Exception, text: str) -> tuple[int, str]:
    """Read the line out of what tomllib says; at the end of the document is its last line."""
    if isinstance(error, RecursionError):
        return text.count("\n") + 1, "brackets are nested too deep"
    if not isinstance(error, tomllib.TOMLDecodeError):
        # Python refuses to read numbers that are longer, and does not say where.
        found = _LONG_NUMBER.search(text)
        return text.count("\n", 0, found.start() if found else 0) + 1, "a number is too long"
    reason, _, place = str(error).partition(" (at ")
    digits = place.removeprefix("line ").partition(",")[0]
    return int(digits) if digits.isdigit() else text.count("\n") + 1, redact(reason)
