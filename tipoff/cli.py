"""The command `tipoff`: one command line over the commands that the rooms bring.

A room registers its command as an entry point of the group `tipoff.commands`; nothing here
imports a room by name. One that cannot be loaded is shown with its reason and harms no other.
"""

from __future__ import annotations

import functools
import os
import platform
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from types import FrameType

import click
from click.shell_completion import shell_complete

from tipoff import console
from tipoff.errors import UnavailableError

ENTRY_POINTS = "tipoff.commands"

SECTIONS = {
    "Track": ("track", "serve", "watch"),
    "Game night": ("node", "clip"),
    "Afterwards": ("journal", "verify", "replay"),
    "Set up": ("rig", "models", "triton"),
}
"""In which order the help lists the commands; one that is not here follows under "More"."""

EXAMPLES = {
    "track": "tipoff track --rig rig.toml --out out/game cam1.mp4 cam2.mp4",
    "serve": "tipoff serve --rig rig.toml cam1.mp4 cam2.mp4",
    "watch": "tipoff watch localhost:7400",
    "node": "tipoff node run game.toml",
    "clip": "tipoff clip game-7 --from 19:32:10 --to 19:32:25",
    "journal": "tipoff journal ls",
    "verify": "tipoff verify game-7",
    "replay": "tipoff replay game-7 --speed 2",
    "rig": "tipoff rig show rig.toml",
    "models": "tipoff models pull",
    "triton": "tipoff triton up",
}

HELP = """3D positions and poses of everyone on the court, from calibrated cameras.

\b
From four videos and their calibration to tracks:
  tipoff models pull                  get the pose models, once
  tipoff rig show rig.toml            look at the calibration
  tipoff track --rig rig.toml --out out/game cam1.mp4 cam2.mp4 cam3.mp4 cam4.mp4
Then open out/game/report.html and out/game/overlay.mp4.
"""

EPILOG = """\b
Exit codes: 0 done, 1 failed, 2 wrong input, 3 not found, 4 conflict, 5 unavailable (try again),
6 took too long, 70 a fault of Tipoff, 130 interrupted.
TIPOFF_LOG=info shows what happens; TIPOFF_DEBUG=1 shows where an error came from.
Tab completion: eval "$(_TIPOFF_COMPLETE=bash_source tipoff)"
"""


class Unavailable(click.Command):
    """Stands for a command whose room cannot be loaded, and says why when it is called."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, short_help=f"(unavailable: {reason})", add_help_option=False)
        self.reason = reason
        self.ignore_unknown_options = True
        self.allow_extra_args = True

    def invoke(self, ctx: click.Context) -> None:
        """Refuse, with the reason."""
        raise UnavailableError(
            f"`tipoff {self.name}` cannot be loaded: {self.reason}. The installation is "
            "incomplete; install Tipoff again (`pip install .`, or `make native` in its tree)",
            command=self.name,
        )


class Rooms(click.Group):
    """A group whose commands are entry points, loaded when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the help."""
        known = [name for names in SECTIONS.values() for name in names]
        found = set(_entries())
        return [name for name in known if name in found] + sorted(found - set(known))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command, or what stands for it where it cannot be loaded."""
        entry = _entries().get(cmd_name)
        return None if entry is None else _load(entry)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, an example under each."""
        names = self.list_commands(ctx)
        listed = [name for section in SECTIONS.values() for name in section]
        sections = {**SECTIONS, "More": tuple(name for name in names if name not in listed)}
        for title, section in sections.items():
            present = [name for name in section if name in names]
            if present:
                with formatter.section(title):
                    self._format_section(ctx, formatter, present)

    def _format_section(
        self, ctx: click.Context, formatter: click.HelpFormatter, names: Sequence[str]
    ) -> None:
        for name in names:
            command = self.get_command(ctx, name)
            if isinstance(command, Unavailable):
                formatter.write(f"{'':{formatter.current_indent}}{name:8}{command.short_help}\n")
                continue
            line = command.get_short_help_str(limit=formatter.width - 12) if command else ""
            formatter.write(f"{'':{formatter.current_indent}}{name:8}{line}\n")
            if name in EXAMPLES:
                formatter.write(f"{'':{formatter.current_indent + 8}}$ {EXAMPLES[name]}\n")


@functools.cache
def _entries() -> dict[str, metadata.EntryPoint]:
    return {entry.name: entry for entry in metadata.entry_points(group=ENTRY_POINTS)}


def _load(entry: metadata.EntryPoint) -> click.Command:
    try:
        command = entry.load()
    except Exception as error:  # whatever is wrong with one room stays its own
        return Unavailable(entry.name, f"{type(error).__name__}: {error}")
    if not isinstance(command, click.Command):
        return Unavailable(entry.name, f"{entry.value} is no command")
    return command


def version_line() -> str:
    """Say what runs here, for a report of a fault."""
    core = "with its core" if _has_core() else "without its core: run `make native`"
    python = f"Python {platform.python_version()}"
    return f"tipoff {metadata.version('tipoff')} ({core}; {python}, {platform.platform()})"


def _has_core() -> bool:
    from importlib.util import find_spec

    try:
        return find_spec("accel._core") is not None
    except ImportError:
        return False


def _version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(version_line())
        ctx.exit()


@click.command(cls=Rooms, help=HELP, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.option("-v", "--verbose", count=True, help="Log what happens (twice: in detail) to stderr.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Say what runs here, and end.",
)
@click.pass_obj
def root(arguments: list[str] | None, verbose: int) -> None:
    """Set up what all commands share."""
    if "--help" not in (arguments or ()):
        console.configure_logging(verbose)


def _terminated(number: int, _frame: FrameType | None) -> None:
    # An exception instead of a sudden death, so that servers and shared memory are given back.
    raise click.exceptions.Exit(128 + number)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminated)
    as_json = "--json" in given
    code = console.run(lambda: _invoke(given), as_json=as_json)
    sys.exit(code)


def _invoke(arguments: list[str]) -> object:
    # Not `root.main`, which gives a closed pipe and an interrupt exit codes of its own.
    asked = os.environ.get("_TIPOFF_COMPLETE")
    if asked is not None:
        return shell_complete(root, {}, "tipoff", "_TIPOFF_COMPLETE", asked)
    with root.make_context("tipoff", arguments, obj=list(arguments)) as context:
        result: object = root.invoke(context)
    sys.stdout.flush()
    return result


if __name__ == "__main__":
    main()
