"""The pace of a replay, on a clock that stands still."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from edge_node.journal.replaying import MOST_BEHIND, Replay, ReplayOptions
from edge_node.server import StreamServer
from tests.support.journals import START_NS, opened

S = 1_000_000_000


class _Stopped:
    """An event that is never set, and that says what was waited for."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def wait(self, timeout_s: float) -> bool:
        self.waited.append(timeout_s)
        return False


class _Server:
    """A server whose slowest subscriber catches up at the third look."""

    def __init__(self) -> None:
        self.looks = iter([MOST_BEHIND + 1, MOST_BEHIND + 1, 0])

    def behind(self) -> int:
        return next(self.looks)


def _replay(folder: Path, speed: float) -> tuple[Replay, _Stopped]:
    opened(folder).close()
    replay, stopped = Replay(folder, ReplayOptions(speed=speed)), _Stopped()
    replay._stopped = stopped  # type: ignore[assignment]
    return replay, stopped


def test_the_pace_begins_anew_where_the_times_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node's clock was set back by 500 s while it was down."""
    replay, stopped = _replay(tmp_path, 2.0)
    monkeypatch.setattr("edge_node.journal.replaying.time.monotonic", lambda: 7.0)
    for at_s in (1000, 1001, 1004, 500, 501, 504):
        assert replay._wait_until(START_NS + at_s * S)
    assert stopped.waited == [0.0, 0.5, 2.0, 0.0, 0.5, 2.0]


@pytest.mark.parametrize("speed", [0.0, 1.0, 50.0])
def test_whoever_reads_is_waited_for_at_every_speed(tmp_path: Path, speed: float) -> None:
    replay, stopped = _replay(tmp_path, speed)
    assert replay._wait_for_slowest(cast("StreamServer", _Server()))
    assert len(stopped.waited) == 2
