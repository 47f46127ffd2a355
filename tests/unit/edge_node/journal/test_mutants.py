"""A6: damaged journals are noticed, survived, and lose nothing that is still good.

`TIPOFF_MUTANTS=10000 pytest tests/unit/edge_node/journal/test_mutants.py` is the whole of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_node.journal import recovery
from edge_node.journal.segment import SegmentReader
from tests.support.journal_mutants import Original, closed_journal, killed_journal, try_mutant
from tipoff.errors import ConflictError

MUTANTS = int(os.environ.get("TIPOFF_MUTANTS", "300"))
PARTS = 10


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Original]:
    folder = tmp_path_factory.mktemp("originals")
    return [closed_journal(folder / "closed"), killed_journal(folder / "killed")]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_damage_is_told_and_what_is_good_is_kept(
    originals: list[Original], tmp_path: Path, part: int
) -> None:
    told = 0
    seeds = range(part, MUTANTS, PARTS)
    for seed in seeds:
        original = originals[seed // PARTS % len(originals)]
        _, outcome = try_mutant(original, seed, tmp_path / "mutant")
        told += outcome.told
    # Some damage lies where nothing is stored; most does not.
    assert told > len(seeds) // 2


def test_a_reader_that_does_not_check_hashes_is_caught(
    originals: list[Original], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: without the chain some mutant gets through, and this test sees it."""
    monkeypatch.setattr(SegmentReader, "checked", lambda self, _before: self.linked())
    with pytest.raises((AssertionError, KeyError, ConflictError)):
        _try_some(originals, tmp_path)


def test_a_journal_without_its_mark_is_caught(
    originals: list[Original], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: without the mark an end that is cut off is never missed."""
    monkeypatch.setattr(recovery, "_against_mark", lambda *_: [])
    with pytest.raises(AssertionError):
        _try_some(originals, tmp_path)


def _try_some(originals: list[Original], tmp_path: Path) -> None:
    for seed in range(60):
        try_mutant(originals[seed % len(originals)], seed, tmp_path / "mutant")
