"""Epochs of sessions: each start takes the next, also where several start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_node.epochs import FILE, next_epoch
from tipoff.errors import ConflictError


def test_each_start_takes_the_next_epoch_of_its_own_session(tmp_path: Path) -> None:
    assert [next_epoch("game", tmp_path) for _ in range(3)] == [1, 2, 3]
    assert next_epoch("other", tmp_path) == 1
    assert next_epoch("game", tmp_path) == 4


def test_starts_at_the_same_time_never_share_an_epoch(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        epochs = list(pool.map(lambda _: next_epoch("game", tmp_path), range(40)))
    assert sorted(epochs) == list(range(1, 41))


@pytest.mark.parametrize("damage", ["", "[]", '{"game": "one"}', "\x00"])
def test_a_damaged_file_is_refused_and_named_never_begun_anew(tmp_path: Path, damage: str) -> None:
    (tmp_path / FILE).write_text(damage)
    with pytest.raises(ConflictError, match=FILE):
        next_epoch("game", tmp_path)
    assert (tmp_path / FILE).read_text() == damage
