"""grpc.health.v1 as every orchestrator asks for it: whether a session can be followed.

Each watcher has an event of its own, and nothing is held while it is written to: one that reads
nothing keeps neither the others nor the server waiting. Lives in the server's loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_WATCHES = 32
"""Most watches at one time: half of the calls that a server bears beside its streams."""
READ_WITHIN_S = 5.0
"""How long a watcher is given to take what it is told."""

Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers for names that are all served, or all not.

    Args:
        names: Whom it answers for.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._serving = self._leaving = self._over = False
        self._watchers: set[asyncio.Event] = set()

    def set(self, *, serving: bool) -> None:
        """Say whether they are served; nothing more is heard once they leave."""
        if not self._leaving:
            self._serving = serving
            self._wake()

    def leave(self) -> None:
        """Say that they are not served, for good."""
        self._leaving, self._serving = True, False
        self._wake()

    def end(self) -> None:
        """End the watches."""
        self._over = True
        self._wake()

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.set()

    def _state(self, name: str) -> int:
        if name not in self._names:
            return int(Response.SERVICE_UNKNOWN)
        return int(Response.SERVING if self._serving else Response.NOT_SERVING)

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> Any:  # noqa: N802
        """Say how a name stands."""
        state = self._state(request.service)
        if state == Response.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service; ask without a name")
        return Response(status=state)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:  # noqa: N802
        """Say how a name stands, and whenever that has changed."""
        if len(self._watchers) >= MAX_WATCHES:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{MAX_WATCHES} watches are all that this server takes: use Check",
            )
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            await self._tell(request.service, context, changed)
        finally:
            self._watchers.discard(changed)

    async def _tell(self, name: str, context: Context, changed: asyncio.Event) -> None:
        said: int | None = None
        while not self._over:
            changed.clear()
            state = self._state(name)
            if state != said:
                try:
                    async with asyncio.timeout(READ_WITHIN_S):
                        await context.write(Response(status=state))
                except TimeoutError:
                    return
                said = state
            # What has changed while it was written has set it.
            await changed.wait()
