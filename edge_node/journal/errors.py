"""Errors of the journal.

TipoffError
└── UnavailableError
    └── JournalError             the disk took nothing; the same commit may be tried again
        └── JournalFullError     because it is full
"""

from __future__ import annotations

from tipoff.errors import UnavailableError


class JournalError(UnavailableError):
    """The disk took nothing; the same commit may be tried again."""


class JournalFullError(JournalError):
    """The disk is full; older sessions may be pruned to make room."""
