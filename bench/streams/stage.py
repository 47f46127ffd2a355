"""A server with its feed, as suite=streams measures it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from bench.streams.feed import Commit, Feed, Spent, describe, make_frames
from bench.streams.layouts import LAYOUTS
from edge_node.hub import Hub
from edge_node.server import ServerOptions, StreamServer
from edge_node.service import ServiceLimits

PEOPLE = 13


def be_quiet() -> None:
    """Let the server log nothing below a warning: subscribers that end are what is measured."""
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=quiet)


class Stage:
    """A server with its feed, until it is closed."""

    def __init__(self, layout: str, rate_hz: float, seed: int, limits: ServiceLimits) -> None:
        """Begin to feed and to serve."""
        self.hub = Hub(describe())
        self._folder = tempfile.TemporaryDirectory()
        self._commit = Commit(Path(self._folder.name) / "commits.sqlite")
        self.server = StreamServer([self.hub], ServerOptions("127.0.0.1:0", limits, 0.5))
        self.address = self.server.start()
        frames = make_frames(PEOPLE, seed)
        encode = LAYOUTS[layout]
        self.feed = Feed(self.hub, frames, encode, self._commit, rate_hz)

    def close(self) -> Spent:
        """Stop everything; say what the feed took."""
        spent = self.feed.close()
        self.server.stop()
        self._commit.close()
        self._folder.cleanup()
        return spent


@contextmanager
def staged(
    layout: str, rate_hz: float, seed: int, limits: ServiceLimits | None = None
) -> Iterator[Stage]:
    """Give a stage."""
    stage = Stage(layout, rate_hz, seed, limits or ServiceLimits())
    try:
        yield stage
    finally:
        stage.close()
