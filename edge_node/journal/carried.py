"""What has been carried up: a number in a file of the journal's folder, once somebody carries.

Whoever carries up may be another process. A running node prunes only what the number covers.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import structlog

from edge_node.journal.folder import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

CARRIED = "carried"
"""File with the newest record that has been carried up."""

log = structlog.get_logger(__name__)


def read_carried(folder: Path) -> int | None:
    """Give the newest record that has been carried up.

    Returns:
        Its number; 0 where it cannot be read, so that nothing goes for it; None where nobody
        carries anything up.
    """
    path = folder / CARRIED
    try:
        return int(path.read_text("ascii"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("what was carried up cannot be read", file=str(path), reason=str(error))
        return 0


def write_carried(folder: Path, record: int) -> None:
    """Keep the newest record that has been carried up, durably.

    Raises:
        OSError: It cannot be written; what was kept before is still there.
    """
    # Whoever else writes it now has a file of its own.
    part = folder / f"{CARRIED}.{os.getpid()}-{threading.get_ident()}.part"
    for last_try in (False, True):
        try:
            with part.open("w", encoding="ascii") as file:
                file.write(f"{record}\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(folder / CARRIED)
            break
        except FileNotFoundError:
            # A node that starts removes what was left half written, and this with it.
            if last_try:
                raise
    sync_folder(folder)


def lower_carried(folder: Path, last: int) -> None:
    """See that what is written next does not count as carried up: numbers are used again.

    Args:
        folder: The journal's folder.
        last: Its newest record.

    Raises:
        OSError: It cannot be written.
    """
    carried = read_carried(folder)
    if carried is not None and carried > last:
        log.warning("more was carried up than the journal holds", carried=carried, last=last)
        write_carried(folder, last)
