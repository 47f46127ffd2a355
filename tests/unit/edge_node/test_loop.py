"""The process' loop for gRPC: what may wait does not keep it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from edge_node.loop import MAX_THREADS, grpc_loop, in_thread, run_in_loop
from tipoff.errors import ConflictError
from tipoff.stream_errors import OverloadedError

WITHIN_S = 10.0


def test_what_waits_in_a_thread_leaves_the_loop_to_others() -> None:
    let_go = threading.Event()

    async def both() -> tuple[bool, str]:
        waiting = asyncio.ensure_future(in_thread(lambda: let_go.wait(WITHIN_S)))
        await asyncio.sleep(0)
        # Only this loop lets it go: one that was kept waiting could not.
        answer = await in_thread(lambda: "quick")
        let_go.set()
        return await waiting, answer

    assert run_in_loop(both(), 2 * WITHIN_S) == (True, "quick")


def test_what_a_call_raises_is_raised_to_its_caller() -> None:
    def fail() -> None:
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        run_in_loop(in_thread(fail), WITHIN_S)


def test_a_thread_that_cannot_begin_takes_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    grpc_loop()
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        for _ in range(MAX_THREADS):
            with pytest.raises(RuntimeError, match="new thread"):
                run_in_loop(in_thread(lambda: None), WITHIN_S)
    assert run_in_loop(in_thread(lambda: "again"), WITHIN_S) == "again"


def test_threads_are_bounded_and_come_back() -> None:
    let_go = threading.Event()

    async def crowd() -> list[object]:
        many = [in_thread(lambda: let_go.wait(WITHIN_S)) for _ in range(MAX_THREADS)]
        waiting = [asyncio.ensure_future(one) for one in many]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="have not returned"):
            await in_thread(lambda: None)
        let_go.set()
        await asyncio.gather(*waiting)
        return [await in_thread(lambda: "again")]

    assert run_in_loop(crowd(), 2 * WITHIN_S) == ["again"]
