"""A real tritonserver with our models, from the first port to the last segment.

    with TritonServer() as server:
        client = InferenceClient(server.grpc_address)

``TritonServer`` ends its server when the block ends. ``start`` and ``stop`` are the same for a
server that is to outlive its starter, as `tipoff triton up` wants it.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from triton_models import environment, runs
from triton_models.canary import answers, probe
from triton_models.errors import PortTakenError, ServerStartError
from triton_models.launcher import Launch, collect, count_loaded, explain, spawn
from triton_models.locking import locked
from triton_models.paths import servers_dir
from triton_models.ports import free_ports, require_free
from triton_models.processes import own
from triton_models.repository import RepositoryOptions, build_repository, require_weights
from triton_models.runs import REPOSITORY, Run

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from triton_models.environment import Environment

CANARY_S = 20.0
"""How long a model may take for its first canary, while others still load."""
POLL_S = 0.1
STOP_GRACE_S = 20.0
"""How long a server may take to end: its exit timeout, its models, and a busy machine."""
BIND_TRIES = 3
"""How often free ports are taken anew when somebody else was faster."""

Report = Callable[[str], None]


def silent(_line: str) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What to start."""

    repository: RepositoryOptions = field(default_factory=RepositoryOptions)
    """Which models, for which machine."""
    name: str | None = None
    """Name of the run folder; None makes one for this process alone."""
    http_port: int = 0
    """HTTP port; 0 takes a free one."""
    grpc_port: int = 0
    """gRPC port; 0 takes a free one."""
    metrics_port: int = 0
    """Metrics port; 0 takes a free one."""
    stop_grace_s: float = STOP_GRACE_S
    """How long it may take to end by itself before it is killed."""
    ready_timeout_s: float = 180.0
    """How long all models may take to answer a canary."""
    environment: Environment | None = None
    """Where the models' Python and the server lie; None installs them in the cache."""


class TritonServer:
    """A server for the length of a ``with`` block.

    Args:
        options: What to start.
        report: Takes a line at a time about what is going on.

    Raises:
        ModelNotFoundError: weights were never pulled.
        EnvironmentBrokenError: the models' environment cannot be used.
        PortTakenError: a port that was asked for is taken.
        ServerStartError: the server ended, or its models never answered.
    """

    def __init__(self, options: ServerOptions | None = None, report: Report = silent) -> None:
        self._options = options or ServerOptions()
        self._report = report
        self._run: Run | None = None
        self.stop_grace_s = self._options.stop_grace_s
        """How long it may take to end before it is killed; may be changed while it runs."""

    def __enter__(self) -> Self:
        self._run = start(self._options, report=self._report, detached=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run, self._run = self._run, None
        if run is not None:
            stop(run, self.stop_grace_s)

    @property
    def run(self) -> Run:
        """Everything known about the running server."""
        assert self._run is not None, "the server runs inside the with block only"
        return self._run

    @property
    def grpc_address(self) -> str:
        """``host:port`` for gRPC, what ``InferenceClient`` wants."""
        return self.run.grpc_address

    @property
    def http_address(self) -> str:
        """``host:port`` for HTTP."""
        return self.run.http_address

    @property
    def metrics_address(self) -> str:
        """``host:port`` for Prometheus metrics."""
        return self.run.metrics_address


def start(options: ServerOptions, *, report: Report, detached: bool) -> Run:
    """Build the repository, start the server, and wait until every model answers.

    Args:
        options: What to start.
        report: Takes a line at a time about what is going on.
        detached: Whether the server is to outlive this process.

    Returns:
        The running server; of the same name and already running, that one as it is.

    Raises:
        as ``TritonServer``.
    """
    require_weights(options.repository)  # before anything is fetched
    where = options.environment or environment.install(report)
    environment.check(where)
    runs.sweep(STOP_GRACE_S)
    folder = runs.run_folder(options.name or f"session-{os.getpid()}-{next(_NUMBERS)}")
    waiting = f"another process starts {folder.name}; waiting for it"
    with locked(folder / ".lock", options.ready_timeout_s, lambda: report(waiting)):
        running = runs.find(folder.name)
        if running is not None:
            return running
        report(f"building the model repository, profile {options.repository.profile}")
        models = build_repository(folder, options.repository)
        return _Start(options, where, models, report, detached).on_some_ports(folder)


_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class _Start:
    """What one start needs from its first try to its last."""

    options: ServerOptions
    where: Environment
    models: tuple[str, ...]
    report: Report
    detached: bool

    def on_some_ports(self, folder: Path) -> Run:
        """Start it; free ports that somebody else took meanwhile are chosen anew."""
        for tries_left in reversed(range(BIND_TRIES)):
            run = self._spawn(folder)
            try:
                self._await(run)
            except PortTakenError:
                self._give_up(run)
                if not tries_left or self._asks_for_ports():
                    raise
            except BaseException:
                self._give_up(run)
                raise
            else:
                return run
        raise AssertionError("the last try returns or raises")

    def _spawn(self, folder: Path) -> Run:
        http, grpc_, metrics = self._ports()
        log = folder / "server.log"
        log.unlink(missing_ok=True)
        prefix = f"tipoff-{folder.name}-{secrets.token_hex(4)}-"
        repository = folder / REPOSITORY
        server = spawn(Launch(self.where, repository, log, http, grpc_, metrics, prefix))
        owner = None if self.detached else own()
        profile = self.options.repository.profile
        run = Run(folder.name, folder, server, owner, profile, http, grpc_, metrics, prefix)
        runs.save(run)
        return run

    def _ports(self) -> list[int]:
        options = self.options
        asked = {
            "--http-port": options.http_port,
            "--grpc-port": options.grpc_port,
            "--metrics-port": options.metrics_port,
        }
        for option, port in asked.items():
            if port:
                require_free(port, option)
        free = free_ports(len(asked))
        return [port or free.pop() for port in asked.values()]

    def _asks_for_ports(self) -> bool:
        options = self.options
        return bool(options.http_port or options.grpc_port or options.metrics_port)

    def _await(self, run: Run) -> None:
        """Wait until every model has answered its canary."""
        deadline = time.monotonic() + self.options.ready_timeout_s
        waiting = list(self.models)
        self.report(f"starting the server, {len(waiting)} models to load")
        said = 0
        while waiting:
            self._require_alive(run)
            loaded = count_loaded(run.log)
            if loaded > said:
                said = loaded
                self.report(f"{loaded}/{len(self.models)} models loaded")
            if time.monotonic() > deadline:
                raise _too_slow(run, waiting, self.options.ready_timeout_s)
            if answers(run.grpc_address):
                waiting = _still_waiting(run, waiting)
            time.sleep(POLL_S if waiting else 0)

    def _require_alive(self, run: Run) -> None:
        if run.server.alive():
            return
        reason = explain(run.log)
        if "already in use" in reason:
            raise PortTakenError(
                f"another process took a port before the server could ({reason}): try again"
            )
        raise ServerStartError(
            f"the server ended while it started: {reason}. Its log: {kept_log(run)}"
        )

    def _give_up(self, run: Run) -> None:
        kept_log(run)
        stop(run, self.options.stop_grace_s)


def _still_waiting(run: Run, models: list[str]) -> list[str]:
    """Return the models that do not answer yet; one that answers with a failure never will."""
    waiting = []
    for model in models:
        error = probe(run.grpc_address, model, CANARY_S).error
        if error is not None and not error.retryable:
            raise ServerStartError(
                f"the server started, but {model} cannot work: {error}. Its log: {kept_log(run)}"
            )
        if error is not None:
            waiting.append(model)
    return waiting


def _too_slow(run: Run, waiting: list[str], timeout_s: float) -> ServerStartError:
    return ServerStartError(
        f"{', '.join(waiting)} did not answer within {timeout_s:.0f} s: is the machine "
        f"overloaded? What the server says: {explain(run.log)}. Its log: {kept_log(run)}"
    )


def kept_log(run: Run) -> Path:
    """Copy the log of a failed start to where it outlives the run folder; return the copy."""
    kept = servers_dir() / "last-failure.log"
    if run.log.is_file():
        shutil.copyfile(run.log, kept)
    return kept


def stop(run: Run, grace_s: float = STOP_GRACE_S) -> bool:
    """End a server and clean up after it; one that has ended already is only cleaned up.

    Args:
        run: Which.
        grace_s: How long it may take to end by itself before it is killed.

    Returns:
        Whether it ended by itself.
    """
    graceful = run.server.end(grace_s)
    collect(run.server)
    runs.forget(run)
    return graceful
