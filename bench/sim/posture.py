"""What arms, knees and heads do beside the gait: keyframed actions as smooth channels at 25 Hz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.arrays import Floats
from bench.sim.roam import Event
from bench.sim.spline import HermiteTable, UniformSpline

GRAVITY_MPS2 = 9.81
KNOT_S = 0.04
JUMP_STEP_S = 1.0 / 240.0
PUSH_S = 0.36
RAMP_S = 0.12
CHANNELS = 13
"""Left arm 0-3, right arm 4-7 (upper flexion, upper abduction, fore flexion, fore abduction), their
weights over the gait's swing 8-9, crouch 10, head yaw 11, head pitch 12; radians."""

Key = tuple[float, float, float, float, float]
ARM_KEYS: dict[str, tuple[Key, ...]] = {
    "shot": (
        (0.00, 0.5, 0.15, 1.6, -0.3),
        (0.35, 1.7, 0.15, 3.3, -0.1),
        (0.45, 1.8, 0.15, 3.3, -0.1),
        (0.58, 2.7, 0.10, 2.5, 0.0),
        (0.85, 2.7, 0.10, 2.4, 0.0),
        (1.10, 0.6, 0.15, 1.2, 0.0),
    ),
    "pass": (
        (0.00, 0.4, 0.3, 1.4, -0.4),
        (0.22, 0.2, 0.6, 2.0, -0.7),
        (0.36, 1.5, 0.2, 1.5, 0.0),
        (0.50, 1.5, 0.2, 1.5, 0.0),
        (0.70, 0.4, 0.2, 1.0, 0.0),
    ),
    "catch": ((0.0, 0.9, 0.2, 1.6, 0.0), (0.3, 1.3, 0.2, 1.6, -0.2), (0.6, 0.4, 0.3, 1.8, -0.5)),
    "rebound": (
        (0.00, 0.3, 0.3, 1.4, 0.0),
        (0.30, 0.2, 0.4, 1.6, 0.0),
        (0.52, 2.9, 0.2, 3.0, 0.0),
        (0.85, 2.9, 0.2, 3.0, 0.0),
        (1.20, 0.6, 0.5, 1.9, -0.4),
    ),
    "swipe": (
        (0.00, 0.8, 0.4, 1.3, 0.6),
        (0.18, 1.1, 0.5, 1.5, 0.9),
        (0.33, 1.2, -0.2, 1.5, -0.9),
        (0.60, 0.5, 0.1, 1.0, 0.0),
    ),
}


@dataclass(frozen=True, slots=True)
class Posture:
    """Curves of what the body does beside running."""

    channels: UniformSpline
    """(T,) -> (T, P, CHANNELS)."""
    jump: HermiteTable
    """(T,) -> (T, P): height of the root above standing, metres; negative in the push-off."""


def posture(
    people: int, duration_s: float, events: Sequence[Event], rng: np.random.Generator
) -> Posture:
    """The channels and jumps that the events ask for."""
    idle, arms, legs = rng.spawn(3)
    knots = int(np.ceil(duration_s / KNOT_S)) + 6
    time = (np.arange(knots) - 1) * KNOT_S
    values = np.zeros((knots, people, CHANNELS))
    values[:, :, [0, 4]], values[:, :, [1, 5]] = 0.3, 0.25
    values[:, :, [2, 6]] = 1.0
    _idle(values, time, idle)
    for event in events:
        _act(values, time, event, arms)
    np.clip(values[:, :, 10], 0.0, 0.45, out=values[:, :, 10])
    return Posture(UniformSpline(values, KNOT_S), _jumps(people, duration_s, events, legs))


def _idle(values: Floats, time: Floats, rng: np.random.Generator) -> None:
    """Slow wandering of crouch and head, each person by their own slow waves."""
    people = values.shape[1]
    for channel, mean, size, slowest_s in (
        (10, 0.18, 0.14, 4.0),
        (11, 0.0, 0.5, 2.0),
        (12, 0.1, 0.15, 3.0),
    ):
        total = np.zeros((len(time), people))
        for _ in range(3):
            period = rng.uniform(slowest_s, 3 * slowest_s, people)
            total += np.sin(2 * np.pi * time[:, None] / period + rng.uniform(0, 7, people))
        values[:, :, channel] = mean + size * total / 2.0


def _act(values: Floats, time: Floats, event: Event, rng: np.random.Generator) -> None:
    """Write one event's angles over its time and raise the weight of its arms, softly.

    The angles are held for a ramp's time beyond both ends, where the weight is already zero, so
    that an arm never follows the step between two actions.
    """
    begin, end = event.time_s, event.time_s + event.duration_s
    chosen = np.flatnonzero((time >= begin - RAMP_S) & (time <= end + RAMP_S))
    if len(chosen) == 0:
        return
    local = time[chosen] - begin
    angles = _angles(event.kind, np.clip(local, 0.0, event.duration_s), rng)
    edge = np.clip((np.minimum(local, event.duration_s - local) + RAMP_S) / (2 * RAMP_S), 0.0, 1.0)
    weight = edge * edge * (3 - 2 * edge)
    arms = [int(rng.integers(2))] if event.kind in {"dribble", "swipe", "wave"} else [0, 1]
    for arm in arms:
        lag = rng.normal(0, 0.08, 4)
        old = values[chosen, event.person, 8 + arm]
        mix = (weight / np.maximum(weight + old, 1e-9))[:, None]
        mix = np.where(old[:, None] > 0, mix, 1.0)
        part = values[chosen, event.person, 4 * arm : 4 * arm + 4]
        values[chosen, event.person, 4 * arm : 4 * arm + 4] = (
            mix * (angles + lag) + (1 - mix) * part
        )
        values[chosen, event.person, 8 + arm] = np.maximum(weight, old)
    if event.kind == "guard":
        values[chosen, event.person, 10] += 0.2 * weight


def _angles(kind: str, local: Floats, rng: np.random.Generator) -> Floats:
    """(n, 4) arm angles along an action."""
    if kind in ARM_KEYS:
        keys = np.array(ARM_KEYS[kind])
        return np.stack([_ease(local, keys[:, 0], keys[:, i]) for i in range(1, 5)], axis=1)
    rate, phase = rng.uniform(1.2, 2.2), rng.uniform(0, 7)
    wave = np.sin(2 * np.pi * rate * local + phase)
    if kind == "dribble":
        columns = [0.25 + 0.12 * wave, 0.2 + 0 * wave, 1.0 + 0.45 * wave, 0.0 * wave]
    elif kind == "wave":
        columns = [0.2 + 0 * wave, 2.4 + 0.2 * wave, 0.2 + 0 * wave, 2.6 + 0.5 * wave]
    else:
        columns = [0.5 + 0.3 * wave, 1.2 + 0.3 * wave, 0.7 + 0.4 * wave, 1.3 + 0.5 * wave]
    return np.stack(columns, axis=1)


def _ease(x: Floats, at: Floats, value: Floats) -> Floats:
    """Between keys along a smooth step: still at each key, fast between."""
    index = np.clip(np.searchsorted(at, x, side="right") - 1, 0, len(at) - 2)
    s = np.clip((x - at[index]) / (at[index + 1] - at[index]), 0.0, 1.0)
    s = s * s * (3 - 2 * s)
    return np.asarray(value[index] * (1 - s) + value[index + 1] * s, dtype=np.float64)


def _jumps(
    people: int, duration_s: float, events: Sequence[Event], rng: np.random.Generator
) -> HermiteTable:
    """Push-off, flight under gravity and landing for every shot and rebound that fits."""
    knots = int(np.ceil(duration_s / JUMP_STEP_S)) + 2
    value, slope = np.zeros((knots, people)), np.zeros((knots, people))
    time = np.arange(knots) * JUMP_STEP_S
    free_s = np.zeros(people)
    for event in events:
        if event.kind not in {"shot", "rebound"}:
            continue
        launch_mps = rng.uniform(2.3, 3.3) if event.kind == "rebound" else rng.uniform(1.5, 3.0)
        takeoff_s = event.time_s + (0.42 if event.kind == "rebound" else 0.40)
        end_s = takeoff_s + 2 * launch_mps / GRAVITY_MPS2 + PUSH_S
        if takeoff_s - PUSH_S < free_s[event.person]:
            continue
        free_s[event.person] = end_s + 0.1
        chosen = slice(*np.searchsorted(time, [takeoff_s - PUSH_S, end_s]))
        height, speed = _leap(time[chosen] - takeoff_s, launch_mps)
        value[chosen, event.person], slope[chosen, event.person] = height, speed
    return HermiteTable(value, slope, JUMP_STEP_S)


def _leap(time: Floats, launch_mps: float) -> tuple[Floats, Floats]:
    """Height and its rate at times since take-off: cubic push-off, parabola, cubic landing."""
    flight_s = 2 * launch_mps / GRAVITY_MPS2
    push, land = time < 0, time > flight_s
    s = np.where(push, 1 + time / PUSH_S, 1 - (time - flight_s) / PUSH_S)
    sign = np.where(push, 1.0, -1.0)
    ground = launch_mps * PUSH_S * (s**3 - s**2)
    ground_rate = sign * launch_mps * (3 * s**2 - 2 * s)
    height = launch_mps * time - 0.5 * GRAVITY_MPS2 * time**2
    rate = launch_mps - GRAVITY_MPS2 * time
    grounded = push | land
    return np.where(grounded, ground, height), np.where(grounded, ground_rate, rate)
