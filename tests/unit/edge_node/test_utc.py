"""The clock of a process: even, whatever is done to the machine's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest

from edge_node.utc import SteadyClock, utc_ns

S = 1_000_000_000
START = 1_770_000_000 * S


@dataclass(slots=True)
class Machine:
    """A machine's clocks, set by hand."""

    monotonic_ns: int = 50 * S
    set_by_ns: int = 0

    def wall(self) -> int:
        return START + self.monotonic_ns + self.set_by_ns

    def monotonic(self) -> int:
        return self.monotonic_ns


def test_it_is_the_machines_clock_while_nobody_sets_that() -> None:
    machine = Machine()
    clock = SteadyClock(machine.wall, machine.monotonic)
    for _ in range(100):
        machine.monotonic_ns += S // 60
        assert clock.now_ns() == machine.wall()


@pytest.mark.parametrize("set_by_ns", [-3600 * S, -5 * S, 5 * S, 3600 * S])
def test_a_clock_that_is_set_leaves_no_trace_until_the_next_start(set_by_ns: int) -> None:
    machine = Machine()
    clock = SteadyClock(machine.wall, machine.monotonic)
    machine.set_by_ns = set_by_ns
    times = []
    for _ in range(100):
        machine.monotonic_ns += S // 60
        times.append(clock.now_ns())
    assert {later - earlier for earlier, later in pairwise(times)} == {S // 60}
    assert SteadyClock(machine.wall, machine.monotonic).now_ns() == machine.wall()


@pytest.mark.parametrize("set_by_ns", [-S // 10, S // 10])
def test_a_small_step_is_followed_slowly(set_by_ns: int) -> None:
    machine = Machine()
    clock = SteadyClock(machine.wall, machine.monotonic)
    machine.set_by_ns = set_by_ns
    times = []
    for _ in range(250):
        machine.monotonic_ns += S
        times.append(clock.now_ns())
    steps = [later - earlier - S for earlier, later in pairwise(times)]
    assert max(map(abs, steps)) <= 500_000
    assert times[-1] == machine.wall()


def test_the_process_has_one() -> None:
    assert 0 <= utc_ns() - utc_ns() + S <= S
