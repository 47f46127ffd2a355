"""Where the shared data lies that tests and benches read."""

from __future__ import annotations

import os
from pathlib import Path

BESIDE = Path(__file__).resolve().parents[3] / "shared"
"""The folder beside the clone, where it lies unless `TIPOFF_DATA` says otherwise."""


def shared_data() -> Path:
    """Find the shared folder; a test without it fails, since it would prove nothing.

    Raises:
        FileNotFoundError: It is not there.
    """
    folder = Path(os.environ.get("TIPOFF_DATA", BESIDE))
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is not there: the tests read the shared data beside the clone, or where "
            "TIPOFF_DATA says"
        )
    return folder
