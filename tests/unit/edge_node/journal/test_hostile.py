"""A journal may hold anything: whoever reads it answers, or says what is wrong.

`TIPOFF_HOSTILE=5000 pytest tests/unit/edge_node/journal/test_hostile.py` tries more.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from accel import TrackerOptions
from edge_node.area import default_area
from edge_node.journal.codec import Kind
from edge_node.journal.exporting import export
from edge_node.journal.parts import Span, parts
from edge_node.journal.reading import JournalReader
from edge_node.journal.replaying import Replay, ReplayOptions
from edge_node.journal.verifying import verify
from edge_node.live.clip_cli import snapshots_of
from edge_node.live.resume import resume
from tests.support.hostile_journals import Hostile, lay
from tests.support.journals import START_NS, facts, opened
from tipoff.errors import TipoffError

JOURNALS = int(os.environ.get("TIPOFF_HOSTILE", "40"))
ALWAYS = Span(START_NS, START_NS + 10_000_000_000)


def _export(folder: Path) -> None:
    export(folder, folder.parent / "out")


def _export_last(folder: Path) -> None:
    export(folder, folder.parent / "out", Span(last_s=0.5))


def _clip(folder: Path) -> None:
    reader = JournalReader(folder)
    for kind in (Kind.LIVE, Kind.SMOOTHED):
        for part in parts(reader, kind, ALWAYS):
            list(snapshots_of(reader, kind, part))


def _replay(folder: Path) -> None:
    Replay(folder, ReplayOptions(listen="127.0.0.1:0", speed=0.0)).run()


def _start(folder: Path) -> None:
    rig = facts().rig
    with closing(opened(folder)) as journal:
        resume(journal, rig, TrackerOptions(), default_area(rig))


def _overview(folder: Path) -> None:
    JournalReader(folder).overview()


@pytest.mark.parametrize("read", [_overview, verify, _export, _export_last, _clip, _replay, _start])
def test_whoever_reads_it_answers_or_says_what_is_wrong(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    for seed in range(JOURNALS):
        folder = tmp_path / "journal"
        lay(folder, Hostile(seed).records())
        try:
            read(folder)
        except TipoffError:
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        shutil.rmtree(folder)
