"""A process full of subscribers: python -m bench.streams.subscribers ADDRESS COUNT SECONDS.

Each has a connection of its own and acknowledges twice a second. What is measured is the time from
a snapshot's own time to its arrival, on the same machine's clock; nothing is decoded, so that the
subscribers take as little as they can of the machine that they share with the server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import click
import grpc

from bench.streams.layouts import head
from tipoff.v1 import tracking_pb2 as pb

METHOD = "/tipoff.v1.TrackingService/StreamTracks"
ACKNOWLEDGE_EVERY_S = 0.5
OPEN_WITHIN_S = 20.0
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


@dataclass(slots=True)
class Heard:
    """What one subscriber got."""

    latencies_ms: list[float] = field(default_factory=list)
    """From a snapshot's time to its arrival."""
    first: int = 0
    """First sequence."""
    newest: int = 0
    """Newest sequence."""
    holes: int = 0
    """Sequences that are missing between."""
    error: str = ""
    """How it ended, where it did not last."""


def _acknowledge(sequence: int) -> bytes:
    acknowledge = pb.Acknowledge(sequence=sequence)
    return pb.StreamTracksRequest(acknowledge=acknowledge).SerializeToString()


async def follow(address: str, heard: Heard, until_s: float, warm_s: float) -> None:
    """Follow until a time of `time.monotonic`, counting latencies from ``warm_s`` on."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        call: Any = channel.stream_stream(METHOD, None, None)()
        await call.write(pb.StreamTracksRequest(subscribe=pb.Subscribe()).SerializeToString())
        acknowledging = asyncio.create_task(_acknowledge_often(call, heard))
        try:
            while time.monotonic() < until_s:
                message = await call.read()
                _note(message, heard, warm_s)
        except grpc.aio.AioRpcError as error:
            heard.error = f"{error.code().name}: {error.details()}"
        finally:
            acknowledging.cancel()
            call.cancel()
            await asyncio.gather(acknowledging, return_exceptions=True)


async def _acknowledge_often(call: Any, heard: Heard) -> None:
    while True:
        await asyncio.sleep(ACKNOWLEDGE_EVERY_S)
        await call.write(_acknowledge(heard.newest))


def _note(message: object, heard: Heard, warm_s: float) -> None:
    now_ns = time.time_ns()
    if not isinstance(message, bytes):
        raise EOFError("the stream is over")
    found = head(message)
    if found is None:
        return
    _, sequence, time_ns, _ = found
    heard.first = heard.first or sequence
    heard.holes += sequence - heard.newest - 1 if heard.newest else 0
    heard.newest = sequence
    if time.monotonic() >= warm_s:
        heard.latencies_ms.append((now_ns - time_ns) / 1e6)


async def run(address: str, count: int, seconds: float, warm_s: float) -> list[Heard]:
    """Run as many subscribers for so long."""
    everybody = [Heard() for _ in range(count)]
    begin_s = time.monotonic() + warm_s
    until_s = begin_s + seconds
    async with asyncio.timeout(warm_s + seconds + OPEN_WITHIN_S):
        await asyncio.gather(*(follow(address, one, until_s, begin_s) for one in everybody))
    return everybody


def main(address: str, count: int, seconds: float, warm_s: float) -> None:
    """Run, and write what was heard as JSON."""
    everybody = asyncio.run(run(address, count, seconds, warm_s))
    document = {
        "latencies_ms": [round(ms, 3) for one in everybody for ms in one.latencies_ms],
        "snapshots": [len(one.latencies_ms) for one in everybody],
        "holes": sum(one.holes for one in everybody),
        "errors": sorted({one.error for one in everybody if one.error}),
        "cpu_s": time.process_time(),
    }
    click.echo(json.dumps(document))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
