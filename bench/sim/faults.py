"""What may befall a camera: a changed rig, late pictures, another camera's stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bench.arrays import Floats
from bench.sim.arena import Arena, FrameSet, View
from bench.sim.ring import RigArrays


@dataclass(frozen=True, slots=True)
class Fault:
    """A change of one camera; angles and shifts are about and along its own axes."""

    camera: int = 0
    """Whom it befalls."""
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Turned about x (right), y (down) and z (forward), degrees."""
    zoom: float = 0.0
    """Relative growth of the focal length."""
    shift_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Displaced along x, y, z."""
    late_frames: int = 0
    """Its pictures are so many frames older than their times say."""
    shows: int | None = None
    """Whose pictures it gives instead of its own."""


def changed(rig: RigArrays, fault: Fault) -> RigArrays:
    """The rig as it truly is after the fault; lateness and swapped streams leave it as it is."""
    c = fault.camera
    turned, places, pixels = rig.R.copy(), rig.t.copy(), rig.K.copy()
    centre = -rig.R[c].T @ rig.t[c] + rig.R[c].T @ np.array(fault.shift_m)
    turned[c] = _rotation(np.deg2rad(fault.turn_deg)).T @ rig.R[c]
    places[c] = -turned[c] @ centre
    pixels[c, 0, 0] *= 1.0 + fault.zoom
    pixels[c, 1, 1] *= 1.0 + fault.zoom
    return replace(rig, K=pixels, R=turned, t=places)


def befallen(arena: Arena, fault: Fault, onset: int, end: int | None = None) -> Iterator[FrameSet]:
    """The arena's frame-sets; from frame `onset` (until `end`) the fault shows in them.

    The tracker is given `arena.accel_rig()`, the rig as it was calibrated.
    """
    stop = arena.options.frames if end is None else end
    yield from arena.frame_sets(0, onset)
    honest = arena.rig
    arena.rig = changed(honest, fault)
    try:
        before: list[View] = []
        for frame_set in arena.frame_sets(max(onset - fault.late_frames, 0), stop):
            c = fault.camera
            views = {view.camera: view for view in frame_set.views}
            own = views[c]
            shown = own if fault.shows is None else views[fault.shows]
            before.append(shown)
            if frame_set.index < onset:
                continue
            old = before.pop(0) if fault.late_frames else before.pop()
            views[c] = View(c, own.capture_time_ns, old.keypoints, old.person)
            order = [views[view.camera] for view in frame_set.views]
            yield FrameSet(frame_set.index, tuple(order))
    finally:
        arena.rig = honest
    yield from arena.frame_sets(stop)


def _rotation(vector: Floats) -> Floats:
    """The rotation about a vector by its length (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    matrix: Floats = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return matrix
