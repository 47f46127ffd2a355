"""A jointed body with constant limbs: curves of root and posture to COCO-17 joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.arrays import Floats
from bench.sim.posture import Posture
from bench.sim.roam import Roam, stride_hz

JOINTS = 17
LEAN_S = 0.15
"""A trunk leans by the acceleration over this long before and after, so that it never jerks."""
LIMBS: tuple[tuple[int, int], ...] = (
    (5, 7),
    (7, 9),
    (6, 8),
    (8, 10),
    (11, 13),
    (13, 15),
    (12, 14),
    (14, 16),
)
"""The eight limbs of arms and legs, whose lengths never change."""


@dataclass(frozen=True, slots=True)
class Bodies:
    """Everybody's measures; (P,) metres each."""

    shoulder: Floats
    """Half the width of the shoulders."""
    hip: Floats
    """Half the width of the hips."""
    torso: Floats
    """From the middle of the hips to the middle of the shoulders."""
    neck: Floats
    """From the middle of the shoulders to the nose, upwards."""
    arm: Floats
    """(P, 2) upper arm and forearm."""
    leg: Floats
    """(P, 2) thigh and shank."""
    ankle: Floats
    """Height of the ankle above the floor."""


def draw_bodies(people: int, rng: np.random.Generator) -> Bodies:
    """Players about 1.98 m tall, referees 1.82 m, each with proportions of their own."""
    height = rng.normal(1.98, 0.08, people)
    referees = people * 3 // 13
    if referees:
        height[-referees:] = rng.normal(1.82, 0.06, referees)

    def share(part: float) -> Floats:
        return np.asarray(part * height * rng.normal(1.0, 0.04, people), dtype=np.float64)

    return Bodies(
        shoulder=share(0.100),
        hip=share(0.068),
        torso=share(0.275),
        neck=share(0.115),
        arm=np.stack([share(0.165), share(0.145)], axis=1),
        leg=np.stack([share(0.240), share(0.235)], axis=1),
        ankle=share(0.042),
    )


@dataclass(frozen=True, slots=True)
class Crowd:
    """All bodies with their curves; `joints` evaluates them."""

    bodies: Bodies
    """The measures."""
    roam: Roam
    """The roots."""
    posture: Posture
    """Arms, crouch, head and jumps."""

    def joints(self, times_s: Floats) -> Floats:
        """Joints at times_s (T,) -> (T, P, 17, 3) in metres, COCO order."""
        state = _state(self, times_s)
        out = np.empty((len(times_s), len(self.bodies.hip), JOINTS, 3))
        hips = _pelvis(out, state, self.bodies)
        shoulders = _trunk(out, state, self.bodies, hips)
        _head(out, state, self.bodies, shoulders)
        _arms(out, state, self.bodies)
        return out


@dataclass(frozen=True, slots=True)
class _State:
    """Everything at the asked times, (T, P) or (T, P, 3)."""

    root: Floats
    forward: Floats
    left: Floats
    speed: Floats
    swing: Floats
    sway: Floats
    lean: Floats
    roll: Floats
    phase: Floats
    crouch: Floats
    jump: Floats
    channels: Floats


def _state(crowd: Crowd, times_s: Floats) -> _State:
    root = crowd.roam.root(times_s)
    rate = crowd.roam.root(times_s, 1)
    later, earlier = (crowd.roam.root(times_s + lag, 1) for lag in (LEAN_S, -LEAN_S))
    bend = (later - earlier) / (2 * LEAN_S)
    channels = crowd.posture.channels(times_s)
    jump = crowd.posture.jump(times_s)
    c, s = np.cos(root[..., 2]), np.sin(root[..., 2])
    ahead = c * rate[..., 0] + s * rate[..., 1]
    aside = -s * rate[..., 0] + c * rate[..., 1]
    speed = np.sqrt(rate[..., 0] ** 2 + rate[..., 1] ** 2 + 1e-4)
    reach = 2 * np.pi * stride_hz(speed) * crowd.bodies.leg.sum(axis=1)
    grounded = 1.0 / (1.0 + np.exp(16.0 * (jump - 0.15)))
    push = ahead_of(bend, c, s)
    zero = np.zeros_like(c)
    return _State(
        root=root[..., :2],
        forward=np.stack([c, s, zero], axis=-1),
        left=np.stack([-s, c, zero], axis=-1),
        speed=speed,
        swing=grounded * np.clip(1.25 * ahead / reach, -0.9, 0.9),
        sway=grounded * np.clip(0.8 * aside / reach, -0.45, 0.45),
        lean=0.06 + 0.03 * ahead + 0.025 * push[0] + 0.35 * channels[..., 10],
        roll=0.02 * push[1],
        phase=root[..., 3],
        crouch=_bent(channels[..., 10], jump),
        jump=jump,
        channels=channels,
    )


def _bent(crouch: Floats, jump: Floats) -> Floats:
    """Flexion of thighs: the asked crouch and what a low root needs, at most 0.8."""
    needed = crouch + 2.0 * (np.sqrt(jump**2 + 0.0036) - jump) - 0.06
    return np.asarray(0.8 * np.tanh(np.maximum(needed, 0.0) / 0.8), dtype=np.float64)


def ahead_of(vector: Floats, c: Floats, s: Floats) -> tuple[Floats, Floats]:
    """The parts of a horizontal vector ahead of a heading and to its left."""
    return c * vector[..., 0] + s * vector[..., 1], -s * vector[..., 0] + c * vector[..., 1]


def _direction(frame: tuple[Floats, Floats, Floats], flexion: Floats, abduction: Floats) -> Floats:
    """A unit vector: down at 0, turned forward by flexion and to the left by abduction."""
    forward, left, up = frame
    cos_a = np.cos(abduction)
    along = (np.sin(flexion) * cos_a)[..., None] * forward
    down = (np.cos(flexion) * cos_a)[..., None] * up
    return np.asarray(along + np.sin(abduction)[..., None] * left - down, dtype=np.float64)


def _pelvis(out: Floats, state: _State, bodies: Bodies) -> Floats:
    """Hips, knees and ankles; returns the middle of the hips.

    The root's height puts the lower foot on the floor, by a soft maximum over both legs.
    """
    up = np.broadcast_to(np.array([0.0, 0.0, 1.0]), state.forward.shape)
    frame = (state.forward, state.left, up)
    thighs, shanks, drops = [], [], []
    for side, shift in ((1.0, 0.0), (-1.0, np.pi)):
        wave, knee_wave = np.sin(state.phase + shift), np.sin(state.phase + shift + 1.9)
        flexion = state.swing * wave + 0.25 * np.sqrt(state.swing**2 + 0.01) + state.crouch
        lift = 1.6 * np.sqrt(state.swing**2 + state.sway**2) * (0.5 - 0.5 * knee_wave) ** 1.5
        knee = 0.1 + lift + 2.0 * state.crouch
        abduction = side * (0.06 + 0.15 * state.crouch) + state.sway * wave
        thighs.append(bodies.leg[:, 0, None] * _direction(frame, flexion, abduction))
        shanks.append(bodies.leg[:, 1, None] * _direction(frame, flexion - knee, abduction))
        drops.append(-(thighs[-1] + shanks[-1])[..., 2])
    soft = np.logaddexp(14.0 * drops[0], 14.0 * drops[1]) / 14.0 - 0.025
    middle = np.concatenate([state.root, (soft + bodies.ankle + state.jump)[..., None]], axis=-1)
    turn = 0.15 * state.swing * np.cos(state.phase)
    across = np.cos(turn)[..., None] * state.left + np.sin(turn)[..., None] * state.forward
    for k, side in enumerate((1.0, -1.0)):
        out[..., 11 + k, :] = middle + side * bodies.hip[:, None] * across
        out[..., 13 + k, :] = out[..., 11 + k, :] + thighs[k]
        out[..., 15 + k, :] = out[..., 13 + k, :] + shanks[k]
    return middle


def _tilted(state: _State, share: float) -> tuple[Floats, Floats, Floats]:
    """The trunk's axes: the heading's, pitched forward by lean and rolled to the side."""
    lean, roll = share * state.lean[..., None], share * state.roll[..., None]
    up = np.array([0.0, 0.0, 1.0])
    pitched = np.sin(lean) * state.forward + np.cos(lean) * up
    forward = np.cos(lean) * state.forward - np.sin(lean) * up
    return (
        forward,
        np.cos(roll) * state.left - np.sin(roll) * pitched,
        np.cos(roll) * pitched + np.sin(roll) * state.left,
    )


def _trunk(out: Floats, state: _State, bodies: Bodies, middle: Floats) -> Floats:
    """Shoulders, twisted against the legs; returns their middle."""
    forward, left, up = _tilted(state, 1.0)
    top = middle + bodies.torso[:, None] * up
    twist = (-0.35 * state.swing * np.cos(state.phase))[..., None]
    across = np.cos(twist) * left + np.sin(twist) * forward
    out[..., 5, :] = top + bodies.shoulder[:, None] * across
    out[..., 6, :] = top - bodies.shoulder[:, None] * across
    return np.asarray(top, dtype=np.float64)


def _head(out: Floats, state: _State, bodies: Bodies, top: Floats) -> None:
    """Nose, eyes and ears as one rigid head that turns and nods."""
    forward, left, up = _tilted(state, 0.5)
    yaw, pitch = state.channels[..., 11, None], state.channels[..., 12, None]
    ahead = np.cos(yaw) * forward + np.sin(yaw) * left
    side = np.cos(yaw) * left - np.sin(yaw) * forward
    face = np.cos(pitch) * ahead - np.sin(pitch) * up
    crown = np.cos(pitch) * up + np.sin(pitch) * ahead
    nose = top + bodies.neck[:, None] * crown + 0.10 * face
    out[..., 0, :] = nose
    for k, sign in enumerate((1.0, -1.0)):
        out[..., 1 + k, :] = nose + 0.035 * crown - 0.025 * face + sign * 0.032 * side
        out[..., 3 + k, :] = nose + 0.020 * crown - 0.105 * face + sign * 0.075 * side


def _arms(out: Floats, state: _State, bodies: Bodies) -> None:
    """Elbows and wrists: the gait's swing blended into actions."""
    frame = _tilted(state, 1.0)
    pump = 0.25 + 0.12 * np.minimum(state.speed, 7.0)
    for k, (side, shift) in enumerate(((1.0, np.pi), (-1.0, 0.0))):
        wave = np.sin(state.phase + shift)
        channel = state.channels[..., 4 * k : 4 * k + 4]
        weight = state.channels[..., 8 + k]
        upper = 1.1 * state.swing * wave - 0.1
        fore = upper + pump + 0.35 * np.sqrt(state.swing**2 + 0.01) * (1 + wave)
        flexion = (1 - weight) * upper + weight * channel[..., 0]
        abduction = (1 - weight) * 0.14 + weight * channel[..., 1]
        fore_flexion = (1 - weight) * fore + weight * channel[..., 2]
        fore_abduction = -(1 - weight) * 0.12 + weight * channel[..., 3]
        upper_arm = bodies.arm[:, 0, None] * _direction(frame, flexion, side * abduction)
        forearm = bodies.arm[:, 1, None] * _direction(frame, fore_flexion, side * fore_abduction)
        out[..., 7 + k, :] = out[..., 5 + k, :] + upper_arm
        out[..., 9 + k, :] = out[..., 7 + k, :] + forearm
