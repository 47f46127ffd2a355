"""The epochs of sessions that this machine served: each start takes the next one.

Sequences count within an epoch, so a session that is served again must not begin anew under the
epoch that its subscribers hold.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from tipoff.errors import ConflictError

FILE = "epochs.json"


def state_folder() -> Path:
    """Return the folder for what must outlive a process (XDG base directories)."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "tipoff"


def next_epoch(session: str, folder: Path | None = None) -> int:
    """Take the next epoch of a session, from 1; safe between processes.

    Args:
        session: Its name.
        folder: Where the epochs are kept; by default the user's state folder.

    Raises:
        ConflictError: They cannot be read or written.
    """
    path = (folder or state_folder()) / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _count_up(path, session)
    except (OSError, ValueError) as error:
        raise ConflictError(
            f"the epochs of sessions cannot be kept in {path}: {error}; make it writable, remove "
            "it where it is damaged, or set XDG_STATE_HOME to another folder",
            path=str(path),
        ) from error


def _count_up(path: Path, session: str) -> int:
    epochs = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if not isinstance(epochs, dict) or not isinstance(epochs.get(session, 0), int):
        raise ValueError("it does not hold a number for each session")
    epoch = int(epochs.get(session, 0)) + 1
    whole = path.with_suffix(".new")
    with whole.open("w", encoding="utf-8") as file:
        json.dump({**epochs, session: epoch}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    whole.replace(path)
    return epoch
