"""What a game teaches: the pixels' noise, how joints move together, how long limbs are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accel.reference.game import limbs as limbs_of
from accel.reference.game.limbs import Limbs
from accel.reference.game.motion import Motion, improved
from accel.reference.game.noise import PixelNoise
from accel.reference.game.options import ResolveOptions
from accel.reference.game.passes import (
    Knowledge,
    Passed,
    Plan,
    State,
    Stretch,
    first_state,
    one_pass,
)
from accel.reference.game.recording import Source
from accel.reference.game.windows import Windows, host

if TYPE_CHECKING:
    from accel.rig import Rig

WINDOW_S = 4.0
TEMPERS = (4.0, 2.0, 1.3, 1.0, 1.0, 1.0, 1.0, 1.0)
TOGETHER = 8
HEAT_S = 0.13
FIRST_DENSITY = {2: 20.0, 3: 2e4}
START_STD = {2: (1.0, 5.0), 3: (1.0, 5.0, 50.0)}
RELAX_S = {2: float("inf"), 3: 0.05}
"""Time in which an acceleration fades: between white acceleration and white jerk lie bodies."""
FIRST_SHARE = 0.5
"""Of the motion's noise that all joints of a body share, before it is learned."""
TRUSTED_VIEWS = 2.0
LEAST_DENSITY = 1e-6
TINY = 1e-30


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is."""

    stage: str
    """`learning` or `solving`."""
    done: int
    """Joints, or passes while learning, that are done."""
    total: int
    """Of how many."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned over a game; NumPy arrays."""

    noise: PixelNoise
    """Of the pixels."""
    alone: NDArray[np.float64]
    """(J,) density of each joint's noise by itself, m^2/s^(2 order - 1)."""
    together: NDArray[np.float64]
    """(J, J) density of the joints' noise, shared among them."""
    length_m: NDArray[np.float64]
    """(P, L) lengths of everybody's limbs, in the order of the skeleton; NaN: not known."""
    length_std_m: NDArray[np.float64]
    """(P, L) how exactly they hold at one step."""
    ends: tuple[tuple[int, int], ...]
    """The joints of each limb."""
    order: int
    """Derivatives of the motion."""
    heat_steps: int
    """Steps around each over which liveliness is told."""

    def knowledge(self, xp: Any, windows: int, people: range) -> Knowledge:
        """For a batch of windows with these people each."""
        chosen = slice(people.start, people.stop)
        length, std = (
            xp.asarray(np.tile(values[chosen], (windows, 1)))
            for values in (self.length_m, self.length_std_m)
        )
        known = Limbs(self.ends, length, std)
        return Knowledge(
            noise=self.noise,
            alone=self._motion(xp.asarray(self.alone.reshape(-1, 1, 1))),
            body=self._motion(xp.asarray(self.together)),
            limbs=known,
            heat_steps=self.heat_steps,
        )

    def _motion(self, density: Any) -> Motion:
        return Motion(density, self.order, RELAX_S[self.order], START_STD[self.order])


@dataclass(slots=True)
class _Batch:
    """Some windows of some people, as far as they are solved."""

    stretch: Stretch
    state: State
    views: Any
    people: range
    windows: int


def learn(
    rig: Rig,
    recording: Source,
    options: ResolveOptions | None = None,
    *,
    xp: Any = np,
    progress: Callable[[Progress], None] | None = None,
) -> Learned:
    """Learn from windows spread over the game, by smoothing them again and again.

    Noise by its residuals, motion by climbing the likelihood, limbs by the joints smoothed alone;
    see `PixelNoise.learned`, `motion.improved` and `limbs.learned`.

    Args:
        rig: The cameras.
        recording: The game.
        options: See `ResolveOptions`.
        xp: The array library.
        progress: Called after each pass.
    """
    chosen = options if options is not None else ResolveOptions()
    return _Lesson(rig, recording, chosen, xp, progress).learned()


class _Lesson:
    """The passes over the sampled windows."""

    def __init__(
        self,
        rig: Rig,
        recording: Source,
        options: ResolveOptions,
        xp: Any,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.xp, self.options, self.progress = xp, options, progress
        self.joints = recording.joints
        self.windows = Windows(rig, recording, options, xp, chunk_s=WINDOW_S)
        self.mirror = xp.asarray(np.array(options.skeleton.mirror))
        self.done, self.total = 0, len(TEMPERS) + (TOGETHER if options.body else 0)
        alone = np.full(self.joints, FIRST_DENSITY[options.order])
        shape = (recording.people, len(options.skeleton.limbs))
        self.known = Learned(
            noise=PixelNoise.assumed(len(rig), options.sigma_px),
            alone=alone,
            together=np.diag(alone),
            length_m=np.full(shape, np.nan),
            length_std_m=np.full(shape, np.inf),
            ends=options.skeleton.limbs,
            order=options.order,
            heat_steps=max(1, min(40, round(HEAT_S / self.windows.step_s))),
        )
        self.batches = self._batches(recording)

    def _batches(self, recording: Source) -> list[_Batch]:
        every = self.windows.all()
        count = max(1, min(len(every), round(self.options.learn_s / WINDOW_S)))
        sampled = [every[i * len(every) // count] for i in range(count)]
        out = []
        for w in range(0, count, self.windows.parallel):
            group = sampled[w : w + self.windows.parallel]
            for p in range(0, recording.people, self.windows.bodies):
                people = range(p, min(p + self.windows.bodies, recording.people))
                stretch = self.windows.stretch(group, people)
                state = first_state(self.windows.lens, stretch)
                out.append(_Batch(stretch, state, None, people, len(group)))
        return out

    def learned(self) -> Learned:
        """Everything, by all passes."""
        for i, temper in enumerate(TEMPERS):
            passes = self._pass(Plan(temper=temper, learn=True))
            if i:
                self.known = replace(
                    self.known, noise=self._noise(passes), alone=self._alone(passes)
                )
        if not self.options.body:
            return self.known
        root = np.sqrt(self.known.alone)
        share = FIRST_SHARE + (1.0 - FIRST_SHARE) * np.eye(self.joints)
        found = self._limbs()
        self.known = replace(
            self.known,
            together=np.outer(root, root) * share,
            length_m=found.length_m,
            length_std_m=found.std_m,
        )
        for _ in range(TOGETHER):
            passes = self._pass(Plan(coupled=True, learn=True))
            self.known = replace(
                self.known, noise=self._noise(passes), together=self._together(passes)
            )
        return self.known

    def _pass(self, plan: Plan) -> list[Passed]:
        passes = []
        for batch in self.batches:
            known = self.known.knowledge(self.xp, batch.windows, batch.people)
            passed = one_pass(
                self.windows.lens, batch.stretch, known, batch.state, plan, self.mirror
            )
            batch.state, batch.views = passed.state, passed.views
            passes.append(passed)
        self.done += 1
        if self.progress is not None:
            self.progress(Progress("learning", self.done, self.total))
        return passes

    def _noise(self, passes: list[Passed]) -> PixelNoise:
        residual = _total([host(p.residual) for p in passes])
        return self.known.noise.learned(residual, _total([host(p.share) for p in passes]))

    def _alone(self, passes: list[Passed]) -> NDArray[np.float64]:
        shape = (-1, self.joints)
        found = [host(p.smoothed.found).reshape(shape).sum(axis=0) for p in passes]
        expected = [host(p.smoothed.expected).reshape(shape).sum(axis=0) for p in passes]
        ratio = np.maximum(_total(found), TINY) / np.maximum(_total(expected), TINY)
        density: NDArray[np.float64] = self.known.alone * np.clip(ratio, 0.1, 10.0)
        return np.maximum(density, LEAST_DENSITY)

    def _together(self, passes: list[Passed]) -> NDArray[np.float64]:
        found = _total([host(p.smoothed.found).sum(axis=0) for p in passes])
        expected = _total([host(p.smoothed.expected).sum(axis=0) for p in passes])
        if not np.trace(expected) > 0:
            return self.known.together
        density = improved(self.known.together, found, expected)
        return density + LEAST_DENSITY * np.eye(self.joints)

    def _limbs(self) -> Limbs:
        """From all windows of each person."""
        people = len(self.known.length_m)
        samples: list[list[list[NDArray[Any]]]] = [[] for _ in range(people)]
        for batch in self.batches:
            values = [host(x) for x in (batch.state.position, batch.state.covariance, batch.views)]
            for b in range(batch.windows * len(batch.people)):
                person = batch.people[b % len(batch.people)]
                samples[person].append([v[:, b] for v in values])
        joined = [[np.concatenate([s[i] for s in own]) for own in samples] for i in range(3)]
        position, covariance, views = (np.stack(x, axis=1) for x in joined)
        return limbs_of.learned(self.known.ends, position, covariance, views >= TRUSTED_VIEWS)


def _total(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(np.sum(parts, axis=0), dtype=np.float64)
