"""What every command that serves a session asks for."""

from __future__ import annotations

import click

listen_option = click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:7400",
    show_default=True,
    help="Where subscribers connect; port 0 takes a free one.",
)
linger_option = click.option(
    "--linger",
    type=click.FloatRange(min=0.0),
    default=0.0,
    show_default=True,
    help="Seconds to stay after the end, for those who read it later.",
)
