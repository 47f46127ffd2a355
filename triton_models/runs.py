"""What is written down about a running server, so that another terminal finds and ends it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tipoff.errors import InvalidInputError
from triton_models.paths import servers_dir
from triton_models.processes import ProcessId
from triton_models.segments import sweep_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATE = "state.json"
REPOSITORY = "repository"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


@dataclass(frozen=True, slots=True)
class Run:
    """One server that was started."""

    name: str
    """Its name, and that of its folder."""
    folder: Path
    """Its run folder: repository, code, log, state."""
    server: ProcessId
    """The server's process."""
    owner: ProcessId | None
    """Who must end it; None for one that was left running on purpose (`up`)."""
    profile: str
    """cpu or gpu."""
    http_port: int
    """HTTP port on 127.0.0.1."""
    grpc_port: int
    """gRPC port on 127.0.0.1."""
    metrics_port: int
    """Prometheus metrics port on 127.0.0.1."""
    shm_prefix: str
    """How the names of its shared-memory segments begin."""

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "server.log"

    @property
    def repository(self) -> Path:
        """The model repository."""
        return self.folder / REPOSITORY

    @property
    def http_address(self) -> str:
        """``host:port`` for HTTP."""
        return f"127.0.0.1:{self.http_port}"

    @property
    def grpc_address(self) -> str:
        """``host:port`` for gRPC."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def metrics_address(self) -> str:
        """``host:port`` for metrics."""
        return f"127.0.0.1:{self.metrics_port}"

    def orphaned(self) -> bool:
        """Tell whether whoever had to end it has died without doing so."""
        return self.owner is not None and not self.owner.alive()


def run_folder(name: str) -> Path:
    """Return the folder of a server's name.

    Raises:
        InvalidInputError: the name cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name!r} cannot name a server: use a-z, 0-9 and -, at most 40 characters"
        )
    return servers_dir() / name


def save(run: Run) -> None:
    """Write a run's state, whole or not at all."""
    content = asdict(run)
    del content["folder"]
    part = run.folder / f"{STATE}.part"
    part.write_text(json.dumps(content, indent=2))
    part.rename(run.folder / STATE)


def load(folder: Path) -> Run | None:
    """Return the run that a folder tells of, or None when it tells of none."""
    try:
        content: dict[str, Any] = json.loads((folder / STATE).read_text())
        owner = content.pop("owner")
        server = ProcessId(**content.pop("server"))
        return Run(folder=folder, server=server, owner=owner and ProcessId(**owner), **content)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def find(name: str) -> Run | None:
    """Return the run of that name if its server still runs."""
    run = load(run_folder(name))
    return run if run is not None and run.server.alive() else None


def forget(run: Run) -> list[str]:
    """Clean up after a server that has ended; return the shared memory that it had left."""
    assert not run.server.alive(), run
    swept = sweep_prefix(run.shm_prefix)
    (run.folder / STATE).unlink(missing_ok=True)
    if run.owner is not None:
        shutil.rmtree(run.folder, ignore_errors=True)
    return swept


def all_runs() -> Iterator[Run]:
    """Yield every run that was written down, running or not."""
    for folder in sorted(servers_dir().glob("*/")):
        run = load(folder)
        if run is not None:
            yield run


def sweep(grace_s: float) -> list[str]:
    """End servers whose owner has died, and clean up after those that have died themselves.

    Args:
        grace_s: How long an orphaned server has to end by itself.

    Returns:
        The names of the runs that were cleaned up.
    """
    swept = []
    for run in all_runs():
        if run.orphaned():
            run.server.end(grace_s)
        if not run.server.alive():
            forget(run)
            swept.append(run.name)
    return swept
