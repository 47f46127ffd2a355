"""Bounds of the track stream's service."""

from __future__ import annotations

from dataclasses import dataclass

from edge_node.description import Terms
from edge_node.subscription import MAX_LAG_S

SUBSCRIBE_WITHIN_S = 5.0
"""How long a stream may be open without asking for anything."""
ACKNOWLEDGE_WITHIN_S = 5.0
"""Longest silence of a client: it should acknowledge every second."""
HEARTBEAT_EVERY_S = 1.0
"""How often every stream is told how things stand."""
LAST_ACKNOWLEDGE_WITHIN_S = 5.0
"""How long the end of a session waits until the client has acknowledged the last snapshot."""
MAX_SUBSCRIBERS = 256
"""Most streams at one time."""


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Bounds of the service."""

    max_subscribers: int = MAX_SUBSCRIBERS
    """Most streams at one time; more are refused."""
    subscribe_within_s: float = SUBSCRIBE_WITHIN_S
    """How long a stream may be open without asking for anything."""
    acknowledge_within_s: float = ACKNOWLEDGE_WITHIN_S
    """Longest silence of a client."""
    last_acknowledge_within_s: float = LAST_ACKNOWLEDGE_WITHIN_S
    """How long the end of a session waits for the last acknowledgement."""
    max_lag_s: float = MAX_LAG_S
    """Longest time from sending to acknowledgement."""
    heartbeat_every_s: float = HEARTBEAT_EVERY_S
    """Longest time between two messages of the server."""

    def terms(self) -> Terms:
        """Say what of it the client must know."""
        return Terms(
            acknowledge_within_ns=int(self.acknowledge_within_s * 1e9),
            max_lag_ns=int(self.max_lag_s * 1e9),
            heartbeat_every_ns=int(self.heartbeat_every_s * 1e9),
        )
