"""`tipoff verify`."""

from __future__ import annotations

from pathlib import Path

import click

from edge_node.journal.cli_options import journals_option
from tipoff.console import echo_json, json_option, progress

EXIT_DIFFERS = 1
EXIT_NOT_REPLAYED = 4


@click.command()
@click.argument("session")
@click.option(
    "--head",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A signed head from elsewhere, as JSON, that the chain must lead to.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="The node's public key, in hexadecimal, that every epoch must be signed by; again for each"
    " that it had.",
)
@click.option("--replay/--no-replay", default=True, help="Whether to run the tracker again.")
@journals_option
@json_option
def verify(
    session: str,
    head: Path | None,
    keys: tuple[str, ...],
    replay: bool,
    journals: Path | None,
    as_json: bool,
) -> None:
    """Prove a session's journal.

    Every record is checked to follow the one before it, every signed head to be a point of that
    chain, every epoch to be signed by the key that it names, and the tracker is run again so that
    every snapshot comes out bit for bit. Exits with 1 where something is not as it was written, 4
    where nothing, or not all, could be run again, 5 where the journal cannot be read here.

    The journal alone proves only that it is of one piece: whoever can write it can make one anew,
    with a key of his own, or put an older one back. --key, noted when the node was set up, says who
    signed. --head, from a client's heartbeats, says what there was at least. Records behind an
    epoch's last head are told; a node that runs, or was killed, has up to a second there.

    \b
    $ tipoff verify finals --head head.json --key 2d0e...
    """  # noqa: D301 - click's own mark
    from edge_node.journal.heads import SignedHead
    from edge_node.journal.telling import verdict_json, verdict_lines
    from edge_node.journal.verdict import VerifyOptions
    from edge_node.journal.verifying import verify as prove
    from edge_node.journal.where import find_journal, is_named

    folder = find_journal(session, journals)
    # A folder that was given by its path may be a copy with another name.
    name = session if is_named(folder, session, journals) else None
    given = None if head is None else SignedHead.from_json(head.read_bytes())
    with progress("Verifying", _records(folder), "records") as bar:
        options = VerifyOptions(given, tuple(map(_key, keys)), name, replay, bar.advance)
        verdict = prove(folder, options)
    if as_json:
        echo_json(verdict_json(verdict))
    else:
        click.echo("\n".join(verdict_lines(verdict)))
    if not verdict.holds:
        raise SystemExit(EXIT_DIFFERS)
    if replay and verdict.not_replayed:
        raise SystemExit(EXIT_NOT_REPLAYED)


def _records(folder: Path) -> int | None:
    """Give about how many records there are; None where that is not known."""
    from edge_node.journal.errors import JournalDamagedError
    from edge_node.journal.reading import JournalReader, begin_again

    try:
        return begin_again(folder, JournalReader.overview).last
    except JournalDamagedError:
        return None


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise click.BadParameter("give 64 hexadecimal digits", param_hint="--key")
    return key
