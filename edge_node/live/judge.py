"""From the tracker's verdicts on cameras to their states: only what has changed is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel import Verdict
from edge_node.frames import CameraState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel import Health

STATES: dict[Verdict, CameraState | None] = {
    Verdict.LEARNING: None,
    Verdict.GOOD: None,
    Verdict.TURNED: CameraState.MOVED,
    Verdict.ZOOMED: CameraState.MOVED,
    Verdict.SHIFTED: CameraState.MOVED,
    Verdict.ASTRAY: CameraState.MOVED,
    Verdict.DISPUTED: CameraState.MOVED,
    Verdict.LATE: CameraState.LATE,
    Verdict.SWAPPED: CameraState.SWAPPED,
    Verdict.BLIND: CameraState.BLIND,
}
"""What each verdict makes of a camera; None: nothing is held against it."""


class RigJudge:
    """Remembers what was said of each camera.

    Args:
        names: The cameras.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._said: dict[str, Verdict] = dict.fromkeys(names, Verdict.LEARNING)

    def changes(self, health: Health) -> Iterator[tuple[str, CameraState | None, str]]:
        """Give name, state and words of each camera whose verdict has changed."""
        for camera in health.cameras:
            if self._said[camera.camera] is camera.verdict:
                continue
            self._said[camera.camera] = camera.verdict
            state = STATES[camera.verdict]
            yield camera.camera, state, camera.words if state is not None else ""
