"""Lines of keys are those where they stand, whatever else the document holds."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_node.live.toml_lines import key_lines

DOCUMENT = '''\
# a comment with [brackets] and "quotes
name = "a # no comment"   # a comment

path = 'C:\\folder\\'
list = [
  1,  # [
  "two ]",
  [3, 4],
]
text = """
[not.a.table]
key = "value" \\""" still text
""" # after
raw = \'\'\'
x = 1\'\'\'\'
inline = { a = 1, b = { c = "}" } }
"quoted key" = 1
dotted.a.b = 1

[table]
x = 1
[ table . "sub table" ]
y = 2
[[array]]
z = 3
[[array]]
z = 4
[array.inner]
w = 5
[[array.deep]]
v = 6
'''


def test_a_document_with_everything() -> None:
    tomllib.loads(DOCUMENT)
    lines = key_lines(DOCUMENT)
    rows = DOCUMENT.splitlines()
    expected = {
        ("name",): "name =",
        ("path",): "path =",
        ("list",): "list =",
        ("text",): "text =",
        ("raw",): "raw =",
        ("inline",): "inline =",
        ("quoted key",): '"quoted key"',
        ("dotted", "a", "b"): "dotted.a.b",
        ("table",): "[table]",
        ("table", "x"): "x = 1",
        ("table", "sub table"): '[ table . "sub',
        ("table", "sub table", "y"): "y = 2",
        ("array", 0, "z"): "z = 3",
        ("array", 1, "z"): "z = 4",
        ("array", 1, "inner", "w"): "w = 5",
        ("array", 1, "deep", 0, "v"): "v = 6",
    }
    for path, text in expected.items():
        assert rows[lines[path] - 1].startswith(text), path
    assert "key" not in {path[-1] for path in lines}
    assert ("x",) not in lines


class Counted(str):
    """A text that says how often somebody has copied it as a whole."""

    copies = 0

    def __add__(self, other: str) -> str:
        Counted.copies += 1
        return str(self) + other


def test_a_document_of_comments_is_not_copied_for_each_of_them() -> None:
    Counted.copies = 0
    assert key_lines(Counted("a = 1\n" + "#\n" * 100 + "b = 2 # end")) == {("a",): 1, ("b",): 102}
    assert Counted.copies == 0


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = []
    for key, each in value.items():
        found.append((*path, key))
        if isinstance(each, dict):
            found += _paths(each, (*path, key))
    return found


KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
VALUES = st.sampled_from(
    ["1", '"a"', "'a#'", '"""\n[x]\n\\""" """', "[1, [2], '[']", "[\n 'a', # ]\n]", "'''''a'''''"]
)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=5))
def test_every_key_of_any_document_is_found_where_it_stands(
    tables: dict[str, dict[str, str]],
) -> None:
    text, line = "", 1
    expected: dict[tuple[str, ...], int] = {}
    for table, keys in tables.items():
        header = f"[ {table} ] # [[x]]\n\n"
        expected[table,] = line
        text, line = text + header, line + header.count("\n")
        for key, value in keys.items():
            row = f"  {key} = {value}\n"
            expected[table, key] = line
            text, line = text + row, line + row.count("\n")
    read = tomllib.loads(text)
    lines = key_lines(text)
    assert set(_paths(read)) == set(expected)
    assert lines == expected
