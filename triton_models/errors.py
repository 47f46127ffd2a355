"""Errors of the models' room.

TipoffError
├── ModelError                    FAILED_PRECONDITION: a model is not usable as it stands
│   ├── ModelNotFoundError        NOT_FOUND: no such model in the store
│   ├── ModelFormatError          INVALID_ARGUMENT: a file is not a model that we can run
│   ├── StoreError                UNAVAILABLE, retryable: the weights store cannot be written
│   └── WeightsError              DATA_LOSS: weights differ from their manifest or our pins
│       └── DownloadError         UNAVAILABLE, retryable: the weights did not arrive
├── InvalidInputError
│   └── BadRequestError           a model refused its input, and says why
├── NotFoundError
│   └── NotServedError            the server has no model of that name
├── ConflictError
│   └── PortTakenError            another process listens on the port that was asked for
├── UnavailableError              retryable
│   ├── ServerUnavailableError    nothing answers at the address, or a model's process died
│   └── SlotsBusyError            all shared-memory slots are in use
├── DeadlineError
│   └── CallTimedOutError         the server did not answer in time
└── InternalError
    ├── EnvironmentBrokenError    the models' environment or the server cannot be used
    ├── ServerStartError          tritonserver ended, or its models never answered
    └── ModelFailedError          a model failed on a request that it had accepted
"""

from __future__ import annotations

from typing import ClassVar

from tipoff.errors import (
    ConflictError,
    DeadlineError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    TipoffError,
    UnavailableError,
)


class ModelError(TipoffError):
    """A model is not usable as it stands."""

    status: ClassVar[str] = "FAILED_PRECONDITION"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 4


class ModelNotFoundError(ModelError):
    """The store has no model of that name; the message names the command that gets it."""

    status: ClassVar[str] = "NOT_FOUND"
    exit_code: ClassVar[int] = 3


class ModelFormatError(ModelError):
    """A file is no model that we can run; the message says what was found and what is taken."""

    status: ClassVar[str] = "INVALID_ARGUMENT"
    exit_code: ClassVar[int] = 2


class StoreError(ModelError):
    """The weights store cannot be written: no room, or no right to."""

    status: ClassVar[str] = "UNAVAILABLE"
    retryable: ClassVar[bool] = True
    exit_code: ClassVar[int] = 5


class WeightsError(ModelError):
    """Weights differ from what their manifest or our pinned digests say."""

    status: ClassVar[str] = "DATA_LOSS"
    exit_code: ClassVar[int] = 1


class DownloadError(WeightsError):
    """The weights did not arrive: no client, no network, no room on the disk."""

    status: ClassVar[str] = "UNAVAILABLE"
    retryable: ClassVar[bool] = True
    exit_code: ClassVar[int] = 5


class BadRequestError(InvalidInputError):
    """A model refused its input; the message says what is wrong with it."""


class NotServedError(NotFoundError):
    """The server has no model of that name."""


class PortTakenError(ConflictError):
    """Another process listens on the port that was asked for."""


class ServerUnavailableError(UnavailableError):
    """Nothing answers at the address, or a model's process has died."""


class SlotsBusyError(UnavailableError):
    """All shared-memory slots are in use: more requests in flight than there are slots."""


class CallTimedOutError(DeadlineError):
    """The server did not answer before the deadline of the call."""


class EnvironmentBrokenError(InternalError):
    """The models' environment or the server binary cannot be used."""


class ServerStartError(InternalError):
    """The server ended while it started, or its models never answered a request."""


class ModelFailedError(InternalError):
    """A model failed on a request that it had accepted."""
