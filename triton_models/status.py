"""How a running server does, by a canary for each model and a census of their processes.

A killed stub is never started again by the server, and a second instance of the model hides it
every other time; so the census counts, and the canary asks.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from tritonclient.grpc import service_pb2

from triton_models import wire
from triton_models.canary import is_known, probe
from triton_models.errors import ServerUnavailableError
from triton_models.processes import ProcessId, children, is_stopped, resident_mib

if TYPE_CHECKING:
    from triton_models.runs import Run

CANARY_S = 5.0
LOAD_S = 120.0
INDEX_S = 5.0
SETTLE_S = 30.0
POLL_S = 0.1
STUB = "triton_python_backend_stub"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model of a running server."""

    name: str
    """Its name."""
    problem: str | None
    """What is wrong with it, None when it works."""
    latency_ms: float
    """How long its canary took."""
    processes: int
    """Its Python processes that run."""
    expected: int
    """Its Python processes that should run."""
    resident_mib: float
    """Their resident memory together."""


def check_models(run: Run, deadline_s: float = CANARY_S) -> list[ModelStatus]:
    """Ask every model of a server for an answer, and count its processes.

    Args:
        run: Which server.
        deadline_s: How long each may take.

    Raises:
        ServerUnavailableError: the server itself does not answer.
    """
    stubs = stubs_of(run)
    return [
        _check(run, name, stubs.get(name, []), deadline_s)
        for name in served_models(run)
        if is_known(name)
    ]


def served_models(run: Run) -> list[str]:
    """Return the models in a server's repository, those inside an ensemble first.

    Raises:
        ServerUnavailableError: the server does not answer.
    """
    with wire.open_channel(run.grpc_address) as channel:
        try:
            index = wire.open_stub(channel).RepositoryIndex(
                service_pb2.RepositoryIndexRequest(), timeout=INDEX_S
            )
        except grpc.RpcError as error:
            raise wire.translate_error(error, run.grpc_address, "the server") from error
    names = {model.name for model in index.models}
    return sorted(names, key=lambda name: (name in ENSEMBLES, name))


ENSEMBLES = {"people_jpeg": ("jpeg_check", "jpeg_letterbox", "people_heads", "people_decode")}
"""The models that are made of others."""


def stubs_of(run: Run) -> dict[str, list[ProcessId]]:
    """Return the Python processes of a server by their model."""
    found: dict[str, list[ProcessId]] = {}
    for process, command in children(run.server.pid):
        if not command or not command[0].endswith(STUB):
            continue
        model = _model_of(command, run)
        if model is not None:
            found.setdefault(model, []).append(process)
    return found


def repair(run: Run) -> list[str]:
    """Load the broken models of a server anew.

    What is left of their processes is killed first: a frozen one that wakes up later would take
    the server down.

    Args:
        run: Which server.

    Returns:
        The names of the models that were loaded anew.

    Raises:
        ServerUnavailableError: the server does not answer, or a model stays broken.
    """
    broken = [status.name for status in check_models(run) if status.problem is not None]
    targets = [name for name in broken if name not in ENSEMBLES]
    for name in targets:
        _reload(run, name)
    still = _wait_repaired(run)
    if still:
        raise ServerUnavailableError(
            f"{', '.join(still)} stay broken after a repair: run `tipoff triton down`, then "
            f"`tipoff triton up`; {run.log} says more",
            models=still,
        )
    return targets


def _wait_repaired(run: Run) -> list[str]:
    """Return what is still broken once the server has settled, or when time is up."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        broken = [status.name for status in check_models(run) if status.problem is not None]
        if not broken or time.monotonic() > deadline:
            return broken
        time.sleep(POLL_S)


def _reload(run: Run, name: str) -> None:
    for process in stubs_of(run).get(name, []):
        process.signal(signal.SIGKILL)  # a survivor would stay for ever beside the new ones
    os.utime(run.repository / name / "1" / "model.py")  # a plain load looks at nothing else
    with wire.open_channel(run.grpc_address) as channel:
        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        try:
            wire.open_stub(channel).RepositoryModelLoad(request, timeout=LOAD_S)
        except grpc.RpcError as error:
            raise wire.translate_error(error, run.grpc_address, name) from error


def _check(run: Run, name: str, stubs: list[ProcessId], deadline_s: float) -> ModelStatus:
    expected = expected_processes(run, name)
    health = probe(run.grpc_address, name, deadline_s)
    problem = None if health.error is None else str(health.error)
    alive = [process for process in stubs if process.alive() and not is_stopped(process)]
    if problem is None and len(alive) < expected:
        problem = (
            f"{expected - len(alive)} of its {expected} processes have died or are frozen, so "
            "some requests fail: run `tipoff triton repair`"
        )
    memory = sum(resident_mib(process.pid) for process in alive)
    return ModelStatus(name, problem, health.latency_ms, len(alive), expected, memory)


def expected_processes(run: Run, name: str) -> int:
    """Return how many Python processes a model should have, from its configuration."""
    with wire.open_channel(run.grpc_address) as channel:
        request = service_pb2.ModelConfigRequest(name=name)
        try:
            config = wire.open_stub(channel).ModelConfig(request, timeout=INDEX_S).config
        except grpc.RpcError:
            return 0
    if config.backend != "python":
        return 0
    return sum(max(1, group.count) for group in config.instance_group)


def _model_of(command: tuple[str, ...], run: Run) -> str | None:
    """Return the model that a stub runs, by the path of its model.py on the command line."""
    prefix = f"{run.repository}/"
    for part in command[1:]:
        if part.startswith(prefix):
            return part.removeprefix(prefix).partition("/")[0]
    return None
