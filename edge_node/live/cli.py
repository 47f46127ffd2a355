"""`tipoff node`: a live session on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from tipoff.console import echo_json, json_option

EXIT_PROBLEMS = 2
"""What `tipoff node check` exits with where the session cannot run as declared."""


@click.group()
def node() -> None:
    """Run a live session that a file declares."""


@node.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def check(file: Path, as_json: bool) -> None:
    """Show what a session file says, and whether what it names is there.

    Reads the rig, the files and the environment; no camera is connected to and no server asked.
    Credentials are never shown. Exits with 2 where the session cannot run as declared.

    \b
    $ tipoff node check game.toml
    """  # noqa: D301 - click's own mark
    from edge_node.live.check import check as check_session
    from edge_node.live.config import read_session

    checked = check_session(read_session(file))
    if as_json:
        echo_json(
            {
                "settings": checked.settings,
                "problems": list(checked.problems),
                "notes": list(checked.notes),
            }
        )
    else:
        width = max(len(heading) for heading, _ in checked.lines)
        for heading, text in checked.lines:
            click.echo(f"{heading:<{width}}  {text}")
        for note in checked.notes:
            click.echo(f"note: {note}")
        for problem in checked.problems:
            click.echo(f"problem: {problem}", err=True)
    if checked.problems:
        raise SystemExit(EXIT_PROBLEMS)


@node.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def run(file: Path, as_json: bool) -> None:
    """Serve a live session until its recordings end, or until SIGTERM or Ctrl-C.

    Everything is on disk before it is sent. Started again, it goes on where it was, with the same
    identities, in the next epoch.

    \b
    $ tipoff node run game.toml
    $ tipoff watch
    """  # noqa: D301 - click's own mark
    from edge_node.live.config import read_session
    from edge_node.live.running import run_session

    run_session(read_session(file), as_json=as_json)
