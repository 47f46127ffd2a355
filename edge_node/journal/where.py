"""Where journals lie: a folder a session, named after it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from edge_node.epochs import state_folder
from edge_node.journal.errors import JournalError
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
    # A name from a command line may hold bytes that are no text.
    name = quote(session, safe=" ", errors="surrogatepass").replace(".", "%2E")
    if not 0 < len(name) <= LONGEST_NAME_BYTES:
        raise InvalidInputError(
            f"{session!r} is no name for a session: give 1 to {LONGEST_NAME_BYTES} characters",
            session=session,
        )
    return (journals or journals_folder()) / name


def is_named(folder: Path, session: str, journals: Path | None = None) -> bool:
    """Say whether a folder is the one of a session's name, and not one that was given by its path.

    Args:
        folder: What :func:`find_journal` gave.
        session: What it was asked for.
        journals: Folder of all journals.
    """
    try:
        return folder == session_folder(session, journals)
    except InvalidInputError:
        return False


def find_journal(session: str, journals: Path | None = None) -> Path:
    """Find a session's journal.

    Args:
        session: Its name, or the path of its folder.
        journals: Folder of all journals.

    Raises:
        NotFoundError: There is none.
        InvalidInputError: It is no path of one, and no name for a session.
    """
    root = journals or journals_folder()
    by_path = root.__class__(session)
    try:
        known = session_folder(session, root)
    except InvalidInputError:
        # A path may be longer than a name.
        if session and _holds_one(by_path):
            return by_path
        raise
    for folder in (known, by_path):
        if _holds_one(folder):
            return folder
    names = ", ".join(name for name, _ in all_journals(root)) or "none"
    raise NotFoundError(
        f"there is no journal of session {session!r} in {root}; there are: {names}",
        session=session,
    )


def all_journals(journals: Path | None = None) -> list[tuple[str, Path]]:
    """List the sessions that have a journal, by name.

    Raises:
        JournalError: This user may not look.
    """
    root = journals or journals_folder()
    try:
        if not root.is_dir():
            return []
        folders = sorted(path for path in root.iterdir() if _holds_one(path))
    except PermissionError as error:
        raise JournalError(
            f"the journals in {root} cannot be listed: {error.strerror}; run this as the user of"
            " their node",
            path=str(root),
        ) from error
    return [(unquote(folder.name), folder) for folder in folders]


def _holds_one(folder: Path) -> bool:
    """Say whether a folder holds a journal; where this user may not look, whoever reads says so."""
    try:
        return bool(places(folder))
    except PermissionError:
        return True
    except OSError:
        return False
