"""Where everybody runs: a small game of possessions, marking, crowds and referees.

Stepped at 20 Hz. The outcome is smooth curves (root position, heading, gait phase) and the events
that arms and jumps follow (passes, shots, rebounds, swipes).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Floats
from bench.sim.options import COURT_LENGTH_M, COURT_WIDTH_M
from bench.sim.spline import UniformSpline

STEP_S = 0.05
KNOT_S = 0.1
BASKET_X_M = COURT_LENGTH_M / 2 - 1.6
SPEEDS_MPS = np.array([0.3, 1.5, 3.2, 5.5, 7.8])
SPEED_SHARES = np.array([0.12, 0.25, 0.28, 0.23, 0.12])
ACCELERATION_MPS2 = 5.0
CONTACT_MPS2 = 9.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that one person's arms or legs do."""

    time_s: float
    """When it begins."""
    person: int
    """Who does it."""
    kind: str
    """shot, pass, catch, rebound, swipe, guard or dribble."""
    duration_s: float
    """How long it lasts."""


@dataclass(frozen=True, slots=True)
class Roam:
    """Curves of the roots and the events along them."""

    root: UniformSpline
    """(T,) -> (T, P, 4): x, y (m), heading (rad, unwrapped), gait phase (rad, rising)."""
    events: tuple[Event, ...]
    """In order of time."""


@dataclass(slots=True)
class _Game:
    """The state that the stepping changes."""

    rng: np.random.Generator
    people: int
    position: Floats
    velocity: Floats
    heading: Floats
    phase: Floats
    target: Floats
    cap: Floats
    decide_s: Floats
    holder: int = 0
    side: float = 1.0
    possession_s: float = 0.0
    pass_s: float = 0.0
    crowd_s: float = 0.0
    crowd: Floats = field(default_factory=lambda: np.zeros(2))
    crowded: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    events: list[Event] = field(default_factory=list)

    @property
    def referees(self) -> int:
        return self.people * 3 // 13

    @property
    def attackers(self) -> int:
        return max(1, (self.people - self.referees) // 2)

    @property
    def players(self) -> int:
        return self.people - self.referees


def roam(people: int, duration_s: float, rng: np.random.Generator) -> Roam:
    """Play for duration_s; the roots keep within the court and about 0.35 m apart."""
    game = _start(people, rng)
    steps = int(np.ceil(duration_s / STEP_S)) + 12
    every = round(KNOT_S / STEP_S)
    knots: list[Floats] = []
    for step in range(steps):
        if step % every == 0:
            columns = [game.position, game.heading[:, None], game.phase[:, None]]
            knots.append(np.concatenate(columns, axis=1))
        _decide(game, step * STEP_S)
        _move(game)
    control = np.stack([knots[0], *knots, knots[-1], knots[-1]])
    return Roam(UniformSpline(control, KNOT_S), tuple(sorted(game.events, key=lambda e: e.time_s)))


def _start(people: int, rng: np.random.Generator) -> _Game:
    spots = rng.uniform([-10.0, -6.0], [10.0, 6.0], (people, 2))
    for _ in range(200):
        spots += 0.2 * _repulsion(spots, 1.0)
    zero = np.zeros(people)
    game = _Game(
        rng,
        people,
        np.clip(spots, [-13.5, -7.0], [13.5, 7.0]),
        np.zeros((people, 2)),
        rng.uniform(-np.pi, np.pi, people),
        rng.uniform(0, 2 * np.pi, people),
        spots.copy(),
        zero + 3.0,
        zero.copy(),
    )
    game.crowded = np.zeros(people, dtype=np.bool_)
    return game


def _repulsion(position: Floats, reach_m: float) -> Floats:
    """(P, 2) pushes away from everybody nearer than reach_m, 1 at touch, 0 at reach."""
    gap = position[:, None] - position[None]
    distance = np.sqrt((gap * gap).sum(axis=2)) + 1e-6
    strength = np.clip(1 - distance / reach_m, 0, None) / distance
    return np.asarray((gap * strength[..., None]).sum(axis=1))


def _decide(game: _Game, now_s: float) -> None:
    """Possession, passes, crowds, then each person's target."""
    if now_s >= game.possession_s:
        _turn_over(game, now_s)
    elif now_s >= game.pass_s:
        _pass(game, now_s)
    if now_s >= game.crowd_s and game.rng.random() < STEP_S / 5.0:
        _gather(game, now_s, game.position[game.rng.integers(game.people)])
    _choose_targets(game, now_s)


def _turn_over(game: _Game, now_s: float) -> None:
    """The holder shoots, some go for the rebound, then the other half is played."""
    if now_s > 0:
        game.events.append(Event(now_s, game.holder, "shot", 1.1))
        _gather(game, now_s + 0.5, np.array([game.side * BASKET_X_M, 0.0]))
        near = np.linalg.norm(game.position[: game.players] - game.crowd, axis=1) < 5.0
        for person in np.flatnonzero(near):
            if person != game.holder and game.rng.random() < 0.6:
                late = game.rng.uniform(0.8, 1.6)
                game.events.append(Event(now_s + late, int(person), "rebound", 1.2))
        game.side = -game.side
    game.possession_s = now_s + game.rng.uniform(9.0, 18.0)
    game.pass_s = now_s + game.rng.uniform(2.0, 4.0)
    game.holder = int(game.rng.integers(game.attackers))
    game.decide_s[:] = np.minimum(game.decide_s, now_s + game.rng.uniform(0.5, 2.0, game.people))


def _pass(game: _Game, now_s: float) -> None:
    receiver = int(game.rng.integers(game.attackers))
    if receiver != game.holder:
        game.events.append(Event(now_s, game.holder, "pass", 0.7))
        game.events.append(Event(now_s + 0.3, receiver, "catch", 0.6))
        game.holder = receiver
    else:
        game.events.append(Event(now_s, game.holder, "dribble", game.rng.uniform(1.0, 2.5)))
    for person in game.rng.permutation(game.players)[:2]:
        kind = "guard" if game.rng.random() < 0.6 else "swipe"
        duration = game.rng.uniform(1.2, 2.5) if kind == "guard" else 0.6
        start = now_s + game.rng.uniform(0, 0.8)
        game.events.append(Event(start, int(person), kind, duration))
    if game.referees and game.rng.random() < 0.3:
        referee = int(game.rng.integers(game.players, game.people))
        game.events.append(Event(now_s, referee, "wave", 1.5))
    if game.rng.random() < 0.25:
        jumper = int(game.rng.integers(game.players))
        game.events.append(Event(now_s + 0.4, jumper, "rebound", 1.2))
    game.pass_s = now_s + game.rng.uniform(1.0, 3.0)


def _gather(game: _Game, now_s: float, where: Floats) -> None:
    """For a while five or so people crowd around one place."""
    game.crowd = np.asarray(where, dtype=np.float64).copy()
    distance = np.linalg.norm(game.position[: game.players] - game.crowd, axis=1)
    game.crowded[:] = False
    game.crowded[np.argsort(distance)[: game.rng.integers(2, 7)]] = True
    game.crowd_s = now_s + game.rng.uniform(1.2, 2.5)


def _choose_targets(game: _Game, now_s: float) -> None:
    rng, attackers, players = game.rng, game.attackers, game.players
    due = np.flatnonzero(now_s >= game.decide_s)
    for person in due:
        game.decide_s[person] = now_s + rng.uniform(0.8, 3.5)
        game.cap[person] = rng.choice(SPEEDS_MPS, p=SPEED_SHARES) * rng.uniform(0.8, 1.05)
        spot = np.array([game.side * rng.uniform(3.0, 13.0), rng.uniform(-6.8, 6.8)])
        if person >= players:
            spot = np.array([game.side * rng.uniform(0.0, 14.0), rng.choice([-7.9, 7.9])])
            game.cap[person] = min(game.cap[person], 5.0)
        far = abs(spot[0] - game.position[person, 0]) > 10.0
        game.cap[person] = max(game.cap[person], 4.5) if far else game.cap[person]
        game.target[person] = spot
    marked = np.arange(attackers, players) - attackers
    marked = marked[marked < attackers]
    basket = np.array([game.side * BASKET_X_M, 0.0])
    towards = basket - game.position[marked]
    towards /= np.linalg.norm(towards, axis=1, keepdims=True) + 1e-6
    guards = attackers + marked
    game.target[guards] = game.position[marked] + 0.9 * towards
    game.cap[guards] = 7.0
    if now_s < game.crowd_s:
        game.target[game.crowded] = game.crowd


def _move(game: _Game) -> None:
    """One step of 50 ms: accelerate to the target, keep apart, turn, advance the gait."""
    wish = (game.target - game.position) / 0.6
    speed = np.linalg.norm(wish, axis=1, keepdims=True) + 1e-9
    wish *= np.minimum(1.0, game.cap[:, None] / speed)
    wished = (wish - game.velocity) / 0.3 + 14.0 * _repulsion(game.position, 0.75)
    contact = 30.0 * _repulsion(game.position, 0.5)
    acceleration = _limited(wished, ACCELERATION_MPS2) + _limited(contact, CONTACT_MPS2)
    game.velocity += acceleration * STEP_S
    game.position += game.velocity * STEP_S
    limit = np.array([COURT_LENGTH_M / 2 + 0.3, COURT_WIDTH_M / 2 + 0.5])
    game.position[:] = np.clip(game.position, -limit, limit)
    _turn(game)
    moving = np.linalg.norm(game.velocity, axis=1)
    game.phase += 2 * np.pi * stride_hz(moving) * STEP_S


def _limited(vector: Floats, limit: float) -> Floats:
    """(P, 2) vectors, none longer than limit."""
    size = np.linalg.norm(vector, axis=1, keepdims=True) + 1e-9
    return np.asarray(vector * np.minimum(1.0, limit / size), dtype=np.float64)


def _turn(game: _Game) -> None:
    """Runners face where they run, the others face the ball."""
    ball = game.position[game.holder] - game.position
    ball /= np.linalg.norm(ball, axis=1, keepdims=True) + 0.3
    face = 0.45 * game.velocity + ball
    wanted = np.arctan2(face[:, 1], face[:, 0])
    turn = (wanted - game.heading + np.pi) % (2 * np.pi) - np.pi
    game.heading += np.clip(turn / 0.25, -5.5, 5.5) * STEP_S


def stride_hz(speed_mps: Floats) -> Floats:
    """Full gait cycles a second: none at rest, 0.9 at a walk, 2 at a sprint."""
    return np.asarray(2.2 * speed_mps / (speed_mps + 1.6) + 0.05, dtype=np.float64)
