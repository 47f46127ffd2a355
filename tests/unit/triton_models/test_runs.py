"""What is written down about servers, and the processes that it speaks of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tipoff.errors import DeadlineError, InvalidInputError
from triton_models import runs
from triton_models.errors import PortTakenError
from triton_models.launcher import count_loaded, explain
from triton_models.locking import locked
from triton_models.ports import free_ports, require_free
from triton_models.processes import ProcessId, children, identify, is_stopped, own
from triton_models.segments import SHM


@pytest.fixture
def sleeper() -> Iterator[ProcessId]:
    """Run a process that does nothing until it is ended."""
    code = "import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        identity = identify(process.pid)
        assert identity is not None
        yield identity
        process.kill()


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def make_run(server: ProcessId, owner: ProcessId | None, name: str = "unit") -> runs.Run:
    folder = runs.run_folder(name)
    folder.mkdir(parents=True)
    run = runs.Run(name, folder, server, owner, "cpu", 1, 2, 3, f"tipoff-{name}-{os.getpid()}-")
    runs.save(run)
    return run


def gone() -> ProcessId:
    """Return a process number that is in use, as of a process that no longer is."""
    return ProcessId(os.getpid(), own().start_ticks - 1)


def test_a_run_is_found_while_its_server_lives(sleeper: ProcessId) -> None:
    run = make_run(sleeper, None)
    assert runs.find("unit") == run
    sleeper.end(5.0)
    assert runs.find("unit") is None
    assert runs.load(run.folder) == run, "what died is still told of"


def test_a_reused_process_number_is_not_mistaken_for_the_server() -> None:
    make_run(gone(), None)
    assert runs.find("unit") is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"owner": null}'])
def test_a_damaged_state_tells_of_nothing(sleeper: ProcessId, damage: str) -> None:
    run = make_run(sleeper, None)
    (run.folder / runs.STATE).write_text(damage)
    assert runs.find("unit") is None


def test_the_sweep_ends_orphans_and_leaves_the_others(sleeper: ProcessId) -> None:
    kept = make_run(own(), own(), "kept")
    orphan = make_run(sleeper, gone(), "orphan")
    dead = make_run(gone(), None, "dead")
    left = SHM / f"{dead.shm_prefix}left"
    left.write_bytes(b"x")
    assert sorted(runs.sweep(5.0)) == ["dead", "orphan"]
    assert not sleeper.alive()
    assert not left.exists()
    assert not orphan.folder.exists()
    assert list(runs.all_runs()) == [kept]


@pytest.mark.parametrize("name", ["", "a b", "../up", "A", "-x", "x" * 60])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot name a server"):
        runs.run_folder(name)


def test_a_process_that_ignores_the_request_is_killed() -> None:
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        identity = identify(process.pid)
        assert identity is not None
        assert identity.end(0.2) is False
        assert not identity.alive()


def test_children_and_frozen_processes_are_seen(sleeper: ProcessId) -> None:
    assert sleeper in [process for process, _ in children(os.getpid())]
    assert not is_stopped(sleeper)
    sleeper.signal(signal.SIGSTOP)
    os.waitpid(sleeper.pid, os.WUNTRACED)
    assert is_stopped(sleeper)


def test_a_taken_port_is_refused_by_its_option() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} .*--grpc-port"):
            require_free(port, "--grpc-port")
    assert len(set(free_ports(3))) == 3


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        locked(tmp_path / "lock", 1.0, lambda: said.append("first")),
        pytest.raises(DeadlineError, match="another process has held"),
        locked(tmp_path / "lock", 0.05, lambda: said.append("second")),
    ):
        pass
    assert said == ["second"]
    with locked(tmp_path / "lock", 0.05, lambda: said.append("third")):
        assert said == ["second"]


def test_the_log_says_which_model_failed(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text(
        "I1 a.cc:1] \"successfully loaded 'people_decode'\"\n"
        "E1 b.cc:2] \"failed to load 'people_frame' version 1: Internal: no weights\"\n"
    )
    assert count_loaded(log) == 1
    assert explain(log).startswith("the model people_frame could not be loaded: Internal")
    assert "no log" in explain(tmp_path / "none")
