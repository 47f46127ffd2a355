"""Callers of the asyncio client that give up at any step, over a network that breaks."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from tests.support.frames import make_frames
from tests.support.proxy import Proxy, proxying, random_lives_bytes
from tests.support.streams import EAGER, PATIENCE_S, make_hub, run_aio, serving, writing
from tipoff.aio import AsyncClient, AsyncTrackStream
from tipoff.snapshot import Snapshot

NIGHTS = int(os.environ.get("TIPOFF_NIGHTS", "40")) // 10
COUNT = 150
STEPS = 12
"""Steps of the loop after which a caller gives up, at most."""


class _Callers:
    """Asks for what comes next in all ways there are, and gives up now and then."""

    def __init__(self, stream: AsyncTrackStream, draw: random.Random) -> None:
        self.stream, self.draw = stream, draw
        self.events = stream.events()
        self.got: list[int] = []
        self.over = False

    async def _next(self) -> None:
        """Take the next snapshot; between that and noting it nobody can give up."""
        snapshot = await anext(self.stream, None)
        self._note(snapshot)

    async def _event(self) -> None:
        event = await anext(self.events, None)
        self._note(event)

    async def _open(self) -> None:
        if not self.over:
            await self.stream.open()

    def _note(self, event: object) -> None:
        self.over = self.over or event is None
        if isinstance(event, Snapshot):
            self.got.append(event.sequence)

    async def ask(self) -> None:
        """Have one or two of them ask, and let each be cancelled after some steps, or not."""
        ways = self.draw.sample((self._next, self._event, self._open), self.draw.choice((1, 1, 2)))
        tasks = [asyncio.create_task(way()) for way in ways]
        for _ in range(self.draw.randrange(STEPS)):
            await asyncio.sleep(0)
        for task in tasks:
            if self.draw.random() < 0.6:
                task.cancel()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S)
        errors = [one for one in done if isinstance(one, Exception)]
        # The stream may end while another one opens it.
        assert not errors or self.over, errors


async def _follow(proxy: Proxy, draw: random.Random) -> list[int]:
    strange: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: strange.append(context))
    try:
        async with AsyncClient(proxy.address, EAGER) as client:
            stream = client.stream_tracks(from_sequence=1)
            callers = _Callers(stream, draw)
            while not callers.over:
                await callers.ask()
                if draw.random() < 0.1:
                    proxy.cut()
            assert stream.end is not None
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
    assert not strange
    return callers.got


@pytest.mark.parametrize("seed", range(NIGHTS))
def test_callers_that_give_up_at_any_step_miss_and_repeat_nothing(seed: int) -> None:
    hub = make_hub(COUNT // 2)
    rest = make_frames(COUNT - COUNT // 2, first=COUNT // 2 + 1)
    with (
        serving(hub) as (_, address),
        proxying(address, random_lives_bytes(6, seed)) as proxy,
        writing(hub, rest),
    ):
        got = run_aio(_follow(proxy, random.Random(seed)))
    assert got == list(range(1, COUNT + 1))
