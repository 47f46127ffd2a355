"""In which line of a TOML file a key stands, which `tomllib` does not say.

The text has been read by `tomllib` before, so it is TOML; this only follows strings, brackets and
comments as far as it takes to know where a statement begins.
"""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_KEY = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(\.)?""")
_OPENERS, _CLOSERS = "[{", "]}"


def key_lines(text: str) -> dict[Path, int]:
    """Give the line of every table and key, from 1.

    Args:
        text: A TOML document.

    Returns:
        Lines by path; an element of an array of tables has its number in the path. Keys within an
        inline table are not told apart from it.
    """
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, statement in _statements(text):
        if statement.startswith("[["):
            path = _resolved(_dotted(statement[2:]), counts)
            counts[path] = counts.get(path, -1) + 1
            table = (*path, counts[path])
            lines.setdefault(path, number)
            lines[table] = number
        elif statement.startswith("["):
            table = _resolved(_dotted(statement[1:]), counts)
            _remember(lines, table, 0, number)
        else:
            keys = _dotted(statement)
            _remember(lines, (*table, *keys), len(table), number)
    return lines


def _remember(lines: dict[Path, int], path: Path, known: int, number: int) -> None:
    for length in range(known + 1, len(path) + 1):
        lines.setdefault(path[:length], number)


def _resolved(keys: Path, counts: dict[Path, int]) -> Path:
    """Put the numbers of the newest elements of arrays of tables into a header's path."""
    path: Path = ()
    for position, key in enumerate(keys):
        path = (*path, key)
        if position < len(keys) - 1 and path in counts:
            path = (*path, counts[path])
    return path


def _dotted(text: str) -> Path:
    keys: list[str | int] = []
    at = 0
    while (match := _KEY.match(text, at)) is not None:
        keys.append(next(part for part in match.groups()[:3] if part is not None))
        at = match.end()
        if not match[4]:
            break
    return tuple(keys)


def _statements(text: str) -> list[tuple[int, str]]:
    """Give the line and the text of every statement: a header, or a key with its value."""
    found, depth, quote, begun = [], 0, "", 0
    at, line, begin, code = 0, 1, 1, ""
    while at < len(text):
        char, three = text[at], text[at : at + 3]
        if quote:
            step = _within(text, at, quote)
            quote = "" if step < 0 else quote
            step = abs(step)
        elif char == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
            continue
        elif three in ('"""', "'''"):
            quote, step = three, 3
        elif char in "\"'":
            quote, step = char, 1
        else:
            step = 1
            depth += (char in _OPENERS) - (char in _CLOSERS)
        if char == "\n" and not quote and depth == 0:
            if code.strip():
                found.append((begin, code.strip()))
            code, begun = "", 0
        else:
            if not begun and not char.isspace():
                begin, begun = line, 1
            code += text[at : at + step]
        line += text.count("\n", at, at + step)
        at += step
    if code.strip():
        found.append((begin, code.strip()))
    return found


def _within(text: str, at: int, quote: str) -> int:
    """Give how many characters belong together in a string; negative where they end it."""
    if quote[0] == '"' and text[at] == "\\":
        return 2
    if text.startswith(quote, at):
        # Up to two quotes may stand before those that end a long string.
        length = len(quote)
        while length < 5 and len(quote) == 3 and text.startswith(quote[0], at + length):
            length += 1
        return -length
    return 1
