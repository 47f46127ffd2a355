"""From verdicts to states: an accusation holds for whatever source the camera has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from accel import Health, Verdict
from edge_node.frames import CameraState
from edge_node.live.judge import RigJudge

Said = tuple[str, CameraState | None, str]


def look(judge: RigJudge, verdict: Verdict, words: str, **apart: str) -> list[Said]:
    """What is said after a look at two cameras, of which the first is always well."""
    well = SimpleNamespace(camera="a", verdict=Verdict.GOOD, words="a is well")
    other = SimpleNamespace(camera="b", verdict=verdict, words=words)
    return list(judge.verdicts(cast("Health", SimpleNamespace(cameras=(well, other))), apart, {}))


def test_what_is_held_against_a_camera_is_said_again_and_what_is_well_once() -> None:
    judge = RigJudge(["a", "b"])
    assert look(judge, Verdict.GOOD, "b is well") == [("a", None, ""), ("b", None, "")]
    assert look(judge, Verdict.GOOD, "b is well") == []
    moved = ("b", CameraState.MOVED, "b is turned by 1.0 degrees")
    assert look(judge, Verdict.TURNED, "b is turned by 1.0 degrees") == [moved]
    # Its source may have been replaced meanwhile; the words stay, so that nothing seems to change.
    assert look(judge, Verdict.TURNED, "b is turned by 1.1 degrees") == [moved]
    assert look(judge, Verdict.GOOD, "b is well") == [("b", None, "")]
    assert look(judge, Verdict.GOOD, "b is well") == []


def test_a_camera_that_is_held_back_is_late_whatever_the_tracker_says() -> None:
    judge = RigJudge(["a", "b"])
    look(judge, Verdict.GOOD, "b is well")
    late = ("b", CameraState.LATE, "it is behind")
    assert look(judge, Verdict.GOOD, "b is well", b="it is behind") == [late]
    assert look(judge, Verdict.LATE, "b is 30 ms late", b="it is behind") == [late]
    assert look(judge, Verdict.GOOD, "b is well") == [("b", None, "")]
