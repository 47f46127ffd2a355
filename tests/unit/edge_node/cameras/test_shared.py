"""What several readers need is made once, ahead of them, and a failure is nobody's for ever."""

from __future__ import annotations

import threading
import time

import pytest

from edge_node.cameras.shared import Shared


def test_it_is_made_once_however_many_ask_at_once() -> None:
    shared: Shared[object] = Shared(4)
    made: list[int] = []
    begin = threading.Barrier(8)
    got: list[object] = []

    def make() -> object:
        made.append(1)
        time.sleep(0.05)
        return object()

    def ask() -> None:
        begin.wait()
        got.append(shared.get("key", make))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(map(id, got))) == 1


def test_what_was_prepared_is_there_and_who_comes_earlier_waits_for_it() -> None:
    shared: Shared[int] = Shared(4)
    go = threading.Event()

    def slowly() -> int:
        go.wait(10)
        return 7

    shared.prepare("next", slowly)
    shared.prepare("next", lambda: 8)
    threading.Timer(0.05, go.set).start()
    assert shared.get("next", lambda: 9) == 7


def test_a_failure_is_told_and_tried_again() -> None:
    shared: Shared[int] = Shared(4)

    def fail() -> int:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        shared.get("key", fail)
    assert shared.get("key", lambda: 1) == 1
    shared.prepare("other", fail)
    until_s = time.monotonic() + 10
    while (found := _tried(shared)) is None:
        assert time.monotonic() < until_s
    assert found == 2


def _tried(shared: Shared[int]) -> int | None:
    try:
        return shared.get("other", lambda: 2)
    except ValueError:
        return None


def test_the_oldest_goes_when_there_is_too_much() -> None:
    shared: Shared[int] = Shared(2)
    for key in ("a", "b", "a", "c"):
        shared.get(key, lambda: 1)
    assert shared.get("a", lambda: 2) == 1
    assert shared.get("b", lambda: 2) == 2, "it was asked for longest ago"
