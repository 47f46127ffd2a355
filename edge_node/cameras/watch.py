"""What a camera is doing, from pixels and stamps: frozen, black, duplicated, disconnected.

A pure function of what it was told and when: no clock, no thread, no picture in here. Frames are
told as *looks* (`edge_node.cameras.pixels`): a small picture of block means, and the share of
samples that differ from the look before.

**Frozen** is hard to tell from a scene that stands still, so the verdict rests on what a freeze has
and stillness has not:

- a sensor's noise goes away with the sensor: where a camera's background used to flicker, and now
  nothing does any more, it is frozen, whatever the scene; in another light, or soon after it was
  attached, where it is not known yet what is usual, only if its picture stays the same to the bit;
- somebody who is in the picture stands like a statue while other cameras see people move: the
  block means, in which noise averages out, stay what they were, and differ from the camera's own
  background; where the camera's noise goes on, several must have stopped at one moment, since one
  who waits, or a board of lights, does the same. So noise that is added behind the freeze does not
  hide it;
- with nobody in the picture it may as well be an empty half of the court: where it never had any
  noise, only after ``empty_still_ns`` of it, while others see movement, is it called frozen. Until
  then the mistake costs little either way.

Where nothing moves anywhere nothing is claimed.

**Duplicated** is found by pairs of cameras: `edge_node.cameras.alike`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from edge_node.cameras.alike import Alike
from edge_node.cameras.sight import Look, Sight
from edge_node.cameras.verdict import BLIND, LIVE, Verdict, WatchOptions
from edge_node.frames import CameraState

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BLIND", "LIVE", "Look", "Verdict", "Watch", "WatchOptions"]

_S = 1_000_000_000
NO_SOURCE = Verdict(CameraState.WAITING, "it has no source")
"""It was given none, or that was taken away."""
NO_FRAME = Verdict(CameraState.WAITING, "no frame has come yet")
"""Its source has just begun."""
REMEMBERED_BEATS = 15
"""Intervals between frames that a camera's beat is taken from."""


@dataclass(slots=True)
class _Camera:
    """One camera, as far as it was told."""

    name: str
    sight: Sight
    attached: bool = False
    verdict: Verdict = NO_SOURCE
    since_ns: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    lost: str = ""
    intervals: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED_BEATS))
    well_since_ns: int | None = None
    blind_thumb: NDArray[np.float32] | None = None


class Watch:
    """Judges the cameras of a rig. Call it from one thread at a time, with times that do not fall.

    Args:
        names: The cameras, in the rig's order.
        options: When a camera is called what.
    """

    def __init__(self, names: Sequence[str], options: WatchOptions | None = None) -> None:
        self._options = options or WatchOptions()
        self._cameras = [self._fresh(name) for name in names]
        self._alike = Alike(self._options)

    def attached(self, camera: int, now_ns: int) -> None:
        """A source was attached, or another one in its place."""
        fresh = self._fresh(self._cameras[camera].name)
        fresh.attached, fresh.verdict, fresh.since_ns = True, NO_FRAME, now_ns
        fresh.sight.steps.append((now_ns, 0.0))
        self._cameras[camera] = fresh
        self._alike.forget(camera)

    def removed(self, camera: int, now_ns: int) -> None:
        """A source was taken away."""
        gone = self._fresh(self._cameras[camera].name)
        gone.since_ns = now_ns
        self._cameras[camera] = gone
        self._alike.forget(camera)

    def finished(self, camera: int, now_ns: int, failure: str = "") -> None:
        """A source has ended as it should, or for good with a failure."""
        state = CameraState.FAILED if failure else CameraState.ENDED
        self._set(self._cameras[camera], Verdict(state, failure), now_ns)

    def lost(self, camera: int, now_ns: int, why: str) -> None:
        """A connection was lost, or could not be made; it is tried again."""
        self._cameras[camera].lost = why
        self._set(self._cameras[camera], Verdict(CameraState.DISCONNECTED, why), now_ns)

    def saw(self, camera: int, now_ns: int, look: Look | None = None) -> None:
        """A frame came.

        Args:
            camera: Whose.
            now_ns: When it arrived, on any clock that does not jump.
            look: What it showed; None where nobody looked.
        """
        seen = self._cameras[camera]
        if seen.last_ns is not None and now_ns > seen.last_ns and not seen.lost:
            seen.intervals.append(now_ns - seen.last_ns)
        if seen.lost or seen.verdict.state is CameraState.DISCONNECTED:
            seen.sight.steps.append((now_ns, 0.0))
        seen.last_ns, seen.lost = now_ns, ""
        seen.first_ns = now_ns if seen.first_ns is None else seen.first_ns
        if look is not None:
            seen.sight.take(now_ns, look, learn=seen.verdict.state not in BLIND)

    def judge(self, now_ns: int) -> tuple[Verdict, ...]:
        """Give what every camera is doing now, in the rig's order."""
        coming = [i for i, camera in enumerate(self._cameras) if self._comes(camera, now_ns)]
        alike = self._alike.find(self._cameras, coming, now_ns)
        for index, camera in enumerate(self._cameras):
            ended = camera.verdict.state in (CameraState.ENDED, CameraState.FAILED)
            if camera.attached and not ended:
                self._set(camera, self._judged(index, now_ns, alike), now_ns)
        return tuple(camera.verdict for camera in self._cameras)

    def since_ns(self, camera: int) -> int:
        """Say when a camera came into its state."""
        return self._cameras[camera].since_ns

    def _fresh(self, name: str) -> _Camera:
        return _Camera(name, Sight(self._options))

    def _comes(self, camera: _Camera, now_ns: int) -> bool:
        """Whether frames of it come."""
        return camera.last_ns is not None and now_ns - camera.last_ns <= self._silent_ns(camera)

    def _set(self, camera: _Camera, verdict: Verdict, now_ns: int) -> None:
        if camera.verdict.state is not verdict.state:
            camera.since_ns = now_ns
        camera.verdict = verdict

    def _judged(self, index: int, now_ns: int, alike: dict[int, str]) -> Verdict:
        camera = self._cameras[index]
        if camera.lost:
            return Verdict(CameraState.DISCONNECTED, camera.lost)
        if camera.last_ns is None:
            return NO_FRAME
        silent_ns = now_ns - camera.last_ns
        if silent_ns > self._silent_ns(camera):
            return Verdict(CameraState.DISCONNECTED, f"no frame for {silent_ns / _S:.1f} s")
        wrong = self._wrong(index, now_ns, alike)
        if wrong is not None:
            camera.well_since_ns = None
            if camera.blind_thumb is None or camera.verdict.state is not wrong.state:
                camera.blind_thumb = camera.sight.thumb
            return wrong
        return self._recovering(camera, now_ns)

    def _silent_ns(self, camera: _Camera) -> float:
        options = self._options
        if not camera.intervals:
            return options.silent_most_ns
        silent = options.silent_beats * median(camera.intervals)
        return min(max(silent, options.silent_least_ns), options.silent_most_ns)

    def _recovering(self, camera: _Camera, now_ns: int) -> Verdict:
        """Let a camera be live again once it has been well for a while."""
        if camera.verdict.state not in BLIND:
            return LIVE
        if camera.verdict.state is CameraState.FROZEN and not camera.sight.thawed_since(
            camera.blind_thumb
        ):
            camera.well_since_ns = None
            return camera.verdict
        if camera.well_since_ns is None:
            camera.well_since_ns = now_ns
        if now_ns - camera.well_since_ns < self._options.back_ns:
            return camera.verdict
        camera.well_since_ns = camera.blind_thumb = None
        return LIVE

    def _wrong(self, index: int, now_ns: int, alike: dict[int, str]) -> Verdict | None:
        if self._cameras[index].sight.is_dark(now_ns):
            return Verdict(CameraState.BLACK, "nothing but darkness comes")
        why = self._frozen(index, now_ns)
        if why:
            return Verdict(CameraState.FROZEN, why)
        if index in alike:
            return Verdict(CameraState.DUPLICATED, alike[index])
        return None

    def _frozen(self, index: int, now_ns: int) -> str:
        sight, options = self._cameras[index].sight, self._options
        still_ns = sight.still_ns(now_ns)
        silenced = sight.dead or (sight.noisy and sight.quiet)
        if silenced and still_ns >= options.still_ns:
            return f"nothing moves or flickers for {still_ns / _S:.1f} s"
        if sight.anchor is None:
            return ""
        moving = self._others_moving(index, now_ns)
        if still_ns < options.still_ns or not moving:
            return ""
        if sight.noisy:
            # Its own noise is alive: a quiet half looks the same, and so does one in other light.
            found = sight.stopped_together
        else:
            found = sight.occupied or still_ns >= options.empty_still_ns
        if not found:
            return ""
        return f"the same picture for {still_ns / _S:.1f} s, while {moving} others see movement"

    def _others_moving(self, index: int, now_ns: int) -> int:
        """Count the others that have seen movement for long enough, if they are half or more."""
        others = [
            camera.sight
            for other, camera in enumerate(self._cameras)
            if other != index and camera.verdict.state is CameraState.LIVE and camera.sight.looks
        ]
        moving = sum(sight.sees_movement(now_ns) for sight in others)
        return moving if 2 * moving >= len(others) else 0
