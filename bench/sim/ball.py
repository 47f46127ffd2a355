"""The ball of a simulated arena: ground truth at any time, and the candidates of every camera.

from bench.sim import Arena, preset
from bench.sim.ball import BallArena, BallPlay
ball = BallArena(Arena(preset("standard", frames=1200)), BallPlay())
for frame_set in ball.frame_sets():
    for view in frame_set.views:
        ...  # view.camera, view.capture_time_ns, view.candidates (N, 3)
    ball.truth(frame_set.time_ns).position_m
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Bools, Floats, Ints
from bench.sim.arena import CHUNK, NS, Arena
from bench.sim.ball_flight import FINE_S
from bench.sim.ball_script import HAND_HZ, Script, hands_of, write_script
from bench.sim.observe import inside
from bench.sim.occlusion import occluders
from bench.sim.roam import Event

PHASES = ("loose", "held", "dribbled", "flight")
HANDS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class BallPlay:
    """How the ball is played and how it is seen."""

    sigma_px: float = 1.5
    """Noise of a true candidate, per axis."""
    detected: float = 0.88
    """Probability that a visible ball is detected."""
    hidden: float = 0.15
    """The same behind a body."""
    hidden_sigma: float = 1.0
    """How many times noisier a hidden ball's candidate is."""
    false_rate: float = 0.08
    """Mean number of false candidates in a camera frame."""
    decoys: int = 0
    """People whose heads look like balls, in every camera, as often as not."""
    drag_per_m: float = 0.022
    """Quadratic drag."""
    drag_spread: float = 0.15
    """Flights differ in drag by this relative amount."""
    restitution: float = 0.8
    """Of the floor."""
    restitution_spread: float = 0.05
    """Bounces differ by this."""
    spin_per_s: float = 0.0
    """Magnus acceleration over speed, each axis normal."""
    give_s: float = 0.1
    """Hands give this long at a catch, and follow through at a release; 0 is a blow."""
    pass_mps: float = 9.0
    """Mean speed of passes."""
    bounce_passes: float = 0.3
    """Share of the longer passes that go by way of the floor."""
    made: float = 0.45
    """Share of the shots that go in."""
    dribbles: float = 0.6
    """Share of longer possessions in which the ball is dribbled."""


@dataclass(frozen=True, slots=True)
class BallView:
    """What one camera reports of one capture."""

    camera: int
    """Index into the rig."""
    capture_time_ns: int
    """Mid-exposure of the first row."""
    candidates: NDArray[np.float32]
    """(N, 3): u, v, confidence."""


@dataclass(frozen=True, slots=True)
class BallFrameSet:
    """One frame of every camera."""

    index: int
    """Number of the frame-set."""
    views: tuple[BallView, ...]
    """One a camera, in order of capture time."""
    visible: int
    """Cameras that could see the ball."""

    @property
    def time_ns(self) -> int:
        """The newest capture time in it."""
        return max(view.capture_time_ns for view in self.views)


@dataclass(frozen=True, slots=True)
class BallTruth:
    """The ball at one time."""

    position_m: Floats
    """(3,) metres."""
    velocity_mps: Floats
    """(3,) metres a second."""
    phase: str
    """One of PHASES."""
    carrier: int
    """Who holds or dribbles it, -1 for nobody."""


class BallArena:
    """One seeded game's ball. Equal options give equal frames."""

    def __init__(self, arena: Arena, play: BallPlay | None = None) -> None:
        """Write the script: some seconds for a minute of play."""
        self.arena = arena
        self.play = play if play is not None else BallPlay()
        seconds = arena.options.frames / arena.options.fps + 1.0
        self.script = self._script(seconds)

    def _script(self, seconds: float) -> Script:
        arena, tempo = self.arena, self.arena.options.tempo
        times = np.arange(int(seconds * HAND_HZ) + 4) / HAND_HZ
        pieces = [
            arena.crowd.joints(tempo * times[k : k + HANDS_AT_ONCE])[:, :, 7:11]
            for k in range(0, len(times), HANDS_AT_ONCE)
        ]
        arms = np.concatenate(pieces)
        joints = np.zeros((*arms.shape[:2], 17, 3))
        joints[:, :, 7:11] = arms
        events = [
            Event(e.time_s / tempo, e.person, e.kind, e.duration_s / tempo)
            for e in arena.crowd.roam.events
        ]
        return write_script(hands_of(joints), events, seconds, self.play, arena.options.seed)

    def truth(self, time_ns: int) -> BallTruth:
        """The ball at a time."""
        at = (time_ns - self.arena.options.start_ns) * 1e-9
        row = int(np.clip(at / FINE_S, 0, len(self.script.position) - 2))
        position = self._positions(np.array([at]))[0]
        velocity = (self.script.position[row + 1] - self.script.position[row]) / FINE_S
        phase = PHASES[int(self.script.phase[row])]
        return BallTruth(position, velocity, phase, int(self.script.carrier[row]))

    def bounces_ns(self) -> Ints:
        """(B,) times at which it met the floor."""
        seconds = np.array(self.script.bounces_s)
        return np.asarray(np.round(seconds * NS), dtype=np.int64) + self.arena.options.start_ns

    def releases_ns(self) -> Ints:
        """(R,) times at which passes and shots left the hand."""
        seconds = np.array(self.script.releases_s)
        return np.asarray(np.round(seconds * NS), dtype=np.int64) + self.arena.options.start_ns

    def frame_sets(self, first: int = 0, stop: int | None = None) -> Iterator[BallFrameSet]:
        """Frame-sets first..stop (default: all), made in chunks of bounded size."""
        options = self.arena.options
        last = options.frames if stop is None else min(stop, options.frames)
        for chunk in range(first // CHUNK, -(-last // CHUNK)):
            frames = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK)
            rng = np.random.default_rng([options.seed, chunk, 13])
            made = self._observe(frames, rng)
            for k in np.flatnonzero((frames >= first) & (frames < last)):
                yield made[int(k)]

    def _positions(self, times_s: Floats) -> Floats:
        """(T,) -> (T, 3), linear within a millisecond."""
        x = np.clip(times_s / FINE_S, 0.0, len(self.script.position) - 1.001)
        i = x.astype(np.int64)
        share = (x - i)[:, None]
        low, high = self.script.position[i], self.script.position[i + 1]
        return np.asarray((1 - share) * low + share * high)

    def _images(self, times_s: Floats) -> tuple[Floats, Floats]:
        """(T, C) first-row times -> (T, C, 1, 2) images at their rows' times, and depths."""
        rig = self.arena.rig
        readout_s = rig.readout_ms * 1e-3
        row = np.full(times_s.shape, 0.5)
        for _ in range(4):
            at = self._positions((times_s + row * readout_s).ravel())
            uv, depth = rig.project(at.reshape(*times_s.shape, 1, 3))
            row = np.clip(np.nan_to_num(uv[:, :, 0, 1] / rig.size[:, 1], nan=0.5), 0.0, 1.0)
        return uv, depth

    def _hidden(self, frames: Ints, uv: Floats, depth: Floats) -> Bools:
        """(T, C) whether a body hides the ball: it stands in as one more person."""
        people_uv, people_depth = self.arena.images(frames)
        shape = (*uv.shape[:2], 1, people_uv.shape[3])
        all_uv = np.concatenate([people_uv, np.broadcast_to(uv[:, :, None], (*shape, 2))], axis=2)
        all_depth = np.concatenate(
            [people_depth, np.broadcast_to(depth[:, :, None], shape)], axis=2
        )
        front = occluders(all_uv, all_depth, self.arena.rig.K[:, 0, 0])
        return np.asarray(front[:, :, -1, 0] >= 0)

    def _observe(self, frames: Ints, rng: np.random.Generator) -> list[BallFrameSet]:
        play, rig, options = self.play, self.arena.rig, self.arena.options
        captures = self.arena.capture_times_ns(frames)
        uv, depth = self._images((captures - options.start_ns) * 1e-9)
        hidden = self._hidden(frames, uv, depth)
        spot = uv[:, :, 0]
        sigma = play.sigma_px * np.where(hidden, play.hidden_sigma, 1.0)
        measured = spot + sigma[..., None] * rng.standard_normal(spot.shape)
        seen = rng.random(hidden.shape) < np.where(hidden, play.hidden, play.detected)
        visible = inside(spot, rig.size)
        seen &= inside(measured, rig.size) & visible
        sure = np.clip(rng.normal(0.8, 0.12, hidden.shape) - 0.25 * hidden, 0.05, 0.99)
        counts = rng.poisson(play.false_rate, hidden.shape)
        heads = self._decoys(frames, rng)
        out = []
        for k, frame in enumerate(frames):
            views = []
            for c in np.argsort(captures[k], kind="stable"):
                real = np.append(measured[k, c], sure[k, c])[None][: int(seen[k, c])]
                false = np.column_stack(
                    [
                        rng.uniform(0, 1, (counts[k, c], 2)) * rig.size[c],
                        rng.uniform(0.15, 0.85, counts[k, c]),
                    ]
                )
                rows = np.concatenate([real, false, heads[k][c]])
                rows = rows[rng.permutation(len(rows))].astype(np.float32)
                views.append(BallView(int(c), int(captures[k, c]), rows))
            count = int((visible[k] & ~hidden[k]).sum())
            out.append(BallFrameSet(int(frame), tuple(views), count))
        return out

    def _decoys(self, frames: Ints, rng: np.random.Generator) -> list[list[Floats]]:
        """Candidates on the heads of the first people, by frame and camera."""
        cameras, count = len(self.arena.rig.names), min(self.play.decoys, self.arena.options.people)
        none: list[list[Floats]] = [[np.zeros((0, 3))] * cameras for _ in frames]
        if count == 0:
            return none
        uv, _ = self.arena.images(frames)
        head = uv[:, :, :count, 0] + rng.normal(0, self.play.sigma_px, (*uv.shape[:2], count, 2))
        said = (rng.random(head.shape[:3]) < 0.5) & np.isfinite(head).all(axis=-1)
        sure = rng.uniform(0.15, 0.7, head.shape[:3])
        rows = np.concatenate([head, sure[..., None]], axis=-1)
        return [[rows[k, c][said[k, c]] for c in range(cameras)] for k in range(len(frames))]
