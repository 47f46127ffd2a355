"""`tipoff journal`, `tipoff verify` and `tipoff replay`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_node.listening import linger_option, listen_option
from tipoff.console import echo_json, json_option, progress

if TYPE_CHECKING:
    from edge_node.journal.facts import SessionFacts
    from edge_node.journal.reading import Overview
    from edge_node.journal.verdict import Verdict

GB = 1e9
EXIT_DIFFERS = 1
EXIT_NOT_REPLAYED = 4

journals_option = click.option(
    "--journals",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of all journals; by default the one in the user's state folder.",
)


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
    from edge_node.journal.reading import JournalReader, begin_again
    from edge_node.journal.where import find_journal

    folder = find_journal(session, journals)
    found = begin_again(folder, JournalReader.overview)
    described = _describe(found, folder)
    if as_json:
        echo_json(described)
    else:
        _show(described)


def _describe(found: Overview, folder: Path) -> dict[str, Any]:
    return {
        "session": found.session,
        "folder": str(folder),
        "files": found.files,
        "size_gb": found.size_bytes / GB,
        "first_record": found.first,
        "last_record": found.last,
        "epoch": found.epoch,
        "written_now": found.written,
        "ended": f"{found.ended.reason}: {found.ended.detail}" if found.ended else "",
        "public_key": found.opened.public_key.hex(),
        "moved_aside": list(found.aside),
        **_made_by(found.opened.facts),
    }


def _made_by(facts: SessionFacts) -> dict[str, Any]:
    return {
        "node": facts.node,
        "rig": f"sha256:{facts.rig.digest()}",
        "cameras": list(facts.rig.names),
        "models": [{"name": name, "digest": digest} for name, digest in facts.models],
        "code": {
            "tipoff": facts.build.version,
            "native": f"sha256:{facts.build.native_sha256}",
            "machine": facts.build.machine,
            "isa": facts.isa,
        },
    }


def _show(described: dict[str, Any]) -> None:
    for name, value in described.items():
        click.echo(f"{name.replace('_', ' '):13} {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(_text(item) for item in value) or "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "-"


@journal.command("export")
@click.argument("session")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder to write into.",
)
@journals_option
@json_option
def export_journal(session: str, out: Path, journals: Path | None, as_json: bool) -> None:
    """Write observations and snapshots as Parquet, heads and facts as JSON."""
    from dataclasses import asdict

    from edge_node.journal.exporting import export
    from edge_node.journal.where import find_journal

    done = export(find_journal(session, journals), out)
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
        echo_json(_verdict(verdict))
    else:
        click.echo("\n".join(_say(verdict)))
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


def _verdict(verdict: Verdict) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "session": verdict.session,
        "holds": verdict.holds,
        "found": [{"record": found.record, "what": found.what} for found in verdict.found],
        "first_record": verdict.first,
        "last_record": verdict.last,
        "last_hash": verdict.last_hash.hex(),
        "vouched": verdict.vouched,
        "signed_up_to": verdict.head_record,
        "signed_ns": verdict.head_ns,
        "unsigned": [asdict(unsigned) for unsigned in verdict.unsigned],
        "heads": verdict.heads,
        "public_keys": [key.hex() for key in verdict.public_keys],
        "replayed_from": verdict.replayed_from,
        "not_replayed": verdict.not_replayed,
        "observations": verdict.observations,
        "snapshots": verdict.snapshots,
        "checkpoints": verdict.checkpoints,
        "moved_aside": [{"record": cut.record, "what": cut.what} for cut in verdict.cuts],
        "epochs": [{"epoch": epoch, **_made_by(facts)} for epoch, facts in verdict.made_by],
    }


def _say(verdict: Verdict) -> list[str]:
    """Say in a few lines what was proved and what was found."""
    lines = [f"session {verdict.session}, records {verdict.first} to {verdict.last}"]
    for epoch, facts in verdict.made_by:
        made = _made_by(facts)
        lines.append(f"  epoch {epoch}: node {_text(made['node'])}, rig {made['rig']}")
        lines.append(f"    models: {_text(made['models'])}")
        lines.append(f"    code: {_text(made['code'])}")
    keys = ", ".join(key.hex() for key in verdict.public_keys)
    lines.append(f"chain: {_signed(verdict)}")
    lines += [
        f"  behind the last head of epoch {behind.epoch}: records {behind.first} to {behind.last},"
        f" {behind.play_ns / 1e9:.2f} s of play"
        for behind in verdict.unsigned
    ]
    lines.append(f"  keys: {keys or 'none'}")
    if not verdict.vouched:
        lines.append("  nobody vouched for them: give --key, or a --head from elsewhere")
    counts = ", ".join(f"{count} {kind}" for kind, count in verdict.snapshots.items())
    if verdict.replayed_from is not None:
        lines.append(
            f"replay: {verdict.observations} observations from record {verdict.replayed_from} on;"
            f" bit for bit: {counts or 'no'} snapshots, {verdict.checkpoints} checkpoints"
        )
    if verdict.not_replayed:
        lines.append(f"not replayed: {verdict.not_replayed}")
    lines += [f"moved aside before record {cut.record}: {cut.what}" for cut in verdict.cuts]
    lines += [f"WRONG: {found.what}" for found in verdict.found]
    lines.append("holds" if verdict.holds else "does not hold")
    return lines


def _signed(verdict: Verdict) -> str:
    if not verdict.heads:
        return "signed nowhere"
    at = datetime.fromtimestamp(verdict.head_ns / 1e9, UTC).isoformat(" ", "seconds")
    return f"signed up to record {verdict.head_record}, at {at}, by {verdict.heads} heads"


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
@linger_option
@journals_option
@json_option
def replay(session: str, journals: Path | None, as_json: bool, **given: Any) -> None:
    """Serve a past game again, as it was.

    Messages, epochs, times and signed heads are those of the night; only Header.replay says that
    it is not live.

    \b
    $ tipoff replay finals --speed 4
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
    )
    again = Replay(find_journal(session, journals), options)
    with on_term(again.stop):
        again.run()
