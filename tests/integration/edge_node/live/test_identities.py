"""A node is killed in the middle of a fast break and starts again: everybody is still himself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import tipoff
from bench.sim import Arena, preset
from bench.suites.blackouts import Found, identities
from edge_node.cameras.observations import Row, write_observations
from edge_node.journal.codec import decode
from edge_node.journal.entries import StateChanged
from edge_node.journal.reading import JournalReader
from edge_node.journal.where import journals_folder, session_folder
from edge_node.live.resume import SCHEDULE
from tests.support.nodes import NodeProcess, Session, write_session
from tipoff.follow import ClientOptions

CAMERAS, PEOPLE, SECONDS, RATE_HZ = 6, 10, 60, 30
OPTIONS = ClientOptions(resume_timeout_s=60.0, backoff_max_s=0.1)
BEFORE_S = 5
"""How long they play before the kill, so that their limbs are known."""
JUDGED_AFTER = 45
"""Snapshots with everybody in them after which identities are compared."""


def rows_of(arena: Arena) -> Iterator[Row]:
    """What every camera sees, frame by frame."""
    names = arena.rig.names
    for frame_set in arena.frame_sets():
        for view in frame_set.views:
            time_ns = view.capture_time_ns - arena.options.start_ns
            yield names[view.camera], time_ns, view.keypoints


def began_ns(state: Path) -> int:
    """When the game began, as the journal has it."""
    records = JournalReader(session_folder("walk", journals_folder(state))).records()
    said = [e for e in map(decode, records) if isinstance(e, StateChanged) and e.name == SCHEDULE]
    assert len({e.value["began_ns"] for e in said}) == 1, "the game did not go on"
    return int(said[0].value["began_ns"])


def test_a_restart_in_play_leaves_people_themselves(tmp_path: Path) -> None:
    frames = SECONDS * RATE_HZ
    options = preset("standard", cameras=CAMERAS, people=PEOPLE, frames=frames, seed=12)
    arena = Arena(replace(options, fps=float(RATE_HZ)))
    arena.accel_rig().save(tmp_path / "rig.toml")
    write_observations(tmp_path / "game.parquet", rows_of(arena))
    game = Session(write_session(tmp_path, arena.rig.names))

    with NodeProcess(game).start() as node, tipoff.Client(node.address, OPTIONS) as client:
        with client.stream_tracks(from_sequence=1) as live:
            whole = (one for one in live if len(one.ids) == PEOPLE)
            before = next(whole)
            while before.sequence < BEFORE_S * RATE_HZ:
                before = next(whole)
            node.kill()
            node.start(fixed=True)
            after = next(one for one in whole if one.epoch == 2)
            first_ns = after.time_ns
            for _ in range(JUDGED_AFTER):
                after = next(whole)
        assert node.stop() == 0

    shift_ns = arena.options.start_ns - began_ns(game.state)
    found = Found()
    found.count(
        identities(arena, before, before.time_ns + shift_ns),
        identities(arena, after, after.time_ns + shift_ns),
    )
    away_s = (first_ns - before.time_ns) / 1e9
    assert found.people == PEOPLE
    # Each run is another play: now and then two cannot be told from each other and are exchanged,
    # or somebody is given a new identity. Taking whoever is nearest exchanges half of them.
    assert found.exchanged <= 3, f"after {away_s:.1f} s: {found}"
    assert found.kept >= 6, f"after {away_s:.1f} s: {found}"
