"""Errors of the edge node.

TipoffError
├── InvalidInputError
│   ├── VideoError               a file is no video that can be read
│   ├── CameraMatchError         videos and cameras do not belong together
│   └── FrameSizeError           a video's picture does not fit its camera's calibration
└── InternalError
    └── SinkError                writing a result failed while tracking
"""

from __future__ import annotations

from tipoff.errors import InternalError, InvalidInputError


class VideoError(InvalidInputError):
    """A file is no video that can be read; the message says what stopped it."""


class CameraMatchError(InvalidInputError):
    """Videos and cameras do not belong together; the message lists both."""


class FrameSizeError(InvalidInputError):
    """A video's picture does not fit its camera's calibration."""


class SinkError(InternalError):
    """Writing a result failed while tracking."""
