"""`tipoff triton`: the server with our models, for whoever calls it ad hoc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tipoff.console import echo_json, json_option

if TYPE_CHECKING:
    from triton_models.runs import Run
    from triton_models.status import ModelStatus

PORTS = {"http_port": 8000, "grpc_port": 8001, "metrics_port": 8002}

_name = click.option("--name", default="default", show_default=True, help="Which server.")
_profile = click.option(
    "--profile",
    type=click.Choice(["cpu", "gpu"]),
    default="cpu",
    show_default=True,
    help="gpu needs Triton's own image with the DALI and onnxruntime backends.",
)


def _echo(line: str) -> None:
    click.echo(line, err=True)


@click.group(short_help="Start, look at and stop the inference server.")
def triton() -> None:
    """Run the models in a real Triton server on this machine.

    \b
      tipoff triton up                    start it (installs what is missing, once)
      curl --data-binary @photo.jpg -H 'Inference-Header-Content-Length: 0' \\
           -H 'Content-Type: application/octet-stream' \\
           http://127.0.0.1:8000/v2/models/people_jpeg/infer
      tipoff triton status                ask every model for an answer
      tipoff triton down                  stop it

    `tipoff track` and `tipoff serve` start a server of their own where they are not given one.
    """  # noqa: D301


@triton.command()
@json_option
def install(*, as_json: bool) -> None:
    """Put the server and the models' Python environment into the cache."""
    from triton_models import environment

    where = environment.install(_echo)
    environment.check(where)
    if as_json:
        echo_json({"models": str(where.models), "server": str(where.server)})
    else:
        click.echo(f"the server lies in {where.server}\nthe models run in {where.models}")


@triton.command()
@_profile
@_name
@click.option("--http-port", default=PORTS["http_port"], show_default=True, help="0: a free one.")
@click.option("--grpc-port", default=PORTS["grpc_port"], show_default=True, help="0: a free one.")
@click.option("--metrics-port", default=PORTS["metrics_port"], show_default=True, help="0: free.")
@click.option("--ready-timeout", default=180.0, show_default=True, help="Seconds to start in.")
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C or SIGTERM, then stop it.")
@json_option
def up(
    *,
    profile: str,
    name: str,
    ready_timeout: float,
    foreground: bool,
    as_json: bool,
    **ports: int,
) -> None:
    """Start the server and wait until every model answers.

    One that runs already is left as it is.
    """
    from triton_models import runs, server
    from triton_models.repository import RepositoryOptions

    options = server.ServerOptions(
        repository=RepositoryOptions(profile=profile),
        name=name,
        http_port=ports["http_port"],
        grpc_port=ports["grpc_port"],
        metrics_port=ports["metrics_port"],
        ready_timeout_s=ready_timeout,
    )
    running = runs.find(name)
    run = running or server.start(options, report=_echo, detached=True)
    _show_run(run, already=running is not None, as_json=as_json)
    if foreground:
        _stay(run)


@triton.command()
@_name
@json_option
def status(*, name: str, as_json: bool) -> int:
    """Ask every model of the server for an answer, and say how long it took.

    Exit code 5: the server, or one of its models, does not answer.
    """
    from triton_models.status import check_models

    run = _running(name)
    models = check_models(run)
    broken = [model for model in models if model.problem is not None]
    if as_json:
        described = [_describe(model) for model in models]
        echo_json({**_describe_run(run), "healthy": not broken, "models": described})
    else:
        _show_models(run, models)
    return UNHEALTHY if broken else 0


UNHEALTHY = 5


@triton.command()
@_name
@json_option
def repair(*, name: str, as_json: bool) -> None:
    """Load the models anew whose processes have died or hang."""
    from triton_models.status import repair as repair_models

    repaired = repair_models(_running(name))
    if as_json:
        echo_json({"repaired": repaired})
    else:
        click.echo(f"loaded anew: {', '.join(repaired)}" if repaired else "nothing was broken")


@triton.command()
@_name
@json_option
def down(*, name: str, as_json: bool) -> None:
    """Stop the server and clean up after it; nothing to stop is fine."""
    from triton_models import runs, server

    run = runs.load(runs.run_folder(name))
    alive = run is not None and run.server.alive()
    graceful = server.stop(run) if run is not None else True
    if as_json:
        echo_json({"stopped": alive, "graceful": graceful})
    elif not alive:
        click.echo(f"no server {name!r} was running")
    else:
        click.echo("stopped" if graceful else "did not stop by itself, so it was killed")


@triton.command()
@_profile
@click.option("--out", "folder", required=True, type=click.Path(file_okay=False))
@json_option
def build(*, profile: str, folder: str, as_json: bool) -> None:
    """Write the model repository of a profile, to be looked at or carried elsewhere."""
    from pathlib import Path

    from triton_models.repository import RepositoryOptions, build_repository
    from triton_models.runs import REPOSITORY

    where = Path(folder).absolute()
    models = build_repository(where, RepositoryOptions(profile=profile))
    if as_json:
        echo_json({"repository": str(where / REPOSITORY), "models": list(models)})
    else:
        click.echo(f"{len(models)} models in {where / REPOSITORY}: {', '.join(models)}")


def _running(name: str) -> Run:
    from triton_models import runs
    from triton_models.errors import ServerUnavailableError

    run = runs.find(name)
    if run is not None:
        return run
    dead = runs.load(runs.run_folder(name))
    reason = f"has died; {dead.log} says why" if dead is not None else "is not running"
    raise ServerUnavailableError(f"the server {name!r} {reason}. Start it with `tipoff triton up`")


def _stay(run: Run) -> None:
    """Wait for the end of the server or of the patience of whoever started it."""
    import signal
    import threading

    from triton_models.errors import ServerUnavailableError
    from triton_models.server import stop

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        while not ended.wait(1.0):
            if not run.server.alive():
                raise ServerUnavailableError(f"the server has died; {run.log} says why")
    finally:
        stop(run)


def _describe_run(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "profile": run.profile,
        "pid": run.server.pid,
        "http": run.http_address,
        "grpc": run.grpc_address,
        "metrics": run.metrics_address,
        "log": str(run.log),
    }


def _describe(model: ModelStatus) -> dict[str, Any]:
    return {
        "name": model.name,
        "healthy": model.problem is None,
        "problem": model.problem,
        "latency_ms": round(model.latency_ms, 1),
        "processes": model.processes,
        "resident_mib": round(model.resident_mib, 1),
    }


def _show_run(run: Run, *, already: bool, as_json: bool) -> None:
    if as_json:
        echo_json({**_describe_run(run), "already_up": already})
        return
    click.echo("already up" if already else "up, every model has answered")
    click.echo(f"  http     {run.http_address}\n  grpc     {run.grpc_address}")
    click.echo(f"  metrics  http://{run.metrics_address}/metrics\n  log      {run.log}")


def _show_models(run: Run, models: list[ModelStatus]) -> None:
    from triton_models.processes import resident_mib

    click.echo(f"server {run.name}, process {run.server.pid}, grpc {run.grpc_address}")
    for model in models:
        memory = f"{model.resident_mib:7.0f} MiB" if model.processes else " " * 11
        state = "answers" if model.problem is None else "BROKEN "
        click.echo(f"  {model.name:16} {state} {model.latency_ms:8.1f} ms {memory}")
    click.echo(f"  {'(the server)':16} {'':7} {'':11} {resident_mib(run.server.pid):7.0f} MiB")
    for model in models:
        if model.problem is not None:
            click.echo(f"{model.name}: {model.problem}")
