"""What several commands about journals ask for."""

from __future__ import annotations

from pathlib import Path

import click

journals_option = click.option(
    "--journals",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of all journals; by default the one in the user's state folder.",
)
