"""Errors of the journal.

TipoffError
├── UnavailableError
│   ├── JournalError             the disk takes or gives nothing now; the same may be tried again
│   │   └── JournalFullError     because it is full
│   └── JournalPrunedError       its node pruned it while it was read
├── JournalDamagedError          a record is not what was written
│   └── ReplayDifferedError      the tracker, run again, gave something else
└── ConflictError
    └── JournalBusyError         another process writes it
"""

from __future__ import annotations

from tipoff.errors import ConflictError, TipoffError, UnavailableError


class JournalError(UnavailableError):
    """The disk took nothing, or does not let itself be read; the same may be tried again."""


class JournalFullError(JournalError):
    """The disk is full; older sessions may be pruned to make room."""


class JournalPrunedError(UnavailableError):
    """Files went while they were read; whoever begins again reads what is left."""


class JournalDamagedError(TipoffError):
    """A record is not what was written; the message says which, and what is wrong with it."""

    status = "DATA_LOSS"


class ReplayDifferedError(JournalDamagedError):
    """The tracker, run again from the journal, gave something else than was written."""


class JournalBusyError(ConflictError):
    """Another process writes the journal."""
