"""The asyncio client against a real server: what it gives, also to callers that do not wait.

Client and server share the process' one loop for gRPC: grpc.aio bears no second one.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import Any

import pytest

import tipoff
from edge_node.description import EndReason
from tests.support.frames import make_frames
from tests.support.proxy import proxying
from tests.support.streams import (
    EAGER,
    HASTY,
    QUICK,
    make_ended_hub,
    make_hub,
    run_aio,
    serving,
    writing,
)
from tipoff.aio import AsyncClient, AsyncTrackStream
from tipoff.aio_connection import AsyncConnection
from tipoff.errors import DeadlineError, NotFoundError
from tipoff.snapshot import Heartbeat
from tipoff.stream_errors import SequenceOutOfRangeError, SessionFailedError


def test_a_session_is_followed_to_its_end() -> None:
    async def follow(address: str) -> None:
        async with AsyncClient(address) as client, client.stream_tracks(from_sequence=5) as stream:
            assert stream.header == await client.describe()
            assert [snapshot.sequence async for snapshot in stream] == list(range(5, 21))
            assert stream.end is not None
            assert (stream.end.reason, stream.end.last_sequence) == ("completed", 20)
            assert [snapshot async for snapshot in stream] == []

    with serving(make_ended_hub(20)) as (_, address):
        run_aio(follow(address))


def test_it_opens_when_it_is_iterated() -> None:
    async def follow(address: str) -> list[int]:
        async with tipoff.aio.AsyncClient(address) as client:
            return [s.sequence async for s in client.stream_tracks(from_sequence=1)]

    with serving(make_ended_hub(3)) as (_, address):
        assert run_aio(follow(address)) == [1, 2, 3]


def test_a_client_may_be_made_before_its_loop() -> None:
    async def follow() -> list[int]:
        async with client:
            await client.describe()
            return [s.sequence async for s in stream]

    with serving(make_ended_hub(3)) as (_, address):
        client = AsyncClient(address)
        stream = client.stream_tracks(from_sequence=1)
        assert run_aio(follow()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"session": "other"}, NotFoundError),
        ({"from_sequence": 42}, SequenceOutOfRangeError),
    ],
)
def test_a_wish_that_cannot_be_met_is_an_error_of_its_own(
    wish: dict[str, object], error: type[tipoff.TipoffError]
) -> None:
    async def follow(address: str) -> None:
        async with AsyncClient(address, EAGER) as client:
            with pytest.raises(error):
                await client.stream_tracks(**wish).open()  # type: ignore[arg-type]
            with pytest.raises(NotFoundError):
                await client.describe("other")

    with serving(make_hub(40)) as (_, address):
        run_aio(follow(address))


def test_a_session_that_failed_is_an_error_behind_its_last_snapshot() -> None:
    hub = make_hub(3)
    hub.end(EndReason.FAILED, "triton has gone")
    got: list[int] = []

    async def follow(address: str) -> None:
        async with AsyncClient(address) as client:
            async for snapshot in client.stream_tracks(from_sequence=1):
                got.append(snapshot.sequence)

    with serving(hub) as (_, address), pytest.raises(SessionFailedError, match="triton has gone"):
        run_aio(follow(address))
    assert got == [1, 2, 3]


def test_a_caller_that_takes_its_time_is_not_ended() -> None:
    async def follow(address: str) -> None:
        async with AsyncClient(address, EAGER) as client:
            stream = client.stream_tracks(from_sequence=1)
            await anext(stream)
            await asyncio.sleep(3 * QUICK.acknowledge_within_s)
            assert (await anext(stream)).sequence == 2
            assert stream.reconnects == 0

    limits = dataclasses.replace(QUICK, max_lag_s=20.0)
    with serving(make_hub(3), limits=limits) as (_, address):
        run_aio(follow(address))


def test_twenty_subscribers_at_once_get_the_same() -> None:
    hub = make_hub()

    async def follow(client: AsyncClient) -> list[int]:
        async with client.stream_tracks(from_sequence=1) as stream:
            return [snapshot.sequence async for snapshot in stream]

    async def follow_all(address: str) -> list[list[int]]:
        async with AsyncClient(address) as client:
            return await asyncio.gather(*(follow(client) for _ in range(20)))

    with serving(hub) as (_, address), writing(hub, make_frames(200), 0.005):
        got = run_aio(follow_all(address))
    assert got == [list(range(1, 201))] * 20


def test_a_callers_timeout_leaves_the_stream_where_it_was() -> None:
    """Also for a caller that asks again and again for a moment, while snapshots come."""
    hub = make_hub(1)
    got: list[int] = []

    async def follow(address: str) -> None:
        async with AsyncClient(address, EAGER) as client:
            stream = client.stream_tracks(from_sequence=1)
            events = stream.events()
            while stream.end is None:
                with contextlib.suppress(TimeoutError, StopAsyncIteration):
                    event = await asyncio.wait_for(anext(events), 0.003)
                    got.extend([event.sequence] if not isinstance(event, Heartbeat) else [])
            assert stream.reconnects == 0

    with serving(hub) as (_, address), writing(hub, make_frames(100, first=2), 0.01):
        run_aio(follow(address))
    assert got == list(range(1, 102))


def test_a_stream_is_opened_also_by_a_caller_that_asks_for_a_moment_at_a_time() -> None:
    async def follow() -> None:
        async with AsyncClient(proxy.address) as client:
            stream = client.stream_tracks(from_sequence=1)
            for _ in range(200):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        assert (await anext(stream)).sequence == 1
                        return
        raise AssertionError("it never opened")

    with serving(make_hub(1)) as (_, address), proxying(address) as proxy:
        proxy.delay_s = 0.2
        run_aio(follow())


def test_a_silent_connection_is_left_also_where_the_caller_waits_for_a_moment_at_a_time() -> None:
    limits = dataclasses.replace(QUICK, heartbeat_every_s=0.2, acknowledge_within_s=5.0)

    async def follow() -> None:
        async with (
            AsyncClient(proxy.address, EAGER) as client,
            client.stream_tracks(from_sequence=1) as stream,
        ):
            await anext(stream)
            proxy.hold()
            for _ in range(200):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await anext(stream)
                if isinstance(stream.outage, DeadlineError):
                    return
        raise AssertionError("its silence was never noticed")

    with serving(make_hub(1), limits=limits) as (_, address), proxying(address) as proxy:
        run_aio(follow())


def test_tasks_share_a_streams_snapshots() -> None:
    got: list[int] = []

    async def follow(stream: AsyncTrackStream) -> None:
        async for snapshot in stream:
            got.append(snapshot.sequence)
            await asyncio.sleep(0)

    async def follow_all(address: str) -> None:
        async with AsyncClient(address) as client:
            stream = client.stream_tracks(from_sequence=1)
            await asyncio.gather(*(follow(stream) for _ in range(3)))

    with serving(make_ended_hub(50)) as (_, address):
        run_aio(follow_all(address))
    assert got == list(range(1, 51))


def test_a_server_that_never_answers_is_given_up_also_by_a_caller_that_asks_for_a_moment() -> None:
    async def follow() -> None:
        async with AsyncClient(proxy.address, HASTY) as client:
            stream = client.stream_tracks()
            for _ in range(200):
                try:
                    async with asyncio.timeout(0.03):
                        await anext(stream)
                except TimeoutError as error:
                    if isinstance(error, DeadlineError):
                        return
        raise AssertionError("it was waited for without end")

    with serving(make_hub(1)) as (_, address), proxying(address) as proxy:
        proxy.hold()
        run_aio(follow())


def test_a_failure_is_told_also_where_the_caller_gave_up_while_the_stream_was_being_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closes = asyncio.Event()
    close = AsyncConnection.close

    async def close_slowly(connection: AsyncConnection) -> None:
        await close(connection)
        closes.set()
        await asyncio.sleep(60)

    async def follow() -> None:
        async with AsyncClient(proxy.address, HASTY) as client:
            for call in ("__anext__", "open"):
                closes.clear()
                stream = client.stream_tracks()
                asking = asyncio.create_task(getattr(stream, call)())
                await closes.wait()
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
                with pytest.raises(DeadlineError):
                    await getattr(stream, call)()
                assert [snapshot async for snapshot in stream] == []

    monkeypatch.setattr(AsyncConnection, "close", close_slowly)
    with serving(make_hub(1)) as (_, address), proxying(address) as proxy:
        proxy.hold()
        run_aio(follow())


def test_who_asks_for_a_moment_at_a_time_knocks_no_more_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    class Counted(AsyncConnection):
        def __init__(self, *arguments: Any) -> None:
            calls.append(time.monotonic())
            super().__init__(*arguments)

    async def follow(address: str) -> None:
        async with AsyncClient(address) as client:
            first = client.stream_tracks(from_sequence=1)
            await anext(first)
            stream = client.stream_tracks(from_sequence=1)
            until_s = time.monotonic() + 1.5
            while time.monotonic() < until_s:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await anext(stream)

    monkeypatch.setattr(tipoff.aio, "AsyncConnection", Counted)
    limits = dataclasses.replace(QUICK, max_subscribers=1)
    with serving(make_hub(1), limits=limits) as (_, address):
        run_aio(follow(address))
    # One that is taken, then tries after 0.1 s, 0.2 s, 0.4 s and so on.
    assert 2 < len(calls) < 12
