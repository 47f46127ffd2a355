"""Where journals are found, and what is said where none is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edge_node.journal.cli import _row
from edge_node.journal.where import LONGEST_NAME_BYTES, find_journal, is_named, session_folder
from tests.support.journals import SESSION, opened
from tipoff.errors import InvalidInputError, NotFoundError

NOT_BYTES = "\udcff"
"""What Python makes of a byte of a command line that is no text."""


def test_a_journal_is_found_by_its_name_and_by_its_path(tmp_path: Path) -> None:
    root = tmp_path / "journals"
    opened(session_folder(SESSION, root)).close()
    folder = find_journal(SESSION, root)
    assert is_named(folder, SESSION, root)
    assert find_journal(str(folder), tmp_path / "elsewhere") == folder


def test_a_path_may_be_longer_than_a_name(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * LONGEST_NAME_BYTES) / "copy"
    opened(folder).close()
    assert find_journal(str(folder), tmp_path) == folder
    assert not is_named(folder, str(folder), tmp_path)


@pytest.mark.parametrize("name", ["", "x" * 5000, "x" * (LONGEST_NAME_BYTES + 1)])
def test_what_is_neither_is_told(tmp_path: Path, name: str) -> None:
    opened(session_folder(SESSION, tmp_path)).close()
    with pytest.raises(InvalidInputError, match="is no name for a session"):
        find_journal(name, tmp_path)


def test_a_name_that_is_no_text_is_not_found(tmp_path: Path) -> None:
    opened(session_folder(SESSION, tmp_path)).close()
    with pytest.raises(NotFoundError, match="there are: finals"):
        find_journal(NOT_BYTES, tmp_path)


def test_a_journal_that_goes_while_all_are_listed_costs_its_line_alone(tmp_path: Path) -> None:
    assert _row("gone", tmp_path / "gone") is None


_AS_ANOTHER_USER = """
import os, sys
from pathlib import Path
from edge_node.journal.cli import _row
from edge_node.journal.errors import JournalError
from edge_node.journal.reading import JournalReader
from edge_node.journal.where import all_journals, find_journal
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
root = Path(sys.argv[1])
for name, folder in all_journals(root):
    print(name, _row(name, folder)["damage"])
try:
    JournalReader(find_journal("hidden", root))
except JournalError as error:
    print("told", error)
root = root / "hidden"
try:
    all_journals(root)
except JournalError as error:
    print("told", error)
"""


def test_a_journal_that_this_user_may_not_look_into_is_listed_with_why() -> None:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        root.chmod(0o755)
        opened(root / "hidden").close()
        opened(root / SESSION).close()
        (root / "hidden").chmod(0o000)
        try:
            told = subprocess.run(
                [sys.executable, "-c", _AS_ANOTHER_USER, made],
                capture_output=True,
                text=True,
                check=True,
                env=dict(os.environ),
            ).stdout
        finally:
            (root / "hidden").chmod(0o755)
    finals, hidden, asked, inside = told.splitlines()
    assert finals == f"{SESSION} "
    assert hidden.startswith("hidden the journal in ")
    assert "cannot be read now: Permission denied" in hidden
    assert "cannot be read now: Permission denied" in asked
    assert "cannot be listed: Permission denied" in inside
