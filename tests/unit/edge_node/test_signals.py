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


HANGING = """
import ctypes, os, signal, threading
from edge_node.signals import ToldToGo, interrupt_on_term

over = interrupt_on_term(0.3)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.siginterrupt(number, False)
threading.Timer(0.2, os.kill, (os.getpid(), signal.{number})).start()
reading, writing = os.pipe()
{call}
"""
NEVER_RETURNS = "ctypes.CDLL(None).read(reading, ctypes.create_string_buffer(1), 1)"
"""As a sync of a dead disk: the system begins it again after a signal, and Python hears nothing."""


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 0), ("SIGINT", 130)])
def test_a_process_that_hangs_in_the_system_goes_all_the_same(number: str, code: int) -> None:
    script = HANGING.format(number=number, call=NEVER_RETURNS)
    done = subprocess.run(
        [sys.executable, "-c", script],
        timeout=WITHIN_S,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "told to go 0.3 s ago" in done.stderr


def test_a_process_that_hears_of_it_cleans_up_as_after_ctrl_c() -> None:
    call = """
try:
    os.read(reading, 1)
except ToldToGo:
    over()
    over()
    threading.Event().wait(0.6)
    raise SystemExit(7)
"""
    script = HANGING.format(number="SIGTERM", call=call).replace(", False)", ", True)")
    done = subprocess.run([sys.executable, "-c", script], timeout=WITHIN_S, check=False)
    assert done.returncode == 7
