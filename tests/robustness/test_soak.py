"""B6: a node that runs on while a camera comes and goes neither grows nor leaks descriptors.

`make soak` runs it for two hours; in `make test` it takes three minutes.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import tipoff
from edge_node.live.manage import NodeClient
from tests.support.nodes import NodeProcess, make_game
from tipoff.follow import ClientOptions

SECONDS = float(os.environ.get("TIPOFF_SOAK_S", "180"))
WARM_UP_S = min(SECONDS / 3, 600.0)
COME_AND_GO_S = min(60.0, SECONDS / 9)
"""A camera is taken away, or put back, so often."""
MOST_MB_AN_HOUR = 1.0
NOISE_MB = 8.0
"""How far the allocator's arenas let RSS wander in a process that allocates nothing more (Python's
own memory was traced). In a short soak it hides the slope, which only a long one shows; a leak of
one frame-set's message a frame would be 40 MB in two minutes."""
LONG_S = 3600.0
"""From here on the slope itself is judged."""
SETTLE_S = 5.0
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Looks:
    """What was seen of a process."""

    times_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    threads: list[Counter[str]] = field(default_factory=list)
    """How many the system knows by each name."""

    def take(self, pid: int) -> None:
        """Look once."""
        proc = Path("/proc") / str(pid)
        self.times_s.append(time.monotonic())
        self.rss_mb.append(int((proc / "statm").read_text().split()[1]) * PAGE / 1e6)
        self.descriptors.append(len(list((proc / "fd").iterdir())))
        self.threads.append(Counter(_named(task) for task in (proc / "task").iterdir()))

    def growth_mb(self, after_s: float) -> tuple[float, float]:
        """Give RSS' slope in MB an hour after a time, and how far it rose along it."""
        times = np.array(self.times_s) - self.times_s[0]
        late = times >= after_s
        slope = np.polyfit(times[late], np.array(self.rss_mb)[late], 1)[0]
        return slope * 3600.0, slope * float(np.ptp(times[late]))


def _named(task: Path) -> str:
    try:
        return (task / "comm").read_text().strip()
    except OSError:  # it ended while we looked
        return "ended"


@contextmanager
def follower(address: str) -> Iterator[list[int]]:
    """Somebody who follows the session all the while, and counts."""
    seen, leaving = [0], threading.Event()

    def follow() -> None:
        options = ClientOptions(resume_timeout_s=30.0)
        with tipoff.Client(address, options) as client, client.stream_tracks() as stream:
            for _ in stream:
                seen[0] += 1
                if leaving.is_set():
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield seen
    finally:
        leaving.set()
        thread.join(60.0)


@pytest.mark.timeout(SECONDS + 300)
def test_a_node_neither_grows_nor_leaks_while_a_camera_comes_and_goes(tmp_path: Path) -> None:
    # Held as briefly as can be, so that memory is full when the warm-up is over.
    game = make_game(tmp_path, seconds=20, loop=True, more="\n[streams]\nhold_s = 5\n")
    source = str(tmp_path / "game.parquet")
    looks = Looks()
    with NodeProcess(game).start() as node, NodeClient(node.ready["admin"]) as admin:
        assert node.process is not None
        pid = node.process.pid
        with follower(node.address) as seen:
            began_s = changed_s = time.monotonic()
            there = True
            while time.monotonic() - began_s < SECONDS:
                time.sleep(0.5)
                now_s = time.monotonic()
                if now_s - changed_s >= COME_AND_GO_S:
                    changed_s, there = now_s, not there
                    if there:
                        admin.put_camera("cam01", source)
                    else:
                        admin.remove_camera("cam01")
                elif there and now_s - changed_s > min(SETTLE_S, COME_AND_GO_S / 2):
                    looks.take(pid)
            followed = seen[0]
        assert node.stop() == 0
    slope, rise_mb = looks.growth_mb(WARM_UP_S)
    late = [i for i, at_s in enumerate(looks.times_s) if at_s - looks.times_s[0] >= WARM_UP_S]
    print(  # noqa: T201 - what a soak is run for
        f"\nsoak of {SECONDS:.0f} s: RSS {looks.rss_mb[late[0]]:.1f} to {looks.rss_mb[-1]:.1f} MB, "
        f"{slope:+.2f} MB/h; descriptors {looks.descriptors[late[0]]} to {looks.descriptors[-1]}; "
        f"{followed} snapshots followed"
    )
    short = SECONDS < LONG_S
    assert slope <= MOST_MB_AN_HOUR or (short and rise_mb <= NOISE_MB)
    # The least of some: files and gRPC's workers come for a moment, and what leaks is always there.
    first, last = late[:20], late[-20:]
    assert min(looks.descriptors[i] for i in last) <= min(looks.descriptors[i] for i in first)
    before, after = (
        min((looks.threads[i] for i in some), key=Counter.total) for some in (first, last)
    )
    assert after.total() <= before.total(), f"threads by name: {before}, then {after}"
    assert followed > SECONDS, "it hardly ran"
