"""Errors of live cameras.

TipoffError
├── InvalidInputError
│   └── SourceError              a text names no source, or what it names is none
└── UnavailableError
    └── CameraLostError          a camera cannot be reached, or stopped to answer
        └── CameraUnfitError     a camera answers, but what it sends cannot be used
"""

from __future__ import annotations

from tipoff.errors import InvalidInputError, UnavailableError


class SourceError(InvalidInputError):
    """A text names no source, or the file that it names is none; trying again does not help."""


class CameraLostError(UnavailableError):
    """A camera cannot be reached, or stopped to answer; it is tried again."""


class CameraUnfitError(CameraLostError):
    """What a camera sends cannot be used, such as a picture of another size.

    It is tried again, at the longest pause: a camera that has just started may send what it was
    delivered with until somebody, or it itself, sets it right.
    """
