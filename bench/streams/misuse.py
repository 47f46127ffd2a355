"""A process full of subscribers that do harm: python -m bench.streams.misuse HOW ADDRESS COUNT S.

- ``stall``: subscribe to all that is held and never read, but acknowledge that they live.
- ``trickle``: read one byte a second of everything, over a socket of their own.
- ``storm``: try to subscribe again and again, refused or not, and say how long refusals took.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from typing import Any

import click
import grpc

from bench.streams.subscribers import METHOD, OPTIONS
from tipoff.status import BROKEN_WRITE
from tipoff.v1 import tracking_pb2 as pb

RENEW_EVERY_S = 5.0
"""A server has let go of who stalls by then; another one stalls."""
TRY_EVERY_S = 0.5
"""Pause of one that was refused; the client library begins with 0.1 s and doubles up to 2 s."""
REFUSED_WITHIN_S = 10.0
SUBSCRIBE = pb.StreamTracksRequest(subscribe=pb.Subscribe()).SerializeToString()
FROM_THE_START = pb.StreamTracksRequest(subscribe=pb.Subscribe(from_sequence=1)).SerializeToString()
"""All that is held: as much as can be on the way."""
ALIVE = pb.StreamTracksRequest(acknowledge=pb.Acknowledge()).SerializeToString()


def _call(channel: grpc.aio.Channel) -> Any:
    return channel.stream_stream(METHOD, None, None)()


async def stall(address: str, until_s: float) -> None:
    """Subscribe, never read, and stay; then another one does the same."""
    async with contextlib.AsyncExitStack() as stack:
        while time.monotonic() < until_s:
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(address, options=OPTIONS)
            )
            call = _call(channel)
            renew_s = min(time.monotonic() + RENEW_EVERY_S, until_s)
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(FROM_THE_START)
                while time.monotonic() < renew_s:
                    await call.write(ALIVE)
                    await asyncio.sleep(0.5)
            await asyncio.sleep(renew_s - time.monotonic())


async def trickle(address: str, until_s: float) -> None:
    """Subscribe over a relay that takes a byte a second from the server."""
    host, _, port = address.rpartition(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(host, int(port), limit=1)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, server_writer, None))
                both.create_task(_pump(server_reader, writer, 1.0))

    relaying = await asyncio.start_server(relay, "127.0.0.1", 0)
    near = relaying.sockets[0].getsockname()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{near[1]}", options=OPTIONS) as channel:
        call = _call(channel)
        with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError):
            async with asyncio.timeout_at(
                asyncio.get_running_loop().time() + until_s - time.monotonic()
            ):
                await call.write(SUBSCRIBE)
                while isinstance(await call.read(), bytes):
                    await call.write(ALIVE)
        call.cancel()
    relaying.close()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause_s: float | None
) -> None:
    # The handshake passes; what comes behind it is throttled.
    passed = 0
    while data := await reader.read(4096 if pause_s is None or passed < 2048 else 1):
        writer.write(data)
        await writer.drain()
        passed += len(data)
        if pause_s is not None and passed >= 2048:
            await asyncio.sleep(pause_s)


async def storm(address: str, until_s: float, refusals_ms: list[float]) -> None:
    """Try again as long as one is refused; stay where one is not."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        # Counted is from asking to the refusal, not how long a socket takes to connect.
        await channel.channel_ready()
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            call = _call(channel)
            try:
                async with asyncio.timeout(REFUSED_WITHIN_S):
                    await call.write(SUBSCRIBE)
                    while time.monotonic() < until_s and isinstance(await call.read(), bytes):
                        pass
            except grpc.aio.AioRpcError as error:
                if _refused(error):
                    refusals_ms.append((time.monotonic() - began_s) * 1e3)
            except TimeoutError:
                pass
            call.cancel()
            await asyncio.sleep(TRY_EVERY_S * random.uniform(0.5, 1.5))


def _refused(error: grpc.aio.AioRpcError) -> bool:
    # A refusal that is here before the Subscribe has gone out shows as a write that failed.
    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED or error.details() == BROKEN_WRITE


async def run(how: str, address: str, count: int, seconds: float) -> list[float]:
    """Misuse a server for so long; return how long refusals took, in ms."""
    until_s = time.monotonic() + seconds
    refusals_ms: list[float] = []
    if how == "storm":
        work = [storm(address, until_s, refusals_ms) for _ in range(count)]
    else:
        work = [(stall if how == "stall" else trickle)(address, until_s) for _ in range(count)]
    await asyncio.gather(*work)
    return refusals_ms


if __name__ == "__main__":
    found = asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
    click.echo(json.dumps({"refusals_ms": [round(ms, 3) for ms in found]}))
