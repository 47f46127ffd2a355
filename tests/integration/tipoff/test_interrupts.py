"""Ctrl-C while a session is followed: at any moment, and nothing is locked for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import FrameType

import pytest

import tipoff
from tests.support.frames import make_frame
from tests.support.proxy import proxying
from tests.support.streams import EAGER, make_hub, serving

NIGHTS = int(os.environ.get("TIPOFF_NIGHTS", "40")) // 10
"""Processes that are interrupted; each of them hung where their main thread entered gRPC."""
SNAPSHOTS = 400
WITHIN_S = 60.0
"""Time of one, which takes one or two seconds; a lock that is left behind takes for ever."""


@pytest.mark.parametrize("seed", range(NIGHTS))
def test_interrupts_at_random_moments_leave_no_lock_behind(seed: int) -> None:
    command = [sys.executable, "-m", "tests.support.interrupted", str(seed), str(SNAPSHOTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    assert done.returncode == 0, done.stderr[-2000:]


def test_who_follows_never_enters_grpc_whose_locks_an_interrupt_would_leave_behind() -> None:
    entered = set[str]()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and "/grpc/" in frame.f_code.co_filename:
            entered.add(frame.f_code.co_qualname)

    hub = make_hub(3)
    with (
        serving(hub) as (_, address),
        proxying(address) as proxy,
        tipoff.Client(proxy.address, EAGER) as client,
        client.stream_tracks(from_sequence=1) as stream,
    ):
        sys.setprofile(note)
        try:
            got = [next(stream).sequence for _ in range(3)]
            writing = threading.Timer(0.1, hub.write, (make_frame(4),))
            writing.start()
            proxy.cut()
            got.append(next(stream).sequence)
            stream.close()
        finally:
            sys.setprofile(None)
        writing.join()
    assert got == [1, 2, 3, 4]
    assert stream.reconnects == 1
    assert not entered
