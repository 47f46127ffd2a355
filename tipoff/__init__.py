"""The face of Tipoff for Python users.

Names are loaded when they are first used, so that `import tipoff.errors` costs nothing: the core
and the models inside Triton import it where nothing else of this package is installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tipoff.errors import TipoffError as TipoffError

_HOMES = {
    "TipoffError": "tipoff.errors",
}

__all__ = ["TipoffError", "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name == "__version__":
        return _version()
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
