"""What happens to the simulated ball: the arena's people hold, dribble, pass and shoot it.

The script follows the events of `bench.sim.roam`. It ends as a table of positions every
millisecond, with a phase for each and the exact times of bounces and releases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Floats
from bench.sim.ball_flight import FINE_S, Air, Flown, fly, throw, throw_down
from bench.sim.roam import BASKET_X_M, Event

if TYPE_CHECKING:
    from bench.sim.ball import BallPlay

HOOP_M = 3.05
LOOSE, HELD, DRIBBLED, FLIGHT = 0, 1, 2, 3
"""Phases of the table; LOOSE is on the floor, or being picked up."""
CLOSE_M = 0.02
"""A pass by way of the floor that ends farther from the hand than this goes straight instead."""
HAND_HZ = 240.0
BEYOND_M = 0.14
"""A held ball's centre lies this far beyond the wrist, along the forearm."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Where a ball in each hand would be, at any time."""

    table: Floats
    """(K, P, 2, 3) at HAND_HZ, left and right."""

    def __call__(self, person: int, side: int, times_s: Floats) -> Floats:
        """(T,) -> (T, 3); cubic between the table's rows."""
        x = np.clip(np.asarray(times_s) * HAND_HZ, 1.0, len(self.table) - 3.001)
        i = x.astype(np.int64)
        s = (x - i)[:, None]
        a, b, c, d = (self.table[i + k, person, side] for k in (-1, 0, 1, 2))
        m, n = 0.5 * (c - a), 0.5 * (d - b)
        cubic = (2 * b - 2 * c + m + n) * s**3 + (3 * c - 3 * b - 2 * m - n) * s**2
        return np.asarray(cubic + m * s + b, dtype=np.float64)

    def at(self, person: int, side: int, time_s: float) -> Floats:
        """(3,) at one time."""
        return np.asarray(self(person, side, np.array([time_s]))[0], dtype=np.float64)

    def speed(self, person: int, side: int, time_s: float) -> Floats:
        """(3,) velocity."""
        two = self(person, side, np.array([time_s - 0.005, time_s + 0.005]))
        return np.asarray((two[1] - two[0]) / 0.01, dtype=np.float64)


def hands_of(joints: Floats) -> Hands:
    """From (K, P, 17, 3) joints at HAND_HZ."""
    wrist, elbow = joints[:, :, 9:11], joints[:, :, 7:9]
    along = wrist - elbow
    along /= np.linalg.norm(along, axis=-1, keepdims=True) + 1e-9
    return Hands(wrist + BEYOND_M * along)


@dataclass(slots=True)
class Script:
    """The table while it is written; everything up to `now_s` is decided."""

    position: Floats
    """(N, 3) every FINE_S."""
    phase: NDArray[np.int8]
    """(N,) LOOSE, HELD, DRIBBLED or FLIGHT."""
    carrier: NDArray[np.int16]
    """(N,) who has it in hand or dribbles, -1 for nobody."""
    now_s: float = 0.0
    bounces_s: list[float] = field(default_factory=list)
    releases_s: list[float] = field(default_factory=list)

    def write(self, position: Floats, phase: int, carrier: int) -> None:
        """Append rows from now on, the first of them at now."""
        first = round(self.now_s / FINE_S)
        rows = position[: max(0, len(self.position) - first)]
        self.position[first : first + len(rows)] = rows
        self.phase[first : first + len(rows)] = phase
        self.carrier[first : first + len(rows)] = carrier
        self.now_s += (len(position) - 1) * FINE_S


@dataclass(slots=True)
class Player:
    """Writes the script."""

    hands: Hands
    play: BallPlay
    rng: np.random.Generator
    script: Script
    person: int
    side: int = 1
    incoming: Floats = field(default_factory=lambda: np.zeros(3))
    """Velocity with which the ball came into the hand, less the hand's."""

    def air(self) -> Air:
        """This flight's."""
        rng, play = self.rng, self.play
        restitution = play.restitution + play.restitution_spread * rng.uniform(-1, 1)
        spin = rng.normal(0, 1, 3) * play.spin_per_s
        return Air(
            play.drag_per_m * (1 + play.drag_spread * rng.uniform(-1, 1)),
            float(np.clip(restitution, 0.3, 0.95)),
            float(np.clip(0.95 + 0.05 * rng.uniform(-1, 1), 0.0, 1.0)),
            (float(spin[0]), float(spin[1]), float(spin[2])),
        )

    def carry(self, until_s: float, outgoing: Floats | None, phase: int = HELD) -> None:
        """Hold it until then; it gives at the catch and follows through at the release."""
        script = self.script
        count = max(1, round((until_s - script.now_s) / FINE_S))
        local = np.arange(count + 1) * FINE_S
        place = self.hands(self.person, self.side, script.now_s + local)
        length = local[-1]
        give = min(self.play.give_s, 0.5 * length)
        if give > 0:
            x = np.clip(local / give, 0, 1)
            place = place + give * (x * (1 - x) ** 2)[:, None] * self.incoming
            if outgoing is not None:
                y = np.clip((length - local) / give, 0, 1)
                place = place - give * (y * (1 - y) ** 2)[:, None] * outgoing
        place[:, 2] = np.maximum(place[:, 2], 0.12)
        script.write(place, phase, self.person)
        self.incoming = np.zeros(3)

    def let_go(self, flown: Flown, phase: int, carrier: int = -1) -> None:
        """Write a flight from the hand or a rim."""
        start = self.script.now_s
        self.script.bounces_s += [start + b for b in flown.bounces_s]
        first = round(start / FINE_S)
        self.script.write(flown.position, phase, carrier)
        if flown.rolls_s < np.inf:
            rolls = first + round(flown.rolls_s / FINE_S)
            self.script.phase[rolls : first + len(flown.position)] = LOOSE

    def caught(self, flown: Flown, person: int, side: int) -> None:
        """The ball is now in that hand."""
        self.person, self.side = person, side
        self.incoming = flown.velocity[-1] - self.hands.speed(person, side, self.script.now_s)

    def relative(self, velocity: Floats, time_s: float) -> Floats:
        """A velocity less the hand's."""
        return np.asarray(velocity - self.hands.speed(self.person, self.side, time_s))

    def pass_to(self, receiver: int, release_s: float) -> None:
        """A pass through the air, or by way of the floor."""
        air, side = self.air(), int(self.rng.integers(2))
        start = self.hands.at(self.person, self.side, release_s)
        duration = 0.5
        for _ in range(3):
            target = self.hands.at(receiver, side, release_s + duration)
            gap = float(np.linalg.norm(target - start))
            duration = max(0.2, gap / self.play.pass_mps)
        duration = round(duration / FINE_S) * FINE_S
        target = self.hands.at(receiver, side, release_s + duration)
        if gap > 3.0 and self.rng.random() < self.play.bounce_passes:
            velocity = self._by_floor(start, target, duration, air)
            if np.linalg.norm(fly(start, velocity, duration, air).position[-1] - target) > CLOSE_M:
                velocity = throw(start, target, duration, air)
        else:
            velocity = throw(start, target, duration, air)
        self.carry(release_s, self.relative(velocity, release_s))
        flown = fly(start, velocity, duration, air)
        # What the correction of the throw left over is spread along the flight.
        drift = target - flown.position[-1]
        share = np.linspace(0, 1, len(flown.position))[:, None]
        self.script.releases_s.append(self.script.now_s)
        self.let_go(
            Flown(flown.position + share * drift, flown.velocity, flown.bounces_s, np.inf), FLIGHT
        )
        self.caught(flown, receiver, side)

    def _by_floor(self, start: Floats, target: Floats, duration: float, air: Air) -> Floats:
        """Bisect the vertical speed until the bounced ball ends at the target's height."""
        low, high = -9.0, 2.0
        velocity = (target - start) / duration
        for _ in range(18):
            velocity[2] = 0.5 * (low + high)
            for _ in range(3):
                flown = fly(start, velocity, duration, air, 0.004)
                velocity[:2] += (target - flown.position[-1])[:2] / duration
            if len(flown.bounces_s) != 1 or flown.position[-1, 2] < target[2]:
                high = velocity[2]
            else:
                low = velocity[2]
        return np.asarray(velocity, dtype=np.float64)

    def dribble(self, until_s: float) -> None:
        """Push, bounce and take it up again, until then."""
        while self.script.now_s < until_s:
            air = self.air()
            touch = self.rng.uniform(0.10, 0.18)
            release = self.script.now_s + touch
            start = self.hands.at(self.person, self.side, release)
            start[2] = max(start[2], 0.35)
            duration = 0.5
            for _ in range(2):
                hand = self.hands.at(self.person, self.side, release + duration)
                speed, duration = throw_down(start, max(hand[2], 0.35), air)
            duration = round(duration / FINE_S) * FINE_S
            hand = self.hands.at(self.person, self.side, release + duration)
            velocity = np.append((hand - start)[:2] / duration, -speed)
            for _ in range(2):
                flown = fly(start, velocity, duration, air, 0.004)
                velocity[:2] += (hand - flown.position[-1])[:2] / duration
            self.carry(release, self.relative(velocity, release), DRIBBLED)
            flown = fly(start, velocity, duration, air)
            self.let_go(flown, DRIBBLED, self.person)
            self.caught(flown, self.person, self.side)
            # The hand meets the ball where it is.
            self.incoming = self.incoming * 1.0
            self._meet(flown.position[-1])

    def _meet(self, ball: Floats) -> None:
        """Take up a ball a little off the hand within a touch."""
        count = 60
        local = np.arange(count + 1) * FINE_S
        place = self.hands(self.person, self.side, self.script.now_s + local)
        off = ball - place[0]
        x = local / local[-1]
        length = local[-1]
        give = length * (x * (1 - x) ** 2)[:, None] * self.incoming
        smooth = (1 - x * x * (3 - 2 * x))[:, None]
        self.script.write(place + smooth * off + give, DRIBBLED, self.person)
        self.incoming = np.zeros(3)

    def shoot(self, release_s: float, until_s: float, taker: int) -> None:
        """At the nearer hoop; it drops through, or rebounds, and lies until somebody takes it."""
        air, rng = self.air(), self.rng
        start = self.hands.at(self.person, self.side, release_s)
        hoop = np.array([np.copysign(BASKET_X_M, start[0]), 0.0, HOOP_M])
        across = float(np.linalg.norm((hoop - start)[:2]))
        steep = np.tan(np.radians(rng.uniform(48, 56)))
        duration = float(np.sqrt(max(2 * (across * steep - (hoop - start)[2]) / 9.81, 0.16)))
        duration = round(duration / FINE_S) * FINE_S
        velocity = throw(start, hoop, duration, air)
        self.carry(release_s, self.relative(velocity, release_s))
        flown = fly(start, velocity, duration, air)
        self.script.releases_s.append(self.script.now_s)
        self.let_go(flown, FLIGHT)
        into = flown.velocity[-1]
        if rng.random() < self.play.made:
            after = np.append(0.1 * into[:2], -1.5)
        else:
            angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 3.5)
            after = np.array([speed * np.cos(angle), speed * np.sin(angle), rng.uniform(0.5, 3.5)])
        lie = float(np.clip(until_s - self.script.now_s - 0.7, 0.6, rng.uniform(1.0, 2.6)))
        lie = round(lie / FINE_S) * FINE_S
        loose = fly(flown.position[-1], after, lie, air)
        self.let_go(loose, FLIGHT)
        self.pick_up(loose, taker)

    def pick_up(self, loose: Flown, taker: int) -> None:
        """Somebody runs for it: a smooth way into the hand, phase LOOSE."""
        side = int(self.rng.integers(2))
        now = self.script.now_s
        start = loose.position[-1]
        gap = float(np.linalg.norm(self.hands.at(taker, side, now + 0.5) - start))
        duration = max(0.35, gap / 5.0)
        local = np.arange(round(duration / FINE_S) + 1) * FINE_S
        x = (local / local[-1])[:, None]
        smooth = x**3 * (10 - 15 * x + 6 * x * x)
        hand = self.hands(taker, side, now + local)
        glide = start + loose.velocity[-1] * (local * (1 - local / local[-1]) ** 2)[:, None]
        glide[:, 2] = np.maximum(glide[:, 2], 0.12)
        self.script.write((1 - smooth) * glide + smooth * hand, LOOSE, -1)
        self.person, self.side, self.incoming = taker, side, np.zeros(3)


def write_script(
    hands: Hands, events: Sequence[Event], duration_s: float, play: BallPlay, seed: int
) -> Script:
    """Play the events: `pass` with its `catch`, `dribble` and `shot`."""
    rows = round(duration_s / FINE_S) + 1
    script = Script(
        np.zeros((rows, 3)), np.zeros(rows, dtype=np.int8), np.full(rows, -1, dtype=np.int16)
    )
    acts = [e for e in events if e.kind in {"pass", "shot", "dribble"}]
    catches = {round(e.time_s - 0.3, 6): e.person for e in events if e.kind == "catch"}
    first = acts[0].person if acts else 0
    player = Player(hands, play, np.random.default_rng([seed, 11]), script, first)
    for k, act in enumerate(acts):
        following = acts[k + 1] if k + 1 < len(acts) else None
        if act.time_s < script.now_s - (1.0 if act.kind == "shot" else 0.2):
            continue
        if act.person != player.person:
            # An earlier act took too long: the ball has to come to whoever acts now.
            player.pass_to(act.person, max(script.now_s + 0.2, act.time_s - 0.6))
        begin = max(act.time_s, script.now_s)
        if begin - script.now_s > 1.4 and player.rng.random() < play.dribbles:
            player.carry(script.now_s + 0.3, None)
            player.dribble(begin - 0.25)
        if act.kind == "pass":
            receiver = catches.get(round(act.time_s, 6))
            if receiver is not None:
                player.pass_to(receiver, max(begin, script.now_s) + 0.42)
        elif act.kind == "dribble":
            player.carry(max(begin, script.now_s) + 0.1, None)
            player.dribble(begin + act.duration_s)
        else:
            until = following.time_s if following else script.now_s + 3.0
            taker = following.person if following else player.person
            player.shoot(max(begin, script.now_s) + 0.62, until, taker)
    if script.now_s < duration_s:
        player.carry(duration_s + FINE_S, None)
    return script
