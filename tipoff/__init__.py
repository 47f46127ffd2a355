"""The face of Tipoff for Python users.

Names are loaded when they are first used, so that `import tipoff.errors` costs nothing: the core
and the models inside Triton import it where nothing else of this package is installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tipoff import aio as aio
    from tipoff import tables as tables
    from tipoff.client import Client as Client
    from tipoff.client import TrackStream as TrackStream
    from tipoff.errors import TipoffError as TipoffError
    from tipoff.follow import ClientOptions as ClientOptions
    from tipoff.snapshot import Availability as Availability
    from tipoff.snapshot import Gap as Gap
    from tipoff.snapshot import Header as Header
    from tipoff.snapshot import Heartbeat as Heartbeat
    from tipoff.snapshot import Snapshot as Snapshot

_HOMES = {
    "Availability": "tipoff.snapshot",
    "Client": "tipoff.client",
    "ClientOptions": "tipoff.follow",
    "Gap": "tipoff.snapshot",
    "Header": "tipoff.snapshot",
    "Heartbeat": "tipoff.snapshot",
    "Snapshot": "tipoff.snapshot",
    "TipoffError": "tipoff.errors",
    "TrackStream": "tipoff.client",
}

_MODULES = ("aio", "tables")

__all__ = [
    "Availability",
    "Client",
    "ClientOptions",
    "Gap",
    "Header",
    "Heartbeat",
    "Snapshot",
    "TipoffError",
    "TrackStream",
    "__version__",
    "aio",
    "tables",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name == "__version__":
        return _version()
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)


def _version() -> str:
    from importlib import metadata

    return metadata.version("tipoff")
