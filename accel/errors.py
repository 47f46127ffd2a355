"""What `accel` raises.

Statuses and exit codes are those of the parents in `tipoff.errors`:

    TipoffError
    └── InvalidInputError
        ├── CalibrationError               a rig that cannot be
        │   ├── CalibrationFileError       a file that does not hold one
        │   │   └── UnsupportedCameraError a camera model that a Rig cannot hold
        │   └── AlignmentError             points that do not place a rig on the court
        ├── CheckpointError                bytes that a tracker cannot continue from
        └── TimeOutOfRangeError            a time that the tracker no longer or not yet knows
            └── NotYetError                it will know it when more has been observed
"""

from __future__ import annotations

from tipoff.errors import CalibrationError, InvalidInputError, TimeOutOfRangeError, TipoffError


class CalibrationFileError(CalibrationError):
    """A calibration file is missing, broken or incomplete; `ids` name file, camera and field."""


class UnsupportedCameraError(CalibrationFileError):
    """A file describes a camera model that a Rig cannot hold, such as a fisheye."""


class AlignmentError(CalibrationError):
    """The named points do not determine where the rig stands on the court."""


class CheckpointError(InvalidInputError):
    """A checkpoint is damaged, or of another version, rig or instruction set."""


class NotYetError(TimeOutOfRangeError):
    """The observations that a smoothed snapshot rests on have not come yet; ask again later."""

    retryable = True


__all__ = [
    "AlignmentError",
    "CalibrationError",
    "CalibrationFileError",
    "CheckpointError",
    "InvalidInputError",
    "NotYetError",
    "TimeOutOfRangeError",
    "TipoffError",
    "UnsupportedCameraError",
]
