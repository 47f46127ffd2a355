"""Errors of live sessions.

TipoffError
└── InvalidInputError
    └── SessionFileError         a session file cannot be read, or says what cannot be
"""

from __future__ import annotations

from tipoff.errors import InvalidInputError


class SessionFileError(InvalidInputError):
    """A session file cannot be read, or says what cannot be; the message names line and remedy."""
