"""What every command of `tipoff` shares: `--json`, progress, logs, errors and exit codes."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import click

from tipoff.credentials import redact
from tipoff.errors import InternalError, InvalidInputError, TipoffError

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

PLAIN_PROGRESS_EVERY_S = 5.0
"""How often progress is written where it goes to a file instead of a terminal."""

_F = TypeVar("_F", bound=Callable[..., Any])


def json_option(command: _F) -> _F:
    """Add `--json` to a command, given to it as `as_json`.

    With it, stdout holds one JSON document and nothing else: the result, or the error.
    """
    text = "Write the result, or the error, as JSON on stdout."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def echo_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write one JSON document to stdout.

    Raises:
        ValueError: Something in it is NaN or infinite, which JSON has no word for.
    """
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


class Progress(Protocol):
    """How far something long is."""

    def advance(self, steps: int = 1) -> None:
        """Say that so many more are done."""

    def update(self, done: int, total: int | None = None) -> None:
        """Say how many are done, and of how many when that was not known before."""


@contextmanager
def progress(label: str, total: int | None, unit: str = "") -> Iterator[Progress]:
    """Show on stderr how far something is: a bar on a terminal, else a line now and then.

    Args:
        label: What is going on, such as "Tracking".
        total: How many steps there are, or None where nobody knows.
        unit: What a step is, such as "frames" or "bytes".
    """
    if sys.stderr.isatty():
        with _bar(label, total, unit) as bar:
            yield bar
        return
    lines = _Lines(label, total, unit)
    yield lines
    lines.close()


class _Lines:
    """Progress where nobody watches: a line every few seconds, and one at the end."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._started = self._written = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self.update(self._done + steps)

    def update(self, done: int, total: int | None = None) -> None:
        self._done = done
        self._total = total if total is not None else self._total
        if time.monotonic() - self._written >= PLAIN_PROGRESS_EVERY_S:
            self._write("")

    def close(self) -> None:
        self._write(", done")

    def _write(self, end: str) -> None:
        self._written = time.monotonic()
        of = f"/{self._total}" if self._total is not None else ""
        unit = f" {self._unit}" if self._unit else ""
        spent_s = self._written - self._started
        click.echo(f"{self._label}: {self._done}{of}{unit}, {spent_s:.1f} s{end}", err=True)


class _Bar:
    """Progress on a terminal, drawn by rich."""

    def __init__(self, drawn: Any, task: Any) -> None:
        self._drawn, self._task = drawn, task

    def advance(self, steps: int = 1) -> None:
        self._drawn.advance(self._task, steps)

    def update(self, done: int, total: int | None = None) -> None:
        self._drawn.update(
            self._task, completed=done, **({} if total is None else {"total": total})
        )


@contextmanager
def _bar(label: str, total: int | None, unit: str) -> Iterator[_Bar]:
    from rich import progress as rich_progress  # 60 ms that only a long job pays
    from rich.console import Console

    size = [rich_progress.DownloadColumn()] if unit == "bytes" else []
    count = [] if size else [rich_progress.MofNCompleteColumn(), rich_progress.TextColumn(unit)]
    columns = [rich_progress.TextColumn("{task.description}"), rich_progress.BarColumn()]
    clocks = [rich_progress.TimeElapsedColumn(), rich_progress.TimeRemainingColumn()]
    drawn = rich_progress.Progress(*columns, *size, *count, *clocks, console=Console(stderr=True))
    with drawn:
        yield _Bar(drawn, drawn.add_task(label, total=total))


_process_ids: dict[str, str | int] = {}


def name_process(**ids: str | int) -> None:
    """Have every log line of this process carry these ids, whichever thread writes it."""
    _process_ids.update(ids)


def _add_process_ids(_logger: Any, _method: str, event: Any) -> Any:
    for name, value in _process_ids.items():
        event.setdefault(name, value)
    return event


def _redact_all(_logger: Any, _method: str, event: Any) -> Any:
    return {name: _redacted(value) for name, value in event.items()}


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_redacted(one) for one in value]
    return value


def configure_logging(verbosity: int = 0, level: str | None = None) -> None:
    """Send structlog to stderr, so that stdout stays the result's.

    `TIPOFF_LOG` (debug, info, warning, error) says from which level, else `level`, else
    `verbosity`: 0 is warning, 1 info, 2 debug. `TIPOFF_LOG_FORMAT=json` writes a JSON object a
    line. Tracebacks are written without the values of variables, and every URL without credentials:
    logs are read, kept and sent by many.

    Raises:
        InvalidInputError: `TIPOFF_LOG` names no level.
    """
    import structlog  # not paid by `tipoff --help`

    renderer = (
        structlog.processors.JSONRenderer()
        if os.environ.get("TIPOFF_LOG_FORMAT") == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_process_ids,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_all,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level(verbosity, level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _level(verbosity: int, level: str | None) -> int:
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    default = level or ("warning", "info", "debug")[min(verbosity, 2)]
    name = os.environ.get("TIPOFF_LOG", default).lower()
    if name not in levels:
        raise InvalidInputError(f"TIPOFF_LOG={name} is no level; use one of {', '.join(levels)}")
    return levels[name]


def run(call: Callable[[], object], *, as_json: bool) -> int:
    """Call a command and turn whatever it ends with into a message and an exit code.

    Args:
        call: The command; click's own exceptions and exits are understood.
        as_json: Whether a program reads the error.

    Returns:
        The exit code for the process.
    """
    try:
        result = call()
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except BrokenPipeError:
        return _broken_pipe()
    except Exception as error:  # here, and only here, everything ends
        return _report(error, as_json=as_json)
    return result if isinstance(result, int) else 0


def _broken_pipe() -> int:
    # The reader has gone; what Python still wants to flush at its end has to go somewhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE


def _report(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("TIPOFF_DEBUG") == "1":
        click.echo(redact("".join(traceback.format_exception(error))), err=True, nl=False)
    known = as_tipoff_error(error)
    if as_json:
        echo_json({"error": describe(known)})
    elif isinstance(error, click.ClickException):
        error.show()
    else:
        click.echo(f"error: {known}", err=True)
    return known.exit_code


def as_tipoff_error(error: Exception) -> TipoffError:
    """Give any error its place in the tree: what nobody foresaw is Tipoff's own fault."""
    if isinstance(error, TipoffError):
        return error
    if isinstance(error, click.ClickException):
        return InvalidInputError(error.format_message())
    return InternalError(
        f"{type(error).__name__}: {redact(str(error))}. This is a fault of Tipoff itself; "
        "TIPOFF_DEBUG=1 shows where, for a report"
    )


def describe(error: TipoffError) -> dict[str, Any]:
    """Write an error for a program: type, message, status, retryable, ids."""
    return {
        "type": type(error).__name__,
        "message": str(error),
        "status": error.status,
        "retryable": error.retryable,
        "ids": {name: _plain(value) for name, value in error.ids.items()},
    }


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | bool | None) else str(value)
