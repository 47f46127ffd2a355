"""From the tracker's verdicts on cameras to their states.

What is held against a camera is said again at every look: a source that is put in another's place
begins with a clean slate, and the tracker's verdict is on the camera. What is well is said once.
"""

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
        self._said: dict[str, Verdict | None] = dict.fromkeys(names, Verdict.LEARNING)
        self._words: dict[str, str] = {}

    def verdicts(
        self, health: Health, apart: Mapping[str, str], unusable: Mapping[str, str]
    ) -> Iterator[tuple[str, CameraState | None, str]]:
        """Give name, state and words of each camera that is accused, or whose verdict has changed.

        The words are those of the change, whatever figures have become of it since.

        Args:
            health: The tracker's verdicts.
            apart: Cameras whose frames are held back, and why, as `edge_node.live.apart` says.
            unusable: Cameras whose frames cannot be used, and why.
        """
        for camera in health.cameras:
            name, verdict = camera.camera, camera.verdict
            state = STATES[verdict]
            if name in unusable or name in apart:
                self._said[name] = None
                if name in unusable:
                    yield name, CameraState.FAILED, unusable[name]
                else:
                    yield name, CameraState.LATE, apart[name]
                continue
            if self._said[name] is not verdict:
                self._said[name] = verdict
                self._words[name] = camera.words if state is not None else ""
            elif state is None:
                continue
            yield name, state, self._words[name]
