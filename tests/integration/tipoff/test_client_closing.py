"""What is left of a client that is closed, left or interrupted."""

from __future__ import annotations

import dataclasses
import gc
import signal
import threading
import time
from typing import Any

import pytest

import tipoff
from edge_node.description import EndReason
from tests.support.frames import make_frame
from tests.support.proxy import proxying
from tests.support.streams import EAGER, QUICK, make_hub, open_descriptors, serving, wait_until
from tipoff import track_stream
from tipoff.connection import Connection
from tipoff.errors import ConflictError


@pytest.mark.parametrize("which", ["stream", "client"])
def test_closing_wakes_the_one_that_waits(which: str) -> None:
    with serving(make_hub(1)) as (server, address):
        client = tipoff.Client(address)
        stream = client.stream_tracks()
        got: list[int] = []
        waiting = threading.Thread(target=lambda: got.extend(s.sequence for s in stream))
        waiting.start()
        wait_until(lambda: got == [1], "the first has come")
        (stream if which == "stream" else client).close()
        waiting.join(20)
        assert not waiting.is_alive()
        wait_until(lambda: server.subscribers == 0, "the server knows")
        client.close()


def test_a_stream_that_is_closed_while_it_connects_stays_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closed by another thread behind the last look, before it knows of the new connection."""
    made, go_on = threading.Event(), threading.Event()

    class SlowConnection(Connection):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.set()
            go_on.wait(20)

    limits = dataclasses.replace(QUICK, max_lag_s=60.0)
    with (
        serving(make_hub(1), limits=limits) as (server, address),
        proxying(address) as proxy,
        tipoff.Client(proxy.address, EAGER) as client,
    ):
        stream = client.stream_tracks(from_sequence=1)
        waiting = threading.Thread(target=lambda: list(stream))
        waiting.start()
        monkeypatch.setattr(track_stream, "Connection", SlowConnection)
        proxy.cut()
        assert made.wait(20)
        stream.close()
        go_on.set()
        waiting.join(20)
        assert not waiting.is_alive()
        wait_until(lambda: server.subscribers == 0, "the server knows")


def test_a_stream_that_is_left_is_closed() -> None:
    limits = dataclasses.replace(QUICK, max_lag_s=60.0)
    with (
        serving(make_hub(5), limits=limits) as (server, address),
        tipoff.Client(address, EAGER) as client,
    ):
        before = threading.active_count()
        for _ in range(5):
            for _ in client.stream_tracks(from_sequence=1):
                break
        wait_until(lambda: server.subscribers == 0, "the server knows")
        wait_until(lambda: threading.active_count() <= before, "its threads end")


@pytest.mark.parametrize("over", ["snapshots", "events"])
def test_an_interrupt_leaves_the_stream_where_it_was(over: str) -> None:
    hub = make_hub(2)
    with serving(hub) as (_, address), tipoff.Client(address, EAGER) as client:
        stream = client.stream_tracks(from_sequence=1)
        items = iter(stream) if over == "snapshots" else stream.events()
        got: list[int] = []

        def follow() -> None:
            for item in items:
                got.extend([item.sequence] if isinstance(item, tipoff.Snapshot) else [])

        def interrupt() -> None:
            wait_until(lambda: got == [1, 2], "it waits for the third")
            time.sleep(0.2)
            signal.raise_signal(signal.SIGINT)

        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            follow()
        interrupting.join()
        hub.write(make_frame(3))
        hub.end(EndReason.COMPLETED)
        follow()
        assert got == [1, 2, 3]
        assert stream.end is not None


def test_a_client_that_was_closed_says_so() -> None:
    with serving(make_hub(1)) as (_, address):
        client = tipoff.Client(address)
        stream = client.stream_tracks()
        client.close()
        client.close()
        stream.close()
        assert list(stream) == []
        with pytest.raises(ConflictError, match="has been closed"):
            client.stream_tracks()
        with pytest.raises(ConflictError, match="has been closed"):
            client.describe()


def test_a_client_that_is_closed_leaves_nothing_behind() -> None:
    with serving(make_hub(50)) as (server, address):

        def follow() -> None:
            with tipoff.Client(address, EAGER) as client:
                streams = [client.stream_tracks(from_sequence=1) for _ in range(3)]
                for stream in streams:
                    next(stream)

        follow()
        gc.collect()
        before = open_descriptors(), threading.active_count()
        for _ in range(15):
            follow()
        gc.collect()
        wait_until(lambda: threading.active_count() <= before[1], "its threads end")
        wait_until(lambda: open_descriptors() <= before[0], "its sockets close")
        wait_until(lambda: server.subscribers == 0, "the server forgets it")
