"""A process whose main thread follows a session while it is interrupted at random moments.

Run as `python -m tests.support.interrupted SEED SNAPSHOTS`: it ends with 0 where the snapshots came
in order and none twice, and the session's end behind them. A lock that an interrupt left behind
would keep it for ever: whoever starts it gives it a time.
"""

from __future__ import annotations

import random
import signal
import sys
from itertools import pairwise

from tests.support.frames import make_frames
from tests.support.streams import EAGER, make_hub, serving, writing
from tipoff.client import Client
from tipoff.track_stream import TrackStream

LONGEST_S = 0.02
"""Longest time to an interrupt; doubled while nothing comes, for a machine that is slower."""


class _Interrupt(KeyboardInterrupt):
    """Ctrl-C, by a timer."""


def _interrupt(_number: int, _frame: object) -> None:
    raise _Interrupt


def _follow(stream: TrackStream, got: list[int]) -> None:
    """Follow to the end or the next interrupt."""
    try:
        for snapshot in stream:
            got.append(snapshot.sequence)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main(seed: int, count: int) -> None:
    """Follow a session of ``count`` snapshots."""
    draw = random.Random(seed)
    hub, got, interrupts = make_hub(), list[int](), 0
    signal.signal(signal.SIGALRM, _interrupt)
    with (
        serving(hub) as (_, address),
        writing(hub, make_frames(count)),
        Client(address, EAGER) as client,
    ):
        stream = client.stream_tracks(from_sequence=1)
        longest_s, had = LONGEST_S, 0
        while stream.end is None:
            longest_s, had = (LONGEST_S if len(got) > had else 2 * longest_s), len(got)
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-4 + draw.random() * longest_s)
                _follow(stream, got)
            except _Interrupt:
                interrupts += 1
    assert interrupts, "it was never interrupted"
    assert all(before < after for before, after in pairwise(got)), "one came twice"
    # One that is given at the very moment of an interrupt may not reach its caller.
    missing = count - len(got)
    assert missing <= 1 + interrupts // 20, f"{missing} missing after {interrupts} interrupts"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
