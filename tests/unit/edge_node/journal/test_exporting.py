"""What is exported of a journal whose node's clock was set back while it was down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_node.cameras.observations import read_observations
from edge_node.journal.entries import Observed, Restarted
from edge_node.journal.exporting import export
from tests.support.journals import START_NS, opened

S = 1_000_000_000
SEEN = np.ones((1, 17, 3), np.float32)


def _frames(folder: Path, first_s: int, count: int, *, anew: bool) -> list[int]:
    """Journal an epoch with a frame a second; give their times, ns UTC."""
    journal = opened(folder)
    if anew:
        journal.commit([Restarted("the clock was set back")])
    times = [START_NS + (first_s + number) * S for number in range(count)]
    # The first two come in the other order, as cameras' frames do.
    for time_ns in (times[1], times[0], *times[2:]):
        journal.commit([Observed(0, time_ns, SEEN, None, accepted=True)])
    journal.close()
    return times


def _times(path: Path) -> list[int]:
    return [time_ns for _, time_ns, _ in read_observations(path)]


@pytest.mark.parametrize("back_s", [3, 500])
def test_what_follows_a_clock_that_was_set_back_is_a_recording_of_its_own(
    tmp_path: Path, back_s: int
) -> None:
    folder, out = tmp_path / "journal", tmp_path / "out"
    before = _frames(folder, 1000, 20, anew=False)
    after = _frames(folder, 1020 - back_s, 40, anew=True)
    done = export(folder, out)
    assert (done.observations, done.left_out, done.recordings) == (60, 0, 2)
    assert _times(out / "observations.parquet") == before
    assert _times(out / "observations-2.parquet") == after


def test_a_tracker_that_begins_anew_later_goes_on_in_the_same_recording(tmp_path: Path) -> None:
    folder, out = tmp_path / "journal", tmp_path / "out"
    out.mkdir()
    (out / "observations-2.parquet").write_bytes(b"of an earlier export")
    before = _frames(folder, 1000, 5, anew=False)
    after = _frames(folder, 1010, 5, anew=True)
    done = export(folder, out)
    assert done.recordings == 1
    assert _times(out / "observations.parquet") == before + after
    assert not (out / "observations-2.parquet").exists()
