"""One stretch of play, solved: passes of looking at the views and smoothing what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from accel.reference.cameras import Array
from accel.reference.game.limbs import Limbs, limb_evidence
from accel.reference.game.motion import Motion
from accel.reference.game.noise import BANDS, CUTOFF, PixelNoise, band_of, rightness
from accel.reference.game.smoother import Evidence, Smoothed, smooth
from accel.reference.game.start import filled, rays, start
from accel.reference.game.views import Image, Lens, image, normal_equations, spread_of

Triple = tuple[Array, Array, Array]
"""u, v and confidence, (C, K, B, J) each."""
SLICE = 32
"""Steps whose views are looked at together: enough to fill a register, few enough for a cache."""
HEAT_PRIOR = 10.0
"""Degrees of freedom by which a body is held to be as lively as on average."""
HEAT_LEAST, HEAT_MOST = 0.05, 20.0
FLIP_GAIN = 12.0
"""A detection is taken mirrored where that explains it better by this many variances."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """K steps of B bodies with J joints, seen by C cameras."""

    u: Array
    """(C, K, B, J) px; 0 where missing."""
    v: Array
    """(C, K, B, J) px; 0 where missing."""
    confidence: Array
    """(C, K, B, J) 0..1; 0 where missing."""
    offset_s: Array
    """(C, K, B) how much later the first row was taken than the step's own time."""
    row_s: Array
    """(C, 1, 1, 1) seconds from one row to the next."""
    time_s: Array
    """(K, B) the steps' times, from any origin."""
    linked: Array
    """(K, B) float: 0 where a body was away too long to know anything of it."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is learned over a game."""

    noise: PixelNoise
    """Of the pixels."""
    alone: Motion
    """Of each joint by itself; density (J, 1, 1)."""
    body: Motion
    """Of the joints together; density (J, J)."""
    limbs: Limbs
    """Lengths (B, L) of the bodies in the stretch."""
    heat_steps: int
    """Steps before and after over which liveliness is told."""


@dataclass(frozen=True, slots=True)
class State:
    """What one pass found."""

    position: Array
    """(K, B, J, 3) m."""
    velocity: Array
    """(K, B, J, 3) m/s."""
    covariance: Array
    """(K, B, J, 3, 3) m^2 of the positions; zeros before the first pass."""
    heat: Array
    """(K, B) by what factor a body's motion is livelier than on average."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one pass is made."""

    temper: float = 1.0
    """How many times wider than the noise residuals may be without being doubted."""
    coupled: bool = False
    """Whether the joints of a body are smoothed together, with its limbs' lengths."""
    learn: bool = False
    """Whether sums for learning are made."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What the views of all steps say."""

    information: Array
    vector: Array
    views: Array
    residual: Array
    share: Array


@dataclass(frozen=True, slots=True)
class Passed:
    """A pass and what can be learned from it."""

    state: State
    views: Array
    """(K, B, J) float: how many views a joint rests on."""
    smoothed: Smoothed
    residual: Array
    """(C, BANDS) for `PixelNoise.learned`."""
    share: Array


def first_state(lens: Lens, stretch: Stretch) -> State:
    """From each frame alone."""
    xp = lens.xp
    present = stretch.confidence > 0
    points, goods = [], []
    for k in range(0, present.shape[1], SLICE):
        part = slice(k, k + SLICE)
        seen = rays(
            lens,
            _wide(xp, stretch.u[:, part, ...]),
            _wide(xp, stretch.v[:, part, ...]),
            present[:, part, ...],
        )
        point, good = start(lens, seen, lens.k["fx"])
        points.append(point)
        goods.append(good)
    found, good = xp.concat(points, axis=0), xp.concat(goods, axis=0)
    position = filled(xp, found, good)
    nothing = xp.zeros((*position.shape, 3), dtype=xp.float64)
    heat = xp.ones(position.shape[:2], dtype=xp.float64)
    return State(position, xp.zeros(position.shape, dtype=xp.float64), nothing, heat)


def one_pass(
    lens: Lens, stretch: Stretch, known: Knowledge, state: State, plan: Plan, mirror: Array
) -> Passed:
    """Look at all views where the joints are thought to be, and smooth what they say."""
    xp = lens.xp
    looked = look(lens, stretch, known, state, plan, mirror)
    steps, batch, joints, _ = state.position.shape
    dt = xp.concat((xp.ones((1, batch), dtype=xp.float64), xp.diff(stretch.time_s, axis=0)), axis=0)
    if plan.coupled:
        seen = xp.any(looked.views > 0, axis=-1)
        evidence = Evidence(
            dt_s=dt,
            linked=stretch.linked,
            information=looked.information,
            vector=looked.vector,
            start_m=state.position,
            heat=state.heat,
            coupling=limb_evidence(xp, known.limbs, state.position, seen),
        )
        found = smooth(xp, evidence, known.body, plan.learn)
    else:
        flat = (steps, batch * joints)
        evidence = Evidence(
            dt_s=_each(xp, dt, joints),
            linked=_each(xp, stretch.linked, joints),
            information=xp.reshape(looked.information, (*flat, 1, 3, 3)),
            vector=xp.reshape(looked.vector, (*flat, 1, 3)),
            start_m=xp.reshape(state.position, (*flat, 1, 3)),
            heat=_each(xp, state.heat, joints),
        )
        density = xp.broadcast_to(known.alone.density[None, ...], (batch, joints, 1, 1))
        each = replace(known.alone, density=xp.reshape(density, (batch * joints, 1, 1)))
        found = smooth(xp, evidence, each, plan.learn)
    shape = (steps, batch, joints, 3)
    new = State(
        position=xp.reshape(found.states[0], shape),
        velocity=xp.reshape(found.states[1], shape),
        covariance=xp.reshape(found.covariance, (*shape, 3)),
        heat=_heat(xp, state.heat, found, known.heat_steps),
    )
    return Passed(new, looked.views, found, looked.residual, looked.share)


def _heat(xp: Any, heat: Array, found: Smoothed, reach: int) -> Array:
    """How lively each body is around each step, from what the smoother found of its noise."""
    told, expected = (
        _around(xp, xp.sum(xp.reshape(x, (*heat.shape, -1)), axis=-1), reach)
        for x in (found.heat_found, found.heat_expected)
    )
    expected = xp.where(expected > 0, expected, 0.0)
    ratio = xp.sqrt((told + HEAT_PRIOR) / (expected + HEAT_PRIOR))
    return xp.clip(heat * ratio, HEAT_LEAST, HEAT_MOST)


def _around(xp: Any, values: Array, reach: int) -> Array:
    """Sums over the steps within `reach` of each."""
    steps = values.shape[0]
    margin = xp.zeros((reach, *values.shape[1:]), dtype=xp.float64)
    wide = xp.concat((margin, values, margin), axis=0)
    return sum(wide[k : k + steps, ...] for k in range(2 * reach + 1))


def look(
    lens: Lens, stretch: Stretch, known: Knowledge, state: State, plan: Plan, mirror: Array
) -> Looked:
    """The evidence of all views, linear about the state."""
    xp = lens.xp
    bend = _acceleration(xp, stretch.time_s, state.velocity)
    parts = [
        _look_at(lens, stretch, known.noise, state, bend, plan, mirror, slice(k, k + SLICE))
        for k in range(0, state.position.shape[0], SLICE)
    ]
    return Looked(
        information=xp.concat([p.information for p in parts], axis=0),
        vector=xp.concat([p.vector for p in parts], axis=0),
        views=xp.concat([p.views for p in parts], axis=0),
        residual=sum(p.residual for p in parts),
        share=sum(p.share for p in parts),
    )


def _look_at(  # noqa: PLR0913, PLR0917 - one step of `look`, which says what they are
    lens: Lens,
    stretch: Stretch,
    noise: PixelNoise,
    state: State,
    bend: Array,
    plan: Plan,
    mirror: Array,
    part: slice,
) -> Looked:
    xp = lens.xp
    u, v = _wide(xp, stretch.u[:, part, ...]), _wide(xp, stretch.v[:, part, ...])
    confidence = _wide(xp, stretch.confidence[:, part, ...])
    p, velocity = state.position[part, ...], state.velocity[part, ...]
    acceleration, covariance = bend[part, ...], state.covariance[part, ...]
    late = stretch.offset_s[:, part, :, None] + stretch.row_s * v
    there = [
        p[..., i] + late * (velocity[..., i] + 0.5 * late * acceleration[..., i]) for i in range(3)
    ]
    found = image(lens, there)
    lever = spread_of(found.slope_u, covariance) + spread_of(found.slope_v, covariance)
    u, v, confidence = _unflipped(xp, found, (u, v, confidence), noise, lever, mirror)
    present = (confidence > 0) & found.valid
    variance = noise.variance(xp, confidence)
    eu, ev = xp.where(present, u - found.u, 0.0), xp.where(present, v - found.v, 0.0)
    squared = eu * eu + ev * ev
    doubt = variance * plan.temper**2 + 0.5 * lever
    right = xp.where(present, rightness(xp, squared / doubt), 0.0)
    normal = normal_equations(xp, found, (eu, ev), right / variance)
    vector = normal.gradient + xp.sum(normal.information * p[..., None, :], axis=-1)
    views = xp.sum(xp.astype(right > 0.5, xp.float64), axis=0)
    residual = share = xp.zeros((u.shape[0], BANDS), dtype=xp.float64)
    if plan.learn:
        expected = xp.clip(2.0 - lever / variance, 0.0, 2.0)
        learnable = right * xp.astype(expected > 0.4, xp.float64)
        bands = band_of(xp, confidence)
        residual = _by_band(xp, bands, learnable * squared)
        share = _by_band(xp, bands, learnable * expected)
    return Looked(normal.information, vector, views, residual, share)


def _unflipped(
    xp: Any, found: Image, seen: Triple, noise: PixelNoise, lever: Array, mirror: Array
) -> Triple:
    """What was seen, with left and right exchanged back where a detection has them exchanged."""
    u, v, confidence = (xp.take(x, mirror, axis=-1) for x in seen)
    swapped = (u, v, confidence)
    as_is = _misfit(xp, found, seen, noise, lever)
    turned = _misfit(xp, found, swapped, noise, lever)
    flip = (turned + FLIP_GAIN < as_is)[..., None]
    u, v, confidence = (xp.where(flip, b, a) for a, b in zip(seen, swapped, strict=True))
    return u, v, confidence


def _misfit(xp: Any, found: Image, seen: Triple, noise: PixelNoise, lever: Array) -> Array:
    """How badly detections (C, K, B) fit, each joint bounded; what is missing fits worst."""
    u, v, confidence = seen
    squared = (u - found.u) ** 2 + (v - found.v) ** 2
    squared = squared / (noise.variance(xp, confidence) + 0.5 * lever)
    bounded = xp.clip(squared, 0.0, CUTOFF)
    return xp.sum(xp.where((confidence > 0) & found.valid, bounded, CUTOFF), axis=-1)


def _by_band(xp: Any, bands: Array, values: Array) -> Array:
    rows = [xp.sum(xp.where(bands == b, values, 0.0), axis=(1, 2, 3)) for b in range(BANDS)]
    return xp.stack(rows, axis=-1)


def _acceleration(xp: Any, time_s: Array, velocity: Array) -> Array:
    """Central differences of the velocity (K, B, J, 3)."""
    later = xp.concat((velocity[1:, ...], velocity[-1:, ...]), axis=0)
    before = xp.concat((velocity[:1, ...], velocity[:-1, ...]), axis=0)
    t_later = xp.concat((time_s[1:, ...], time_s[-1:, ...]), axis=0)
    t_before = xp.concat((time_s[:1, ...], time_s[:-1, ...]), axis=0)
    dt = t_later - t_before
    return (later - before) / xp.where(dt > 0, dt, 1.0)[..., None, None]


def _each(xp: Any, values: Array, joints: int) -> Array:
    """(K, B) repeated for each joint: (K, B * J)."""
    return xp.reshape(
        xp.broadcast_to(values[..., None], (*values.shape, joints)), (values.shape[0], -1)
    )


def _wide(xp: Any, values: Array) -> Array:
    return xp.astype(values, xp.float64)
