"""Every error that Tipoff raises on purpose.

Each says what happened, why, and what to do; carries the ids needed to act; and knows the gRPC
status that it becomes on the wire, whether trying again can help, and the exit code of a command
that ends with it. The tree, with what the rooms add in modules of their own:

    TipoffError                            UNKNOWN             exit 1
    ├── InvalidInputError                  INVALID_ARGUMENT    exit 2   also a ValueError
    │   ├── CalibrationError               INVALID_ARGUMENT    exit 2
    │   │   ├── CalibrationFileError       INVALID_ARGUMENT    exit 2   accel
    │   │   │   └── UnsupportedCameraError INVALID_ARGUMENT    exit 2   accel
    │   │   └── AlignmentError             INVALID_ARGUMENT    exit 2   accel
    │   ├── CheckpointError                INVALID_ARGUMENT    exit 2   accel
    │   ├── TimeOutOfRangeError            OUT_OF_RANGE        exit 2
    │   │   └── NotYetError                OUT_OF_RANGE        exit 2   retry, accel
    │   ├── VideoError                     INVALID_ARGUMENT    exit 2   edge_node
    │   ├── CameraMatchError               INVALID_ARGUMENT    exit 2   edge_node
    │   ├── FrameSizeError                 INVALID_ARGUMENT    exit 2   edge_node
    │   ├── SourceError                    INVALID_ARGUMENT    exit 2   edge_node
    │   ├── SessionFileError               INVALID_ARGUMENT    exit 2   edge_node
    │   ├── SequenceOutOfRangeError        OUT_OF_RANGE        exit 2   tipoff
    │   └── BadRequestError                INVALID_ARGUMENT    exit 2   triton_models
    ├── NotFoundError                      NOT_FOUND           exit 3   also a LookupError
    │   └── NotServedError                 NOT_FOUND           exit 3   triton_models
    ├── ConflictError                      FAILED_PRECONDITION exit 4
    │   ├── JournalBusyError               FAILED_PRECONDITION exit 4   edge_node
    │   └── PortTakenError                 FAILED_PRECONDITION exit 4   triton_models
    ├── UnavailableError                   UNAVAILABLE         exit 5   retry
    │   ├── OverloadedError                RESOURCE_EXHAUSTED  exit 5   retry, tipoff
    │   ├── CameraLostError                UNAVAILABLE         exit 5   retry, edge_node
    │   ├── JournalError                   UNAVAILABLE         exit 5   retry, edge_node
    │   │   └── JournalFullError           UNAVAILABLE         exit 5   retry, edge_node
    │   ├── JournalPrunedError             UNAVAILABLE         exit 5   retry, edge_node
    │   ├── ServerUnavailableError         UNAVAILABLE         exit 5   retry, triton_models
    │   └── SlotsBusyError                 UNAVAILABLE         exit 5   retry, triton_models
    ├── DeadlineError                      DEADLINE_EXCEEDED   exit 6   retry, also a TimeoutError
    │   └── CallTimedOutError              DEADLINE_EXCEEDED   exit 6   retry, triton_models
    ├── InternalError                      INTERNAL            exit 70
    │   ├── SinkError                      INTERNAL            exit 70  edge_node
    │   ├── EnvironmentBrokenError         INTERNAL            exit 70  triton_models
    │   ├── ServerStartError               INTERNAL            exit 70  triton_models
    │   └── ModelFailedError               INTERNAL            exit 70  triton_models
    ├── SessionFailedError                 ABORTED             exit 1   tipoff
    ├── JournalDamagedError                DATA_LOSS           exit 1   edge_node
    │   └── ReplayDifferedError            DATA_LOSS           exit 1   edge_node
    └── ModelError                         FAILED_PRECONDITION exit 4   triton_models
        ├── ModelNotFoundError             NOT_FOUND           exit 3   triton_models
        ├── ModelFormatError               INVALID_ARGUMENT    exit 2   triton_models
        ├── StoreError                     UNAVAILABLE         exit 5   retry, triton_models
        └── WeightsError                   DATA_LOSS           exit 1   triton_models
            └── DownloadError              UNAVAILABLE         exit 5   retry, triton_models

This module imports the standard library alone: the core and the models inside Triton use it too.
"""

from __future__ import annotations

from typing import ClassVar


class TipoffError(Exception):
    """The root: anything that Tipoff raises on purpose.

    Args:
        message: What happened, why, and what to do; for a person.
        **ids: What the message is about (a camera, a track, a model), for a program.
    """

    status: ClassVar[str] = "UNKNOWN"
    """Name of the gRPC status that this becomes on the wire."""
    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without a change by the caller."""
    exit_code: ClassVar[int] = 1
    """What a command exits with."""

    def __init__(self, message: str, **ids: object) -> None:
        super().__init__(message)
        self.message = message
        self.ids: dict[str, object] = dict(ids)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the ids when the error crosses to another process."""
        return (_rebuild, (type(self), self.message, self.ids))


def _rebuild(kind: type[TipoffError], message: str, ids: dict[str, object]) -> TipoffError:
    error = kind.__new__(kind, message)
    TipoffError.__init__(error, message, **ids)
    return error


class InvalidInputError(TipoffError, ValueError):
    """What was given cannot be used: a wrong shape, value, file or combination."""

    status = "INVALID_ARGUMENT"
    exit_code = 2


class CalibrationError(InvalidInputError):
    """A camera calibration cannot be read, is not one, or says what a Rig cannot hold."""


class TimeOutOfRangeError(InvalidInputError):
    """The time asked for lies before what is kept or after what can be predicted."""

    status = "OUT_OF_RANGE"


class NotFoundError(TipoffError, LookupError):
    """A thing asked for by name is not there: a camera, a model, a session, a file."""

    status = "NOT_FOUND"
    exit_code = 3


class ConflictError(TipoffError):
    """The state of things forbids it: a taken port, a held lease, a moved epoch."""

    status = "FAILED_PRECONDITION"
    exit_code = 4


class UnavailableError(TipoffError):
    """A server or program that is needed does not answer now."""

    status = "UNAVAILABLE"
    retryable = True
    exit_code = 5


class DeadlineError(TipoffError, TimeoutError):
    """It took longer than it was allowed to."""

    status = "DEADLINE_EXCEEDED"
    retryable = True
    exit_code = 6


class InternalError(TipoffError):
    """Tipoff itself is wrong; the message asks for a report."""

    status = "INTERNAL"
    exit_code = 70
