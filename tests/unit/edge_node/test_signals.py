"""SIGTERM reaches whoever is to know, whatever the main thread is in the middle of."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHIN_S = 30.0

HOLDING_ITS_LOCK = """
import os, signal, sys, threading
from edge_node.{module} import {name}

{more}
with {call} as stop:
    event = {event}
    # As in the middle of waiting for it: the handler runs before the next instruction.
    with event._cond:
        os.kill(os.getpid(), signal.SIGTERM)
        sum(range(1000))
    sys.exit(0 if event.wait(10.0) else 1)
"""


@pytest.mark.parametrize(
    "how",
    [
        {
            "module": "signals",
            "name": "on_term",
            "more": "told = threading.Event()",
            "call": "on_term(told.set)",
            "event": "told",
        },
        {
            "module": "serving",
            "name": "stop_on_signals",
            "more": "",
            "call": "stop_on_signals()",
            "event": "stop._asked",
        },
    ],
)
def test_a_signal_is_heard_while_the_main_thread_holds_the_lock(how: dict[str, str]) -> None:
    script = HOLDING_ITS_LOCK.format(**how)
    done = subprocess.run([sys.executable, "-c", script], timeout=WITHIN_S, check=False)
    assert done.returncode == 0


def test_a_second_signal_ends_the_process_at_once() -> None:
    script = """
import os, signal, time
from edge_node.signals import on_term
with on_term(lambda: None):
    os.kill(os.getpid(), signal.SIGTERM)
    sum(range(1000))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=WITHIN_S, check=False)
    assert done.returncode == -15
