"""The asyncio client through a network that breaks, and with servers that come and go."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from tests.support.frames import make_frame, make_frames
from tests.support.proxy import Proxy, proxying, random_lives_bytes
from tests.support.streams import (
    EAGER,
    HASTY,
    QUICK,
    SOON_HOPELESS,
    make_hub,
    run_aio,
    serving,
    writing,
)
from tipoff.aio import AsyncClient
from tipoff.errors import DeadlineError, UnavailableError
from tipoff.snapshot import Heartbeat


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    async def follow() -> None:
        async with AsyncClient(proxy.address, HASTY) as client:
            await client.describe()
            proxy.hold()
            with pytest.raises(DeadlineError, match="did not open"):
                await client.stream_tracks().open()

    with serving(make_hub(1)) as (_, address), proxying(address) as proxy:
        run_aio(follow())


def test_an_outage_that_lasts_is_an_error() -> None:
    async def follow(address: str) -> None:
        async with AsyncClient(address, SOON_HOPELESS) as client:
            stream = client.stream_tracks()
            assert (await anext(stream)).sequence == 2
            proxy.refusing = True
            proxy.cut()
            with pytest.raises((UnavailableError, DeadlineError)):
                await anext(stream)
            assert stream.outage is not None

    with serving(make_hub(2)) as (_, address), proxying(address) as proxy:
        run_aio(follow(proxy.address))


def test_a_network_that_breaks_all_the_time_misses_and_repeats_nothing() -> None:
    hub = make_hub()
    lives_bytes = random_lives_bytes(60, seed=3)

    async def follow(address: str) -> list[int]:
        async with (
            AsyncClient(address, EAGER) as client,
            client.stream_tracks(from_sequence=1) as stream,
        ):
            return [snapshot.sequence async for snapshot in stream]

    with (
        serving(hub) as (_, address),
        proxying(address, lives_bytes) as proxy,
        writing(hub, make_frames(1000)),
    ):
        got = run_aio(follow(proxy.address))
    assert got == list(range(1, 1001))
    assert not proxy.cuts_left
    assert proxy.accepted > len(lives_bytes)


def test_a_server_that_starts_again_under_a_new_epoch_is_followed_and_told() -> None:
    async def follow(address: str) -> None:
        async with AsyncClient(address, EAGER) as client:
            stream = client.stream_tracks(from_sequence=19)
            got = [await anext(stream) for _ in range(2)]
            proxy.target = second
            await asyncio.to_thread(first.stop)
            got += [await anext(stream) for _ in range(2)]
        places = [(snapshot.epoch, snapshot.sequence) for snapshot in got]
        assert places == [(1, 19), (1, 20), (2, 1), (2, 2)]
        assert [gap.reason for gap in got[2].gap_before] == ["epoch_over"]

    with (
        serving(make_hub(20)) as (first, address),
        serving(make_hub(2, epoch=2)) as (_, second),
        proxying(address) as proxy,
    ):
        run_aio(follow(proxy.address))


def test_events_bring_heartbeats_and_a_silent_connection_is_left() -> None:
    limits = dataclasses.replace(QUICK, heartbeat_every_s=0.2, acknowledge_within_s=5.0)
    hub = make_hub(1)

    async def follow(proxy: Proxy) -> None:
        async with (
            AsyncClient(proxy.address, EAGER) as client,
            client.stream_tracks(from_sequence=1) as stream,
        ):
            assert (await anext(stream)).sequence == 1
            events = stream.events()
            assert isinstance(await anext(events), Heartbeat)
            proxy.hold()
            hub.write(make_frame(2))
            asyncio.get_running_loop().call_later(1.5, proxy.release)
            assert (await anext(stream)).sequence == 2
            assert stream.reconnects == 1
            assert stream.availability is None

    with serving(hub, limits=limits) as (_, address), proxying(address) as proxy:
        run_aio(follow(proxy))


def test_a_stream_is_resumed_where_the_header_takes_long() -> None:
    hub = make_hub(2)

    async def follow() -> None:
        async with AsyncClient(proxy.address) as client:
            stream = client.stream_tracks(from_sequence=1)
            assert [(await anext(stream)).sequence for _ in range(2)] == [1, 2]
            proxy.delay_s = 0.8
            proxy.cut()
            asyncio.get_running_loop().call_later(2.0, hub.write, make_frame(3))
            assert (await anext(stream)).sequence == 3
            assert stream.reconnects == 1

    with serving(hub) as (_, address), proxying(address) as proxy:
        run_aio(follow())
