"""The whole game again: every joint from all evidence before and after it, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accel.errors import InvalidInputError
from accel.reference.cameras import Array
from accel.reference.game import learning
from accel.reference.game.learning import Learned, Progress
from accel.reference.game.options import ResolveOptions
from accel.reference.game.passes import Plan, first_state, one_pass
from accel.reference.game.recording import Source
from accel.reference.game.small import largest_eigenvalue
from accel.reference.game.windows import Window, Windows

if TYPE_CHECKING:
    from accel.rig import Rig

ALONE = (4.0, 2.0, 1.3, 1.0)
"""Tempers of the passes in which each joint is smoothed by itself."""
TOGETHER = 2
"""Passes in which the joints of a body are smoothed together."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Everybody in one chunk of the game; arrays of the library that `resolve` was given."""

    first: int
    """The chunk's first step in the recording."""
    time_ns: NDArray[np.int64]
    """(t,) the steps' times."""
    joints_m: Array
    """(t, P, J, 3) positions, m; NaN where a joint is not known to `max_std_m`."""
    velocity_mps: Array
    """(t, P, J, 3) velocities, m/s; NaN there too."""
    covariance_m2: Array
    """(t, P, J, 3, 3) covariances of the positions, m^2; NaN there too."""
    views: Array
    """(t, P, J) how many views each joint rests on at its own step."""


def resolve(
    rig: Rig,
    recording: Source,
    options: ResolveOptions | None = None,
    *,
    learned: Learned | None = None,
    xp: Any = np,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Resolved]:
    """Solve a recorded game again, from all that was seen before and after each moment.

    Args:
        rig: The cameras.
        recording: A `Recording`, `Detections`, or anything that reads pieces as they do.
        options: See `ResolveOptions`.
        learned: What `learn` found, or None to learn first.
        xp: The array library: NumPy, CuPy or any other of the array API standard.
        progress: Called after each piece of work.

    Returns:
        The chunks of the game, in order, made as they are asked for.

    Raises:
        InvalidInputError: A recording that does not fit the rig or the skeleton.
    """
    chosen = options if options is not None else ResolveOptions()
    checked(rig, recording, chosen)
    return _chunks(rig, recording, chosen, learned, xp, progress)


def checked(rig: Rig, recording: Source, options: ResolveOptions) -> None:
    """Refuse a recording that does not fit the rig or the skeleton."""
    cameras, joints = recording.capture_time_ns.shape[1], len(options.skeleton.joints)
    if cameras != len(rig):
        raise InvalidInputError(
            f"the recording has {cameras} cameras, the rig {len(rig)}", field="recording"
        )
    if recording.joints != joints:
        raise InvalidInputError(
            f"the recording has {recording.joints} joints a person, the skeleton"
            f" {options.skeleton.name} {joints}",
            field="recording",
        )


def _chunks(
    rig: Rig,
    recording: Source,
    options: ResolveOptions,
    learned: Learned | None,
    xp: Any,
    progress: Callable[[Progress], None] | None,
) -> Iterator[Resolved]:
    steps, people = len(recording.time_ns), recording.people
    if not steps or not people:
        return
    if learned is None:
        learned = learning.learn(rig, recording, options, xp=xp, progress=progress)
    windows = Windows(rig, recording, options, xp)
    done, total = 0, steps * people * recording.joints
    for group in windows.groups():
        parts = [
            _solved(windows, group, learned, options, range(p, min(p + windows.bodies, people)))
            for p in range(0, people, windows.bodies)
        ]
        for w, window in enumerate(group):
            chunk = _joined(xp, [part[w] for part in parts], window, recording)
            done += (window.stop - window.first) * people * recording.joints
            if progress is not None:
                progress(Progress("solving", done, total))
            yield chunk


def _solved(
    windows: Windows,
    group: Sequence[Window],
    learned: Learned,
    options: ResolveOptions,
    people: range,
) -> list[list[Array]]:
    """For each window of a group: position, velocity, covariance, views of these people."""
    xp = windows.xp
    stretch = windows.stretch(group, people)
    known = learned.knowledge(xp, len(group), people)
    mirror = xp.asarray(np.array(options.skeleton.mirror))
    state = first_state(windows.lens, stretch)
    plans = [Plan(temper=t) for t in ALONE]
    plans += [Plan(coupled=True)] * TOGETHER if options.body else [Plan()]
    for plan in plans:
        passed = one_pass(windows.lens, stretch, known, state, plan, mirror)
        state = passed.state
    std2 = largest_eigenvalue(xp, state.covariance)
    told = (std2 <= options.max_std_m**2) & windows.known(stretch)
    fields = (state.position, state.velocity, state.covariance)
    masks = (told[..., None], told[..., None], told[..., None, None])
    values = [xp.where(m, f, xp.nan) for f, m in zip(fields, masks, strict=True)]
    values.append(xp.astype(passed.views, xp.int32))
    out = []
    for w, window in enumerate(group):
        inner = slice(window.first - window.begin, window.stop - window.begin)
        bodies = slice(w * len(people), (w + 1) * len(people))
        out.append([v[inner, bodies, ...] for v in values])
    return out


def _joined(xp: Any, parts: list[list[Array]], window: Window, recording: Source) -> Resolved:
    values = [xp.concat([part[i] for part in parts], axis=1) for i in range(4)]
    return Resolved(
        window.first, np.asarray(recording.time_ns[window.first : window.stop]), *values
    )
