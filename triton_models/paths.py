"""Where things lie on this machine: caches and state, by the XDG base directories."""

from __future__ import annotations

import os
from pathlib import Path


def _base(variable: str, default: str) -> Path:
    """Return the folder that an XDG variable names; a relative value counts as unset."""
    value = os.environ.get(variable, "")
    folder = Path(value) if value else Path()
    return folder if folder.is_absolute() else Path.home() / default


def cache_dir() -> Path:
    """Return the folder of everything that can be made again: environments, weights."""
    return _base("XDG_CACHE_HOME", ".cache") / "tipoff"


def weights_dir() -> Path:
    """Return the weights store: ``<name>/model.onnx`` and ``<name>/manifest.json``."""
    return cache_dir() / "models"


def state_dir() -> Path:
    """Return the folder of what is running: one folder for each started server."""
    return _base("XDG_STATE_HOME", ".local/state") / "tipoff"


def servers_dir() -> Path:
    """Return the folder that holds the run folders of the Triton servers."""
    return state_dir() / "triton"
