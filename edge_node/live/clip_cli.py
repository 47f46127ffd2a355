"""`tipoff clip`: a play out of a live session, from all its cameras."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_node.journal.cli_options import span_options
from tipoff.console import echo_json, json_option
from tipoff.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from accel import Snapshot
    from edge_node.cameras.clip import Clip
    from edge_node.journal.codec import Kind
    from edge_node.journal.parts import Part, Span
    from edge_node.journal.reading import JournalReader


@click.command()
@click.argument("session")
@span_options
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the clips; files of the same names are replaced.",
)
@click.option(
    "--smoothed/--live",
    default=True,
    show_default=True,
    help="Whether the smoothed snapshots are drawn, or the live ones.",
)
@json_option
def clip(session: str, span: Span, out: Path, smoothed: bool, as_json: bool) -> None:
    """Cut a play out of the last minutes of a live session, from all its cameras.

    Writes CAMERA.mp4, each camera as it was sent, from the key frame before the play, and
    skeletons.mp4: all of them side by side, with the tracks as the journal has them. SESSION is the
    session's name, or its file. The node may be running.

    \b
    $ tipoff clip game-7 --last 20 --out out/play
    $ tipoff clip game.toml --from 2026-03-01T19:30:00+00:00 --to 2026-03-01T19:30:08+00:00 --out p
    """  # noqa: D301 - click's own mark
    from edge_node.cameras.clip import Play, cut_play
    from edge_node.journal.codec import Kind
    from edge_node.journal.parts import LAST_EPOCH, Part, facts_of, parts
    from edge_node.journal.reading import begin_again

    from_ns, to_ns = span.from_ns, span.to_ns
    if span.last_s is None and (from_ns is None or to_ns is None):
        raise click.UsageError("give --from and --to, or --last")
    kind = Kind.SMOOTHED if smoothed else Kind.LIVE

    def cut(part: Part) -> Clip:
        play = Play(part.from_ns, part.to_ns, part.epochs)
        facts = facts_of(reader, part)
        snapshots = snapshots_of(reader, kind, part)
        return cut_play(ring, play, out, facts.rig, facts.tracker.skeleton, snapshots)

    journal, ring = find_folders(session)
    reader, plays = begin_again(journal, lambda found: (found, parts(found, kind, span)))
    if not plays:
        # There may be video all the same, and snapshots in a moment.
        assert from_ns is not None
        assert to_ns is not None
        plays = [Part(from_ns, to_ns, range(LAST_EPOCH), reader.places[-1].first)]
    done = _cut_newest(plays, cut)
    if len(plays) > 1:
        click.echo(
            f"warning: the node's clock was set back, and there are {len(plays)} plays of that"
            " time; this is the newest of which there is video",
            err=True,
        )
    if as_json:
        echo_json(
            {
                "from_ns": plays[0].from_ns,
                "to_ns": plays[0].to_ns,
                "cameras": dict(done.cameras),
                "drawn": done.drawn,
                "begins_ns": dict(done.begins_ns),
                "plays_of_that_time": len(plays),
            }
        )
        return
    for name, count in done.cameras.items():
        begin = f" from {done.begins_ns[name]} ns UTC" if count else ""
        click.echo(f"{name}: {count} pictures{begin}" if count else f"{name}: nothing at that time")
    click.echo(f"{out}: {done.drawn} pictures with skeletons")


def _cut_newest(plays: Sequence[Part], cut: Callable[[Part], Clip]) -> Clip:
    """Cut the newest play of which there is video."""
    for play in plays[:-1]:
        with suppress(NotFoundError):
            return cut(play)
    return cut(plays[-1])


def find_folders(session: str) -> tuple[Path, Path]:
    """Find the journal and the ring of a session.

    Args:
        session: Its name, or its file.

    Raises:
        NotFoundError: There is no journal of it.
    """
    from edge_node.cameras.ring import FOLDER
    from edge_node.epochs import state_folder
    from edge_node.journal.where import find_journal

    if session.endswith(".toml") and Path(session).is_file():
        from edge_node.live.config import read_session
        from edge_node.live.opening import journal_folder

        settings = read_session(Path(session))
        return journal_folder(settings), settings.state / FOLDER
    return find_journal(session), state_folder() / session / FOLDER


def snapshots_of(reader: JournalReader, kind: Kind, part: Part) -> Iterator[Snapshot]:
    """Read the snapshots of a part of a journal, in its order."""
    from edge_node.journal.codec import decode
    from edge_node.journal.entries import Snapped
    from edge_node.journal.messages import tracks_in

    for record in part.of(reader.records(part.first, past_pruned=True)):
        if record.kind == kind:
            entry = decode(record)
            assert isinstance(entry, Snapped)
            yield tracks_in(record, entry)
