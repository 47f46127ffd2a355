"""`tipoff clip`: a play out of a live session, from all its cameras."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipoff.console import echo_json, json_option
from tipoff.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from accel import Snapshot
    from edge_node.cameras.clip import Clip, Play
    from edge_node.journal.reading import JournalReader

_S = 1_000_000_000
LAST_EPOCH = 2**63
"""No epoch comes to it."""


@click.command()
@click.argument("session")
@click.option("--from", "from_text", metavar="TIME", help="When the play begins.")
@click.option("--to", "to_text", metavar="TIME", help="When it ends.")
@click.option(
    "--last",
    type=click.FloatRange(min=0.1, max=600.0),
    help="The last so many seconds that the journal has, instead of --from and --to.",
)
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
def clip(session: str, out: Path, smoothed: bool, as_json: bool, **when: Any) -> None:
    """Cut a play out of the last minutes of a live session, from all its cameras.

    Writes CAMERA.mp4, each camera as it was sent, from the key frame before the play, and
    skeletons.mp4: all of them side by side, with the tracks as the journal has them. SESSION is the
    session's name, or its file. A TIME is such as 2026-03-01T19:30:00+00:00, or ns UTC. The node
    may be running.

    \b
    $ tipoff clip game-7 --last 20 --out out/play
    $ tipoff clip game.toml --from 2026-03-01T19:30:00+00:00 --to 2026-03-01T19:30:08+00:00 --out p
    """  # noqa: D301 - click's own mark
    from edge_node.cameras.clip import cut_play
    from edge_node.journal.reading import begin_again

    def cut(play: Play) -> Clip:
        snapshots = snapshots_of(reader, play, smoothed=smoothed)
        return cut_play(ring, play, out, facts.rig, facts.tracker.skeleton, snapshots)

    journal, ring = find_folders(session)
    reader, facts = begin_again(journal, lambda found: (found, found.overview().opened.facts))
    play = _play(reader, smoothed=smoothed, **when)
    plays = plays_of(reader, play, smoothed=smoothed)
    # The last seconds are the newest ones alone.
    done = _cut_newest(plays if when["last"] is None else plays[:1], cut)
    if len(plays) > 1:
        click.echo(
            f"warning: the node's clock was set back, and there are {len(plays)} plays of that"
            " time; this is the newest of which there is video",
            err=True,
        )
    if as_json:
        echo_json(
            {
                "from_ns": play.from_ns,
                "to_ns": play.to_ns,
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


def _cut_newest(plays: Sequence[Play], cut: Callable[[Play], Clip]) -> Clip:
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


def snapshots_of(reader: JournalReader, play: Play, *, smoothed: bool) -> Iterator[Snapshot]:
    """Read the snapshots of a play's epochs out of a journal, in its order."""
    from edge_node.journal.codec import Kind, decode
    from edge_node.journal.entries import Snapped
    from edge_node.journal.messages import tracks_in

    kind = Kind.SMOOTHED if smoothed else Kind.LIVE
    for record in reader.records(past_pruned=True):
        if record.kind != kind or not play.may_hold(record.epoch):
            continue
        if play.from_ns <= record.time_ns <= play.to_ns:
            entry = decode(record)
            assert isinstance(entry, Snapped)
            yield tracks_in(record, entry)


def plays_of(reader: JournalReader, play: Play, *, smoothed: bool) -> list[Play]:
    """Tell plays of one time apart: where the node's clock was set back there are more than one.

    Returns:
        The play with its epochs, as often as it was played, the newest first; as it is where no
        snapshot is of that time.
    """
    from edge_node.journal.codec import Kind

    kind = Kind.SMOOTHED if smoothed else Kind.LIVE
    begins, within = [0], [False]
    epoch, newest_ns = 0, 0
    for record in reader.records(past_pruned=True):
        if record.kind != kind:
            continue
        # A process has one clock, so that times fall between epochs alone.
        if epoch and record.epoch != epoch and record.time_ns <= newest_ns:
            begins.append(record.epoch)
            within.append(False)
        epoch, newest_ns = record.epoch, record.time_ns
        within[-1] = within[-1] or play.from_ns <= record.time_ns <= play.to_ns
    # The newest epochs may have no snapshot yet.
    ends = [*begins[1:], LAST_EPOCH]
    found = [
        replace(play, epochs=range(begin, end))
        for begin, end, here in zip(begins, ends, within, strict=True)
        if here
    ]
    return found[::-1] or [play]


def _play(
    reader: JournalReader,
    *,
    smoothed: bool,
    from_text: str | None,
    to_text: str | None,
    last: float | None,
) -> Play:
    from edge_node.cameras.clip import Play
    from edge_node.journal.codec import Kind

    if last is None:
        if from_text is None or to_text is None:
            raise click.UsageError("give --from and --to, or --last")
        return Play(read_moment(from_text, "--from"), read_moment(to_text, "--to"))
    if from_text is not None or to_text is not None:
        raise click.UsageError("give --from and --to, or --last, and not both")
    kind = Kind.SMOOTHED if smoothed else Kind.LIVE
    newest = 0
    for record in reader.records(past_pruned=True):
        # The last one, not the latest: the node's clock may have been set back.
        if record.kind == kind:
            newest = record.time_ns
    if not newest:
        raise NotFoundError("the journal has no snapshot yet")
    return Play(newest - round(last * _S), newest)


def read_moment(text: str, option: str) -> int:
    """Read a time with its zone, or ns UTC."""
    from edge_node.cli import read_time

    if text.isdigit():
        return int(text)
    try:
        return read_time(text)
    except click.BadParameter as error:
        raise click.BadParameter(error.message, param_hint=option) from None
