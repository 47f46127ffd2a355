"""A hub and those who follow it: who is woken when, and what all are told at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_node.hub import Hub
    from edge_node.subscription import Subscription


@dataclass(slots=True, eq=False)
class Stream:
    """One subscriber's stream."""

    outlet: Outlet
    """Whom it follows."""
    subscription: Subscription
    """Its place."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there may be something to send."""
    heard_s: float = field(default_factory=time.monotonic)
    """When its client was heard last."""
    closed_by_client: bool = False
    """Whether the client has said all that it will."""
    heartbeat: bytes = b""
    """The one that is to be sent; a newer one takes its place, so that none pile up."""


@dataclass(slots=True, eq=False)
class Outlet:
    """A hub and those who follow it."""

    hub: Hub
    """What is followed."""
    streams: set[Stream] = field(default_factory=set)
    """Who follows."""
    changes: int = 0
    """How often what is said of the node had changed when it was told last."""
    beat_s: float = 0.0
    """When it was told last."""
    listener: Callable[[], None] | None = None
    """Called by the hub when there is something new."""

    def wake(self) -> None:
        """Have every stream look for what is new."""
        changes = self.hub.look()
        if changes != self.changes:
            self.changes = changes
            self.beat()
        for stream in self.streams:
            stream.wake.set()

    def beat(self) -> None:
        """Give every stream a heartbeat."""
        self.beat_s = time.monotonic()
        if not self.streams:
            return
        heartbeat = self.hub.heartbeat()
        for stream in self.streams:
            stream.heartbeat = heartbeat
            stream.wake.set()
