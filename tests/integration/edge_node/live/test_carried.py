"""A running node lets go of no journal file that has not been carried up, however full it gets.

Nothing carries up yet: the mark is set in the journal's folder as an uplink will set it, and the
node's files and bounds are made small, or nothing would go within a test.
"""

from __future__ import annotations

import json
from pathlib import Path

from edge_node.journal.carried import write_carried
from edge_node.journal.folder import file_bytes, places
from edge_node.journal.where import journals_folder, session_folder
from tests.support.cli import run_tipoff
from tests.support.nodes import Game, NodeProcess, make_game, wait_until

FILE_BYTES, MOST_BYTES = 60_000, 150_000
SMALL = f"""
from dataclasses import replace
from edge_node.journal import keeping
from edge_node.live import opening

keeping.PRUNE_EVERY_S = 0.2
declared = opening._journal_options

def small(settings):
    options = declared(settings)
    keep = replace(options.keep, max_bytes={MOST_BYTES})
    return replace(options, segment_bytes={FILE_BYTES}, keep=keep)

opening._journal_options = small
"""


def small_node(folder: Path) -> tuple[Game, NodeProcess, Path]:
    """A node whose journal's files are small, and the journal's folder."""
    game = make_game(folder, seconds=60, loop=True)
    (folder / "small").mkdir()
    (folder / "small" / "sitecustomize.py").write_text(SMALL)
    node = NodeProcess(game, {"PYTHONPATH": str(folder / "small")})
    return game, node, session_folder("walk", journals_folder(game.state))


def size(folder: Path) -> int:
    return sum(file_bytes(folder, place) for place in places(folder))


def firsts(folder: Path) -> list[int]:
    return [place.first for place in places(folder)]


def verified(folder: Path) -> dict[str, int]:
    ran = run_tipoff("verify", str(folder), "--json")
    assert ran.returncode == 0, ran.stdout
    found: dict[str, int] = json.loads(ran.stdout)
    return found


def test_what_has_not_been_carried_up_stays_and_what_has_goes(tmp_path: Path) -> None:
    _, node, folder = small_node(tmp_path)
    with node.start():
        write_carried(folder, 0)
        wait_until(lambda: len(firsts(folder)) > 4, "files")
        wait_until(lambda: size(folder) > 2 * MOST_BYTES, "a journal far beyond its bounds")
        before = firsts(folder)
        assert before[0] == 1, "something went that had not been carried up"
        # All of the second file, and a part of the third.
        write_carried(folder, before[2] + 1)
        wait_until(lambda: firsts(folder)[0] == before[2], "what was carried up goes")
        length = len(firsts(folder))
        wait_until(lambda: len(firsts(folder)) > length + 1, "more files")
        assert firsts(folder)[0] == before[2], "more went than had been carried up"
        assert node.stop() == 0
    found = verified(folder)
    assert found["first_record"] == before[2]
    assert not node.events("a journal's files could not be looked after")


def test_where_nobody_carries_up_a_running_node_keeps_to_its_bounds(tmp_path: Path) -> None:
    _, node, folder = small_node(tmp_path)
    with node.start():
        wait_until(lambda: firsts(folder)[0] > 1, "the oldest goes")
        assert node.stop() == 0
    assert verified(folder)["first_record"] > 1
