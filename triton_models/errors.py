"""Errors of the models' room.

TipoffError
└── ModelError                FAILED_PRECONDITION: a model is not usable as it stands
    ├── ModelNotFoundError    NOT_FOUND: no such model in the store
    ├── ModelFormatError      INVALID_ARGUMENT: a file is not a model that we can run
    └── WeightsError          DATA_LOSS: weights differ from what their manifest or our pins say
        └── DownloadError     UNAVAILABLE, retryable: the weights did not arrive
"""

from __future__ import annotations

from typing import ClassVar

from tipoff.errors import TipoffError


class ModelError(TipoffError):
    """A model is not usable as it stands."""

    status: ClassVar[str] = "FAILED_PRECONDITION"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 4


class ModelNotFoundError(ModelError):
    """The store has no model of that name; the message names the command that gets it."""

    status: ClassVar[str] = "NOT_FOUND"


class ModelFormatError(ModelError):
    """A file is not a model that we can run; the message says what was found and what is accepted."""

    status: ClassVar[str] = "INVALID_ARGUMENT"
    exit_code: ClassVar[int] = 2


class WeightsError(ModelError):
    """Weights differ from what their manifest or our pinned digests say."""

    status: ClassVar[str] = "DATA_LOSS"


class DownloadError(WeightsError):
    """The weights did not arrive: no client, no network, no room on the disk."""

    status: ClassVar[str] = "UNAVAILABLE"
    retryable: ClassVar[bool] = True
    exit_code: ClassVar[int] = 5
