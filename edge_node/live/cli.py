"""`tipoff node`: a live session on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipoff.console import echo_json, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_node.live.manage import NodeClient

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


def _session_argument(command: Any) -> Any:
    return click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))(
        command
    )


@contextmanager
def _asking(file: Path) -> Iterator[NodeClient]:
    from edge_node.live.config import read_session
    from edge_node.live.manage import NodeClient, address_of

    with NodeClient(address_of(read_session(file))) as client:
        yield client


@node.command()
@_session_argument
@json_option
def status(file: Path, as_json: bool) -> None:
    """Say how a running node and its cameras do.

    \b
    $ tipoff node status game.toml
    """  # noqa: D301 - click's own mark
    from edge_node.live.manage import describe_status, status_json

    with _asking(file) as client:
        found = client.status()
    if as_json:
        echo_json(status_json(found))
    else:
        for line in describe_status(found):
            click.echo(line)


@node.group()
def camera() -> None:
    """Attach and take away the cameras of a running node."""


@camera.command("put")
@_session_argument
@click.argument("name")
@click.argument("source")
@json_option
def put_camera(file: Path, name: str, source: str, as_json: bool) -> None:
    """Attach SOURCE to the camera NAME of the rig, in place of the one it has.

    Credentials are written as ${VARIABLE} and come from the node's environment.

    \b
    $ tipoff node camera put game.toml cam3 'rtsp://${CAM_USER}:${CAM_PASSWORD}@10.0.0.13/stream'
    """  # noqa: D301 - click's own mark
    with _asking(file) as client:
        client.put_camera(name, source)
    _say_done({"camera": name, "attached": True}, f"camera {name} has a new source", as_json)


@camera.command("remove")
@_session_argument
@click.argument("name")
@json_option
def remove_camera(file: Path, name: str, as_json: bool) -> None:
    """Take the source of the camera NAME away."""
    with _asking(file) as client:
        client.remove_camera(name)
    _say_done({"camera": name, "attached": False}, f"camera {name} has no source now", as_json)


@node.command()
@_session_argument
@click.argument("state", type=click.Choice(["off", "rules"]))
@click.option("--reason", default="", help="Who turns it off, and why; needed for off.")
@json_option
def officials(file: Path, state: str, reason: str, as_json: bool) -> None:
    """Turn the availability for officials off by hand, or leave it to the rules again.

    \b
    $ tipoff node officials game.toml off --reason 'A. Smith: cam2 is being replaced'
    $ tipoff node officials game.toml rules
    """  # noqa: D301 - click's own mark
    with _asking(file) as client:
        availability = client.set_officials(off=state == "off", reason=reason)
    line = f"officials: {availability.detail or 'as the rules say'}"
    _say_done({"state": state, "detail": availability.detail}, line, as_json)


@node.command()
@_session_argument
@click.option("--reason", required=True, help="Who ends it, and why; subscribers are told.")
@json_option
def end(file: Path, reason: str, as_json: bool) -> None:
    """End the session for good: what is in flight is sent, subscribers are told, the node goes.

    It cannot be started again: the next game takes a name of its own. To go on later, stop the
    node (SIGTERM) instead.

    \b
    $ tipoff node end game.toml --reason 'final whistle'
    """  # noqa: D301 - click's own mark
    with _asking(file) as client:
        newest = client.end_session(reason)
    line = f"the session ends after snapshot {newest} and what is in flight"
    _say_done({"ended": True, "newest_sequence": newest}, line, as_json)


def _say_done(value: dict[str, Any], line: str, as_json: bool) -> None:
    if as_json:
        echo_json(value)
    else:
        click.echo(line)
