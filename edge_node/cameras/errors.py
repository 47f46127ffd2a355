"""Errors of live cameras.

TipoffError
├── InvalidInputError
│   └── SourceError              a text names no source, or what it names is none
└── UnavailableError
    └── CameraLostError          a camera cannot be reached, or stopped to answer
"""

from __future__ import annotations

from tipoff.errors import InvalidInputError, UnavailableError


class SourceError(InvalidInputError):
    """A text names no source, or the file that it names is none; trying again does not help."""


class CameraLostError(UnavailableError):
    """A camera cannot be reached, or stopped to answer; it is tried again."""
