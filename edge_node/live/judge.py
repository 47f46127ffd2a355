"""From the tracker's verdicts on cameras to their states: only what has changed is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel import Verdict
from edge_node.frames import CameraState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
        self._said: dict[str, object] = dict.fromkeys(names, (None, Verdict.LEARNING))

    def changes(
        self, health: Health, apart: Mapping[str, str]
    ) -> Iterator[tuple[str, CameraState | None, str]]:
        """Give name, state and words of each camera of which something else holds now.

        Args:
            health: The tracker's verdicts.
            apart: Cameras whose frames are held back, and why, as `edge_node.live.apart` says.
        """
        for camera in health.cameras:
            name, verdict = camera.camera, camera.verdict
            why = apart.get(name)
            said = (why, None if why is not None else verdict)
            if self._said[name] == said:
                continue
            self._said[name] = said
            if why is not None:
                yield name, CameraState.LATE, why
                continue
            state = STATES[verdict]
            yield name, state, camera.words if state is not None else ""
