"""Which native core runs here."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from accel import _core


@cache
def native_digest() -> str:
    """Give SHA-256 of the native core's file, in hexadecimal."""
    return hashlib.sha256(Path(str(_core.__file__)).read_bytes()).hexdigest()
