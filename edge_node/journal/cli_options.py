"""What several commands about journals ask for."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_node.moments import MOMENT

if TYPE_CHECKING:
    from collections.abc import Callable

journals_option = click.option(
    "--journals",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of all journals; by default the one in the user's state folder.",
)


def span_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Ask for a time of the game by ``--from``, ``--to`` or ``--last``; given on as ``span``."""

    @wraps(command)
    def with_span(
        *, from_ns: int | None, to_ns: int | None, last_s: float | None, **given: Any
    ) -> Any:
        from edge_node.journal.parts import Span
        from tipoff.errors import InvalidInputError

        try:
            span = Span(from_ns, to_ns, last_s)
        except InvalidInputError as error:
            raise click.UsageError(f"--from, --to and --last: {error.message}") from None
        return command(span=span, **given)

    for option in reversed(_SPAN):
        with_span = option(with_span)
    return with_span


_SPAN = (
    click.option(
        "--from",
        "from_ns",
        type=MOMENT,
        help="From this time on, such as 2026-03-01T19:30:00+00:00, or ns UTC.",
    ),
    click.option("--to", "to_ns", type=MOMENT, help="Up to this time."),
    click.option(
        "--last",
        "last_s",
        type=click.FloatRange(min=0.1),
        metavar="SECONDS",
        help="The last so many seconds that the journal has, instead of --from and --to.",
    ),
)
