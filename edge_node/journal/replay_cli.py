"""`tipoff replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_node.journal.cli_options import journals_option, span_options
from edge_node.listening import linger_option, listen_option
from tipoff.console import json_option

if TYPE_CHECKING:
    from edge_node.journal.parts import Span


@click.command()
@click.argument("session")
@listen_option
@click.option(
    "--speed",
    type=click.FloatRange(min=0.0),
    default=1.0,
    show_default=True,
    help="How many times as fast as it was; 0 is as fast as subscribers follow.",
)
@click.option(
    "--wait-for",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Subscribers to wait for before it begins.",
)
@span_options
@linger_option
@journals_option
@json_option
def replay(session: str, span: Span, journals: Path | None, as_json: bool, **given: Any) -> None:
    """Serve a past game again, as it was.

    Messages, epochs, times and signed heads are those of the night; only Header.replay says that
    it is not live.

    \b
    $ tipoff replay finals --speed 4
    $ tipoff replay finals --from 2026-03-01T19:30:00+00:00 --to 2026-03-01T19:30:08+00:00
    $ tipoff watch
    """  # noqa: D301 - click's own mark
    from edge_node.journal.replaying import Replay, ReplayOptions
    from edge_node.journal.where import find_journal
    from edge_node.signals import on_term

    def announce(address: str, name: str) -> None:
        click.echo(
            f"serving session {name} again at {address}; follow it with: tipoff watch {address}",
            err=True,
        )
        if as_json:
            import json

            click.echo(json.dumps({"address": address, "session": name}))

    options = ReplayOptions(
        listen=given["listen"],
        speed=given["speed"],
        wait_for_subscribers=given["wait_for"],
        linger_s=given["linger"],
        announce=announce,
        span=span,
    )
    again = Replay(find_journal(session, journals), options)
    with on_term(again.stop):
        again.run()
