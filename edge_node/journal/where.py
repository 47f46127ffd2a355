"""Where journals lie: a folder a session, named after it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from edge_node.epochs import state_folder
from edge_node.journal.folder import places
from tipoff.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "journals"
"""Within the state folder."""
LONGEST_NAME_BYTES = 200


def journals_folder(state: Path | None = None) -> Path:
    """Return the folder of all journals; by default within the user's state folder."""
    return (state or state_folder()) / FOLDER


def session_folder(session: str, journals: Path | None = None) -> Path:
    """Return the folder of a session's journal, there or not.

    Args:
        session: Its name.
        journals: Folder of all journals.

    Raises:
        InvalidInputError: The name is empty or too long.
    """
    name = quote(session, safe=" ").replace(".", "%2E")
    if not 0 < len(name) <= LONGEST_NAME_BYTES:
        raise InvalidInputError(
            f"{session!r} is no name for a session: give 1 to {LONGEST_NAME_BYTES} characters",
            session=session,
        )
    return (journals or journals_folder()) / name


def find_journal(session: str, journals: Path | None = None) -> Path:
    """Find a session's journal.

    Args:
        session: Its name, or the path of its folder.
        journals: Folder of all journals.

    Raises:
        NotFoundError: There is none.
    """
    root = journals or journals_folder()
    known = session_folder(session, root)
    candidates = (known, root.__class__(session))
    for folder in candidates:
        if places(folder):
            return folder
    names = ", ".join(name for name, _ in all_journals(root)) or "none"
    raise NotFoundError(
        f"there is no journal of session {session!r} in {root}; there are: {names}",
        session=session,
    )


def all_journals(journals: Path | None = None) -> list[tuple[str, Path]]:
    """List the sessions that have a journal, by name."""
    root = journals or journals_folder()
    if not root.is_dir():
        return []
    folders = sorted(path for path in root.iterdir() if path.is_dir() and places(path))
    return [(unquote(folder.name), folder) for folder in folders]
