"""Starting and ending a tritonserver process."""

from __future__ import annotations

import compileall
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from triton_models.errors import ServerStartError
from triton_models.ports import HOST
from triton_models.processes import ProcessId, identify

if TYPE_CHECKING:
    from pathlib import Path

    from triton_models.environment import Environment

EXIT_TIMEOUT_S = 5
"""An open HTTP connection burns all of it at the end, so it is short."""
STUB_TIMEOUT_S = 120
"""How long a model may take to import and load on a busy machine."""
LOG_LINES = 12

_FAILED_LOAD = re.compile(r"failed to load '([^']+)' version \d+: (.*)")


@dataclass(frozen=True, slots=True)
class Launch:
    """What a server is started with."""

    environment: Environment
    """Where the server and the models' Python lie."""
    repository: Path
    """The model repository."""
    log: Path
    """Where the server writes."""
    http_port: int
    """HTTP port."""
    grpc_port: int
    """gRPC port."""
    metrics_port: int
    """Metrics port."""
    shm_prefix: str
    """How the names of its shared-memory segments begin; no other server has the same."""


def command(launch: Launch) -> list[str]:
    """Return the server's command line."""
    return [
        str(launch.environment.binary),
        f"--model-repository={launch.repository}",
        f"--backend-directory={launch.environment.backends}",
        f"--http-address={HOST}",
        f"--http-port={launch.http_port}",
        f"--grpc-address={HOST}",
        f"--grpc-port={launch.grpc_port}",
        f"--metrics-address={HOST}",
        f"--metrics-port={launch.metrics_port}",
        "--model-control-mode=explicit",  # a repair loads a single model anew
        "--load-model=*",
        "--disable-auto-complete-config",  # it would start every Python model twice
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        f"--backend-config=python,shm-region-prefix-name={launch.shm_prefix}",
        f"--backend-config=python,stub-timeout-seconds={STUB_TIMEOUT_S}",
        "--allow-gpu-metrics=false",
    ]


def spawn(launch: Launch) -> ProcessId:
    """Start the server in a session of its own, so that Ctrl-C does not reach it.

    Raises:
        ServerStartError: the executable cannot be run.
    """
    # A stub that writes __pycache__ itself would make the next plain load a full reload.
    compileall.compile_dir(launch.repository, quiet=2)
    with launch.log.open("ab") as log:
        try:
            process = subprocess.Popen(
                command(launch),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=launch.environment.variables(),
                start_new_session=True,
            )
        except OSError as error:
            raise ServerStartError(
                f"{launch.environment.binary} cannot be run ({error.strerror}): run "
                "`tipoff triton install`"
            ) from error
    identity = identify(process.pid)
    assert identity is not None
    _PROCESSES[process.pid] = process
    return identity


_PROCESSES: dict[int, subprocess.Popen[bytes]] = {}
"""Our own children, kept so that their end is collected and they leave no zombie."""


def collect(server: ProcessId) -> None:
    """Collect the exit of a server that has ended, if it was our child."""
    process = _PROCESSES.pop(server.pid, None)
    if process is not None:
        process.wait()


def explain(log: Path) -> str:
    """Return why a server ended or never became ready, from its log."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return f"it left no log at {log}"
    for line in lines:
        match = _FAILED_LOAD.search(line)
        if match:
            return f"the model {match[1]} could not be loaded: {match[2]}"
    problems = [line for line in lines if line.startswith("E") or "rror" in line]
    told = [line.partition("] ")[2] or line for line in (problems or lines)[-LOG_LINES:]]
    return "; ".join(dict.fromkeys(told)) or "it said nothing"


def count_loaded(log: Path) -> int:
    """Return how many models a starting server has loaded so far, from its log."""
    try:
        return log.read_text(errors="replace").count("successfully loaded '")
    except OSError:
        return 0
