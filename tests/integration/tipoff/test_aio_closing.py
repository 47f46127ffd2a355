"""What is left of an asyncio client that is closed, left or cancelled."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import threading
from typing import Any

import grpc
import pytest

from tests.support.streams import (
    EAGER,
    QUICK,
    make_hub,
    open_descriptors,
    run_aio,
    serving,
    wait_until,
)
from tipoff.aio import AsyncClient, AsyncTrackStream
from tipoff.errors import ConflictError


def test_a_task_that_is_cancelled_leaves_nothing_behind() -> None:
    async def wait_for_ever(client: AsyncClient) -> None:
        async with client.stream_tracks() as stream:
            async for _ in stream:
                pass

    async def come_and_go(address: str) -> None:
        before = len(asyncio.all_tasks())
        async with AsyncClient(address) as client:
            waiting = [asyncio.create_task(wait_for_ever(client)) for _ in range(3)]
            await asyncio.sleep(0.05)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) == before

    with serving(make_hub(5)) as (server, address):
        run_aio(come_and_go(address))
        gc.collect()
        before = open_descriptors(), threading.active_count()
        for _ in range(10):
            run_aio(come_and_go(address))
        gc.collect()
        wait_until(lambda: threading.active_count() <= before[1], "its threads end")
        wait_until(lambda: open_descriptors() <= before[0], "its sockets close")
        wait_until(lambda: server.subscribers == 0, "the server forgets it")


@pytest.mark.parametrize("which", ["stream", "client"])
def test_closing_ends_a_task_that_waits_and_cancels_nothing(which: str) -> None:
    async def follow(address: str) -> None:
        client = AsyncClient(address)
        stream = client.stream_tracks(from_sequence=1)

        async def iterate() -> list[int]:
            return [snapshot.sequence async for snapshot in stream]

        waiting = asyncio.create_task(iterate())
        await asyncio.sleep(0.2)
        await (stream if which == "stream" else client).close()
        assert await waiting == [1]
        assert stream.end is None
        await stream.close()
        await client.close()
        with pytest.raises(ConflictError, match="has been closed"):
            client.stream_tracks()
        with pytest.raises(ConflictError, match="has been closed"):
            await client.describe()

    with serving(make_hub(1)) as (server, address):
        run_aio(follow(address))
        wait_until(lambda: server.subscribers == 0, "the server knows")


def test_a_stream_that_is_left_is_closed() -> None:
    async def follow(address: str) -> None:
        async with AsyncClient(address, EAGER) as client:
            for _ in range(5):
                async for _ in client.stream_tracks(from_sequence=1):
                    break
            for _ in range(200):
                await asyncio.sleep(0.05)
                if server.subscribers == 0:
                    return
        raise AssertionError("the server still has its streams")

    limits = dataclasses.replace(QUICK, max_lag_s=60.0)
    with serving(make_hub(5), limits=limits) as (server, address):
        run_aio(follow(address))


def test_a_client_whose_closing_is_cancelled_keeps_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closes = asyncio.Event()

    async def close_slowly(_stream: AsyncTrackStream) -> None:
        closes.set()
        await asyncio.sleep(60)

    async def follow() -> None:
        client = AsyncClient(address)
        stream = client.stream_tracks(from_sequence=1)
        await anext(stream)
        channel: Any = client._channel
        closing = asyncio.create_task(client.close())
        await closes.wait()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(grpc.aio.UsageError, match="closed"):
            channel.unary_unary("/any")(b"")

    monkeypatch.setattr(AsyncTrackStream, "close", close_slowly)
    with serving(make_hub(1)) as (server, address):
        run_aio(follow())
        wait_until(lambda: server.subscribers == 0, "the server forgets it")
