"""`tipoff journal`; `tipoff verify` and `tipoff replay` have modules of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_node.journal.cli_options import journals_option, span_options
from edge_node.journal.replay_cli import replay
from edge_node.journal.telling import made_by, text
from edge_node.journal.verify_cli import verify
from tipoff.console import echo_json, json_option

if TYPE_CHECKING:
    from edge_node.journal.parts import Span
    from edge_node.journal.reading import JournalReader, Overview

__all__ = ["journal", "replay", "verify"]

GB = 1e9


@click.group()
def journal() -> None:
    """What this machine keeps of its sessions."""


@journal.command("ls")
@journals_option
@json_option
def list_journals(journals: Path | None, as_json: bool) -> None:
    """List the sessions that have a journal."""
    from edge_node.journal.where import all_journals

    found = (_row(name, folder) for name, folder in all_journals(journals))
    rows = [row for row in found if row is not None]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        state = row["damage"] or ("written now" if row["written"] else "")
        click.echo(
            f"{row['session']:24} {row['size_gb']:8.3f} GB  records {row['first']}-{row['last']}"
            f"  epoch {row['epoch']}  {state}".rstrip()
        )
    if not rows:
        click.echo("no journals")


def _row(name: str, folder: Path) -> dict[str, Any] | None:
    """Say what a journal is; None where it went since it was listed."""
    from edge_node.journal.errors import JournalDamagedError
    from edge_node.journal.reading import JournalReader, begin_again
    from tipoff.errors import NotFoundError, UnavailableError

    try:
        found = begin_again(folder, JournalReader.overview)
    except NotFoundError:
        return None
    except (JournalDamagedError, UnavailableError) as error:
        unknown = {"first": 0, "last": 0, "epoch": 0, "size_gb": 0.0, "written": False}
        return {"session": name, "folder": str(folder), **unknown, "damage": error.message}
    damage = f"damage was moved aside: {', '.join(found.aside)}" if found.aside else ""
    return {
        "session": found.session,
        "folder": str(folder),
        "first": found.first,
        "last": found.last,
        "epoch": found.epoch,
        "size_gb": found.size_bytes / GB,
        "written": found.written,
        "damage": damage,
    }


@journal.command()
@click.argument("session")
@journals_option
@json_option
def info(session: str, journals: Path | None, as_json: bool) -> None:
    """Say what a journal holds and what made it."""
    from edge_node.journal.reading import begin_again
    from edge_node.journal.where import find_journal

    folder = find_journal(session, journals)
    found, ends_ns = begin_again(folder, lambda reader: (reader.overview(), _ends_ns(reader)))
    described = _describe(found, ends_ns, folder)
    if as_json:
        echo_json(described)
    else:
        _show(described)


def _ends_ns(reader: JournalReader) -> tuple[int, int] | None:
    """Give the times of the first and the newest snapshot; None where that cannot be read."""
    from edge_node.journal.errors import JournalDamagedError
    from edge_node.journal.parts import ends_of

    try:
        return ends_of(reader)
    except JournalDamagedError:
        return None  # `tipoff verify` says more


def _describe(found: Overview, ends_ns: tuple[int, int] | None, folder: Path) -> dict[str, Any]:
    from edge_node.moments import show_moment

    first, newest = map(show_moment, ends_ns) if ends_ns else ("", "")
    return {
        "session": found.session,
        "folder": str(folder),
        "files": found.files,
        "size_gb": found.size_bytes / GB,
        "first_record": found.first,
        "last_record": found.last,
        "epoch": found.epoch,
        "first_snapshot": first,
        "newest_snapshot": newest,
        "written_now": found.written,
        "ended": f"{found.ended.reason}: {found.ended.detail}" if found.ended else "",
        "public_key": found.opened.public_key.hex(),
        "moved_aside": list(found.aside),
        **made_by(found.opened.facts),
    }


def _show(described: dict[str, Any]) -> None:
    for name, value in described.items():
        click.echo(f"{name.replace('_', ' '):15} {text(value)}")


@journal.command("export")
@click.argument("session")
@span_options
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder to write into.",
)
@journals_option
@json_option
def export_journal(
    session: str, span: Span, out: Path, journals: Path | None, as_json: bool
) -> None:
    """Write observations and snapshots as Parquet, heads and facts as JSON.

    All of the game, or what --from, --to and --last name of it.
    """
    from dataclasses import asdict

    from edge_node.journal.exporting import export
    from edge_node.journal.where import find_journal

    done = export(find_journal(session, journals), out, span)
    if as_json:
        echo_json({**asdict(done), "out": str(out)})
        return
    click.echo(
        f"{done.observations} camera frames ({done.left_out} left out), {done.snapshots} snapshots"
        f" and {done.heads} signed heads in {out}"
    )
    if done.recordings > 1:
        click.echo(
            "The times fall, as where the node's clock was set back: the camera frames are in"
            f" {done.recordings} recordings, up to observations-{done.recordings}.parquet"
        )


@journal.command()
@click.argument("session")
@click.option("--max-gb", type=click.FloatRange(min=0.0), help="Size beyond which files go.")
@click.option("--max-age-h", type=click.FloatRange(min=0.0), help="Age beyond which files go.")
@journals_option
@json_option
def prune(
    session: str,
    max_gb: float | None,
    max_age_h: float | None,
    journals: Path | None,
    as_json: bool,
) -> None:
    """Remove a journal's oldest files.

    The newest checkpoint and all after it stay, and so does what has yet to be carried up.
    """
    from edge_node.journal.keeping import KeepOptions, prune_by_hand
    from edge_node.journal.where import find_journal

    if max_gb is None and max_age_h is None:
        raise click.UsageError("give --max-gb, --max-age-h, or both")
    options = KeepOptions(
        max_bytes=None if max_gb is None else round(max_gb * GB),
        max_age_s=None if max_age_h is None else max_age_h * 3600,
    )
    removed = prune_by_hand(find_journal(session, journals), options)
    if as_json:
        echo_json({"removed": [place.name for place in removed]})
    else:
        click.echo(f"{len(removed)} files removed")
