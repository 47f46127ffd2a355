"""A process that asked for it shares few heaps, however many threads it has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edge_node.memory import ARENAS

SCRIPT = """
import ctypes, sys, threading
from edge_node.memory import share_heaps
if sys.argv[1] == "shared":
    print(share_heaps())
together = threading.Barrier(12)
def allocate():
    kept = ctypes.create_string_buffer(50_000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def heaps(tmp_path: Path, how: str, **environment: str) -> tuple[int, str]:
    """Count the heaps of a process with a dozen threads, and give what it said."""
    told = tmp_path / "malloc.xml"
    inherited = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, how, str(told)],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return told.read_text().count("<heap nr="), run.stdout.strip()


def test_threads_share_few_heaps_where_that_was_asked_for(tmp_path: Path) -> None:
    alone, _ = heaps(tmp_path, "alone")
    shared, said = heaps(tmp_path, "shared")
    assert said == "True"
    assert shared <= ARENAS < alone


def test_whoever_has_decided_otherwise_is_not_overruled(tmp_path: Path) -> None:
    count, said = heaps(tmp_path, "shared", MALLOC_ARENA_MAX="5")
    assert said == "False"
    assert ARENAS < count <= 5
