"""The physics of the simulated ball: gravity, quadratic drag, spin, and bounces on the floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.arrays import Floats

GRAVITY_MPS2 = 9.81
RADIUS_M = 0.12
FINE_S = 0.001
COARSE_S = 0.004
REST_MPS = 0.5
ROLL_MPS2 = 0.4
SHOTS = 7
"""How often a throw is corrected until it meets its target."""


@dataclass(frozen=True, slots=True)
class Air:
    """What acts on one flight."""

    drag_per_m: float = 0.022
    """Quadratic drag."""
    restitution: float = 0.8
    """Of the floor."""
    grip: float = 0.95
    """What the floor leaves of the horizontal velocity."""
    spin_per_s: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Magnus acceleration is its cross product with the velocity."""


@dataclass(frozen=True, slots=True)
class Flown:
    """A flight at steps of FINE_S, the start among them."""

    position: Floats
    """(N, 3) metres."""
    velocity: Floats
    """(N, 3) metres a second."""
    bounces_s: tuple[float, ...]
    """Times of bounces after the start."""
    rolls_s: float
    """When it began to roll; infinity if it did not."""


Triple = tuple[float, float, float]


def _pull(v: Triple, air: Air) -> Triple:
    speed = (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) ** 0.5
    k, (a, b, c) = -air.drag_per_m * speed, air.spin_per_s
    return (
        k * v[0] + b * v[2] - c * v[1],
        k * v[1] + c * v[0] - a * v[2],
        k * v[2] + a * v[1] - b * v[0] - GRAVITY_MPS2,
    )


def _step(p: Triple, v: Triple, h: float, air: Air) -> tuple[Triple, Triple]:
    a = _pull(v, air)
    middle = (v[0] + 0.5 * h * a[0], v[1] + 0.5 * h * a[1], v[2] + 0.5 * h * a[2])
    a = _pull(middle, air)
    w = (v[0] + h * a[0], v[1] + h * a[1], v[2] + h * a[2])
    x, y, z = (p[i] + 0.5 * h * (v[i] + w[i]) for i in range(3))
    return (x, y, z), w


def fly(p0: Floats, v0: Floats, duration_s: float, air: Air, step_s: float = FINE_S) -> Flown:
    """Let go at p0 with v0; where it meets the floor it bounces, and at last it rolls."""
    steps = max(1, round(duration_s / step_s))
    p: Triple = (float(p0[0]), float(p0[1]), float(p0[2]))
    v: Triple = (float(v0[0]), float(v0[1]), float(v0[2]))
    positions, velocities = [p], [v]
    bounces: list[float] = []
    rolls_s = float("inf")
    for i in range(steps):
        if rolls_s < float("inf"):
            p, v = _roll(p, v, step_s)
        else:
            q, w = _step(p, v, step_s, air)
            if q[2] < RADIUS_M and w[2] < 0.0:
                share = (p[2] - RADIUS_M) / max(p[2] - q[2], 1e-9)
                at, into = _step(p, v, share * step_s, air)
                if -into[2] < REST_MPS:
                    rolls_s = (i + share) * step_s
                    q, w = (at[0], at[1], RADIUS_M), (into[0], into[1], 0.0)
                else:
                    bounces.append((i + share) * step_s)
                    out = (air.grip * into[0], air.grip * into[1], -air.restitution * into[2])
                    q, w = _step((at[0], at[1], RADIUS_M), out, (1.0 - share) * step_s, air)
            p, v = q, w
        positions.append(p)
        velocities.append(v)
    return Flown(np.array(positions), np.array(velocities), tuple(bounces), rolls_s)


def _roll(p: Triple, v: Triple, h: float) -> tuple[Triple, Triple]:
    speed = (v[0] * v[0] + v[1] * v[1]) ** 0.5
    left = max(0.0, 1.0 - ROLL_MPS2 * h / max(speed, 1e-9))
    w = (left * v[0], left * v[1], 0.0)
    return (p[0] + h * w[0], p[1] + h * w[1], RADIUS_M), w


def throw(p0: Floats, target: Floats, duration_s: float, air: Air) -> Floats:
    """The velocity that brings a ball from p0 to target in this time, without a bounce."""
    velocity = (target - p0) / duration_s + np.array([0, 0, 0.5 * GRAVITY_MPS2 * duration_s])
    for _ in range(SHOTS):
        p = (float(p0[0]), float(p0[1]), float(p0[2]))
        v = (float(velocity[0]), float(velocity[1]), float(velocity[2]))
        steps = max(1, round(duration_s / COARSE_S))
        for _ in range(steps):
            p, v = _step(p, v, duration_s / steps, air)
        velocity = velocity + (target - np.array(p)) / duration_s
    return np.asarray(velocity, dtype=np.float64)


def throw_down(p0: Floats, height_m: float, air: Air, rise_mps: float = 0.6) -> tuple[float, float]:
    """Downward speed at p0 that bounces a ball to height_m, still rising by rise_mps, and when."""
    fall, rise = p0[2] - RADIUS_M, max(height_m - RADIUS_M, 0.05)
    up2 = rise_mps**2 + 2 * GRAVITY_MPS2 * rise
    speed = float(np.sqrt(max(up2 / air.restitution**2 - 2 * GRAVITY_MPS2 * fall, 0.04)))
    duration = 0.5
    for _ in range(SHOTS):
        flown = fly(p0, np.array([0.0, 0.0, -speed]), 1.2, air, COARSE_S)
        if not flown.bounces_s:
            return speed, duration
        after = np.arange(len(flown.position)) * COARSE_S > flown.bounces_s[0]
        high = after & (flown.position[:, 2] >= height_m)
        if high.any():
            first = int(np.argmax(high))
            duration = first * COARSE_S
            error = flown.velocity[first, 2] - rise_mps
        else:
            error = -0.8
        speed = max(0.2, speed - 0.5 * float(error))
    return speed, duration
