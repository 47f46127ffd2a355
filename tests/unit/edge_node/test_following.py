"""One stream's end, at the worst moment for it."""

from __future__ import annotations

import asyncio
from typing import Any

from edge_node.description import EndReason
from edge_node.following import Draining, Follower
from edge_node.hub import Hub
from edge_node.limits import ServiceLimits
from edge_node.outlet import Outlet, Stream
from edge_node.subscription import Subscription, Wish
from tests.support.streams import make_hub

HEARTBEAT = b"a heartbeat"
WITHIN_S = 10.0


class EndsMeanwhile:
    """A client; while a heartbeat is written to it the session ends and the server shuts down."""

    def __init__(self, hub: Hub, draining: Draining) -> None:
        self.hub, self.draining = hub, draining
        self.sent: list[bytes] = []

    def peer(self) -> str:
        """Its address."""
        return "ipv4:127.0.0.1:5000"

    async def write(self, message: bytes) -> None:
        """Take a message."""
        self.sent.append(message)
        if message == HEARTBEAT:
            await asyncio.sleep(0)
            self.hub.end(EndReason.STOPPED, "by hand")
            self.draining.begin(WITHIN_S)

    async def read(self) -> Any:
        """Say nothing."""
        await asyncio.Event().wait()


def test_an_end_that_comes_while_a_heartbeat_is_written_is_told() -> None:
    async def follow() -> list[bytes]:
        hub, draining = make_hub(3), Draining()
        stream = Stream(Outlet(hub), Subscription(hub, Wish(1)))
        client: Any = EndsMeanwhile(hub, draining)
        limits = ServiceLimits(last_acknowledge_within_s=0.1)
        following = asyncio.ensure_future(Follower(limits, draining, None).follow(stream, client))
        while len(client.sent) < 3:
            await asyncio.sleep(0)
        stream.heartbeat = HEARTBEAT
        stream.wake.set()
        await asyncio.wait_for(following, WITHIN_S)
        assert hub.ended is not None
        assert client.sent[-1] == hub.ended.message
        return list(client.sent)

    assert len(asyncio.run(follow())) == 5
