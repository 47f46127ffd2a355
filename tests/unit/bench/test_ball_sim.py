"""The simulated ball: physics in the air, hands that never leave it, candidates as asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.ball_score import BallScore, timing
from bench.sim import Arena, preset
from bench.sim.ball import PHASES, BallArena, BallPlay, BallTruth
from bench.sim.ball_flight import Air, fly, throw

NS = 1_000_000_000
FLIGHT, HELD, DRIBBLED = (PHASES.index(p) for p in ("flight", "held", "dribbled"))


@pytest.fixture(scope="module")
def ball() -> BallArena:
    return BallArena(Arena(preset("standard", frames=900, seed=2)), BallPlay(drag_spread=0.0))


def test_every_phase_occurs(ball: BallArena) -> None:
    shares = np.bincount(ball.script.phase, minlength=4) / len(ball.script.phase)
    assert shares[HELD] > 0.1
    assert shares[DRIBBLED] > 0.05
    assert shares[FLIGHT] > 0.1
    assert len(ball.script.bounces_s) > 3
    assert len(ball.script.releases_s) > 3


def test_a_flying_ball_obeys_gravity_and_drag(ball: BallArena) -> None:
    step, stride = 0.02, 20
    p = ball.script.position[::stride]
    phase = ball.script.phase[::stride]
    acceleration = (p[2:] - 2 * p[1:-1] + p[:-2]) / step**2
    velocity = (p[2:] - p[:-2]) / (2 * step)
    speed = np.linalg.norm(velocity, axis=1, keepdims=True)
    expected = -0.022 * speed * velocity - np.array([0, 0, 9.81])
    inside = (phase[:-2] == FLIGHT) & (phase[2:] == FLIGHT)
    at = np.arange(1, len(p) - 1) * step
    kinks = np.array(ball.script.bounces_s + ball.script.releases_s)
    inside &= np.abs(at[:, None] - kinks[None]).min(axis=1) > 2 * step
    off = np.linalg.norm(acceleration - expected, axis=1)[inside]
    assert inside.sum() > 50
    assert np.median(off) < 0.2


def test_a_carried_ball_is_at_the_hand_of_its_carrier(ball: BallArena) -> None:
    for time_s in np.arange(0.5, 15, 0.25):
        time_ns = ball.arena.options.start_ns + round(time_s * NS)
        truth = ball.truth(time_ns)
        if truth.phase != "held":
            continue
        wrists = ball.arena.truth(time_ns)[truth.carrier, 9:11]
        assert np.linalg.norm(wrists - truth.position_m, axis=1).min() < 0.45


def test_the_ball_is_never_below_the_floor_nor_faster_than_a_throw(ball: BallArena) -> None:
    speed = np.linalg.norm(np.diff(ball.script.position, axis=0), axis=1) / 0.001
    assert ball.script.position[:, 2].min() > 0.115
    assert speed.max() < 30


def test_candidates_come_as_often_and_as_exactly_as_asked() -> None:
    arena = Arena(preset("async", cameras=6, frames=200, seed=3))
    ball = BallArena(arena, BallPlay(sigma_px=1.5, false_rate=0.0))
    rig = arena.accel_rig()
    errors, seen, visible = [], 0, 0
    for frame_set in ball.frame_sets():
        visible += frame_set.visible
        for view in frame_set.views:
            for u, v, confidence in view.candidates:
                row_ns = round(rig.readout_ms[view.camera] * 1e6 * np.clip(v / 1080, 0, 1))
                truth = ball.truth(view.capture_time_ns + row_ns)
                errors.append(rig.project(truth.position_m[None])[0, view.camera] - [u, v])
                assert 0 < confidence < 1
                seen += 1
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(1.5, rel=0.05)
    assert 0.8 * visible < seen < 1.05 * visible


def test_equal_options_give_equal_frames_in_any_order(ball: BallArena) -> None:
    again = BallArena(Arena(ball.arena.options), ball.play)
    late = list(again.frame_sets(100, 104))
    early = list(ball.frame_sets(98, 104))[2:]
    for a, b in zip(late, early, strict=True):
        for x, y in zip(a.views, b.views, strict=True):
            np.testing.assert_array_equal(x.candidates, y.candidates)
    other = BallArena(Arena(replace(ball.arena.options, seed=9)), ball.play)
    assert not np.array_equal(other.script.position, ball.script.position)


def test_a_throw_meets_its_target() -> None:
    air = Air(spin_per_s=(0.05, -0.02, 0.1))
    start, target = np.array([0.0, 0.0, 1.5]), np.array([8.0, -3.0, 2.0])
    flown = fly(start, throw(start, target, 1.0, air), 1.0, air)
    np.testing.assert_allclose(flown.position[-1], target, atol=0.01)


def test_bounces_lose_speed_and_end_in_rolling() -> None:
    flown = fly(np.array([0, 0, 1.0]), np.array([1.0, 0, 0]), 6.0, Air(restitution=0.7))
    gaps = np.diff(flown.bounces_s)
    assert len(gaps) > 2
    assert (gaps[1:] < gaps[:-1]).all()
    assert flown.rolls_s < 6.0
    assert flown.position[-1, 2] == pytest.approx(0.12)


def test_timing_counts_found_missed_and_invented() -> None:
    true = np.array([1, 2, 3], dtype=np.int64) * NS
    found = timing([NS + 4_000_000, 3 * NS - 20_000_000, 9 * NS], true)
    assert (found.true, found.found, found.invented) == (3, 2, 1)
    assert found.within_10ms == pytest.approx(1 / 3)
    assert found.median_ms == pytest.approx(12.0)
    assert timing([], true).within_10ms == 0.0


def test_the_score_tells_phases_and_coverage_apart() -> None:
    import accel

    score = BallScore()
    for off_m in (0.01, 0.2):
        for phase in ("held", "flight"):
            truth = BallTruth(np.zeros(3), np.zeros(3), phase, -1)
            score.add(
                accel.BallSnapshot(
                    0,
                    np.array([off_m, 0, 0]),
                    np.zeros(3),
                    1e-3 * np.eye(3),
                    np.eye(3),
                    "flight",
                ),
                truth,
            )
    held = score.phase("held")
    assert (held.count, held.known, held.coverage, held.said) == (2, 1.0, 0.5, 0.0)
    assert score.phase("flight").said == 1.0
    assert score.everything().median_mm == pytest.approx(105.0)
    assert score.definite() == 1.0
