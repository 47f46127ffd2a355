"""What can go wrong with a stream of tracks, as both of its ends name it."""

from __future__ import annotations

from tipoff.errors import InvalidInputError, TipoffError, UnavailableError


class SequenceOutOfRangeError(InvalidInputError):
    """The sequence asked for lies beyond the next one to come."""

    status = "OUT_OF_RANGE"


class OverloadedError(UnavailableError):
    """The server has no room for this subscriber, or the subscriber could not follow."""

    status = "RESOURCE_EXHAUSTED"


class SessionFailedError(TipoffError):
    """The session that was followed came to an end because the tracking failed."""

    status = "ABORTED"
