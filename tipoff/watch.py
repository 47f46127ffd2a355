"""`tipoff watch`: follow a server of tracks in a terminal, or as lines of JSON."""

from __future__ import annotations

from typing import Any

import click

DEFAULT_ADDRESS = "127.0.0.1:7400"


@click.command()
@click.argument("address", default=DEFAULT_ADDRESS, metavar="[HOST:PORT]")
@click.option("--session", help="Session to follow; by default the only one there.")
@click.option(
    "--from-sequence",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="First snapshot wanted, 1 for all that are held; 0 begins with the newest.",
)
@click.option(
    "--max-rate",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="HZ",
    help="Highest rate wanted, in snapshots per second of play.",
)
@click.option(
    "--kind",
    type=click.Choice(["live", "smoothed"]),
    default="live",
    show_default=True,
    help="Everybody now, or the same times later and more accurate.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after N snapshots.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="S",
    help="Seconds to wait for the server's first answer.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Write a line of JSON for each snapshot to stdout."
)
@click.option(
    "--heartbeats", is_flag=True, help="Among lines of JSON, one for each heartbeat as well."
)
def watch(address: str, count: int | None, as_json: bool, heartbeats: bool, **given: Any) -> None:
    r"""Follow the tracks that a server streams.

    On a terminal: who is where, how fast and how well seen, whether officials may rely on it, how
    the cameras do and how far behind the stream is. Elsewhere, or with --json, a line of JSON for
    each snapshot, after one with the stream's header; what is not known is null.

    It resumes by itself where a connection breaks, and ends when the session does.

    \b
    $ tipoff watch
    $ tipoff watch arena-7:7400 --from-sequence 1 --max-rate 10
    $ tipoff watch --json --count 100 | jq .tracks[].position_m
    """
    from tipoff.client import Client
    from tipoff.follow import ClientOptions
    from tipoff.viewing import choose_view, follow

    options = ClientOptions(connect_timeout_s=given["timeout_s"])
    with Client(address, options) as client:
        stream = client.stream_tracks(
            given["session"], given["from_sequence"], given["max_rate"], kind=given["kind"]
        )
        with choose_view(stream, as_json=as_json, heartbeats=heartbeats) as view:
            follow(stream, view, count)
