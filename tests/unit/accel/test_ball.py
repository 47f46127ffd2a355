"""The ball tracker's Python surface, against a simulated game and hand-made flights."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import accel
from bench.ball_score import CHI2_95
from bench.sim import Arena, preset
from bench.sim.ball import BallArena, BallFrameSet, BallPlay
from bench.suites.ball import evaluate, true_people
from tests.support.rigs import ring_rig

NS = 1_000_000_000
FRAME_NS = 16_666_667
FRAMES = 420


@pytest.fixture(scope="module")
def ball() -> BallArena:
    return BallArena(Arena(preset("standard", cameras=6, frames=FRAMES, seed=2)))


@pytest.fixture(scope="module")
def frame_sets(ball: BallArena) -> list[BallFrameSet]:
    return list(ball.frame_sets())


def feed(tracker: accel.BallTracker, frame_sets: list[BallFrameSet]) -> None:
    for frame_set in frame_sets:
        for view in frame_set.views:
            assert tracker.observe(view.camera, view.capture_time_ns, view.candidates)


def assert_same(a: accel.BallSnapshot, b: accel.BallSnapshot) -> None:
    for name in ("position_m", "velocity_mps", "covariance_m2", "velocity_covariance_m2ps2"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.phase, a.holder, a.views, a.seen_ns) == (b.phase, b.holder, b.views, b.seen_ns)
    assert [x.time_ns for x in a.bounces] == [x.time_ns for x in b.bounces]


def flight(at_s: float) -> NDArray[np.float64]:
    """A pass without drag, caught after 0.8 s if nobody asks later."""
    start, velocity = np.array([-4.0, -1.0, 1.5]), np.array([9.0, 2.0, 3.5])
    return start + velocity * at_s - np.array([0, 0, 4.905]) * at_s**2


def show(
    tracker: accel.BallTracker, point_m: NDArray[np.float64], time_ns: int, noise_px: float = 0.0
) -> None:
    rng = np.random.default_rng(time_ns % 2**32)
    uv = tracker.rig.project(point_m[None])[0] + rng.normal(0, noise_px, (len(tracker.rig), 2))
    for camera, pixel in enumerate(uv):
        tracker.observe(camera, time_ns, np.array([[*pixel, 0.9]], dtype=np.float32))


def test_a_snapshot_has_the_stated_shapes(ball: BallArena, frame_sets: list[BallFrameSet]) -> None:
    tracker = accel.BallTracker(ball.arena.accel_rig())
    feed(tracker, frame_sets[:60])
    snapshot = tracker.snapshot(frame_sets[59].time_ns)
    assert snapshot.known
    assert snapshot.time_ns == frame_sets[59].time_ns
    assert snapshot.position_m.shape == snapshot.velocity_mps.shape == (3,)
    assert snapshot.covariance_m2.shape == snapshot.velocity_covariance_m2ps2.shape == (3, 3)
    assert np.linalg.eigvalsh(snapshot.covariance_m2)[0] > 0
    assert snapshot.phase in {"held", "dribbled", "flight", "unknown"}
    assert 0 <= snapshot.flight_probability <= 1
    assert tracker.stats["accepted"] == 360


def test_nothing_is_known_before_the_first_frame_and_long_after_the_last() -> None:
    tracker = accel.BallTracker(ring_rig())
    assert not tracker.snapshot(0).known
    for frame in range(10):
        show(tracker, flight(frame / 60), frame * FRAME_NS)
    newest = 9 * FRAME_NS
    assert tracker.snapshot(newest).known
    gone = tracker.snapshot(newest + NS)
    assert not gone.known
    assert gone.phase == "unknown"
    assert np.isnan(gone.covariance_m2).all()


def test_a_simulated_game_is_followed_to_centimetres_with_true_ellipsoids(
    ball: BallArena,
) -> None:
    found = evaluate(accel.BallTracker, ball)
    whole = found.score.everything()
    assert whole.known > 0.99
    assert whole.median_mm < 25
    assert 0.88 < whole.coverage < 0.995
    assert found.score.definite() == 1.0
    assert found.bounce_timing().within_10ms > 0.8
    assert whole.said > 0.7


def test_an_arc_says_when_and_where_the_ball_was_let_go() -> None:
    tracker = accel.BallTracker(ring_rig(8), accel.BallOptions(drag_per_m=0.0))
    release = 30 * FRAME_NS
    for frame in range(31):
        show(tracker, flight(0), frame * FRAME_NS, 0.5)
    for frame in range(31, 55):
        show(tracker, flight((frame - 30) / 60), frame * FRAME_NS, 0.5)
    found = tracker.snapshot(54 * FRAME_NS)
    assert found.phase == "flight"
    assert found.arc is not None
    assert abs(found.arc.release_ns - release) < 20e6
    np.testing.assert_allclose(found.arc.release_velocity_mps, [9.0, 2.0, 3.5], atol=0.3)
    for ahead_s in (0.0, 0.2):
        time_ns = 54 * FRAME_NS + round(ahead_s * NS)
        np.testing.assert_allclose(found.arc.at(time_ns), flight(0.4 + ahead_s), atol=0.04)
    assert found.arc.landing_ns is not None
    down_s = (found.arc.landing_ns - release) / NS
    assert abs(flight(down_s)[2] - 0.12) < 0.08
    assert not found.arc.from_floor


def test_a_bounce_is_told_within_milliseconds() -> None:
    tracker = accel.BallTracker(ring_rig(8), accel.BallOptions(drag_per_m=0.0))
    bounce_s, down, up = 0.511, -5.0, 3.9
    for frame in range(60):
        t = frame / 60 - bounce_s
        speed = down if t < 0 else up
        z = 0.12 + speed * t - 4.905 * t * t
        show(tracker, np.array([2.0 * t, 0.5, z]), frame * FRAME_NS, 1.0)
    bounces = tracker.snapshot(59 * FRAME_NS).bounces
    assert len(bounces) == 1
    assert abs(bounces[0].time_ns - bounce_s * NS) < 4e6
    assert bounces[0].down_mps == pytest.approx(down, abs=0.4)
    assert bounces[0].up_mps == pytest.approx(up, abs=0.4)
    np.testing.assert_allclose(bounces[0].position_m, [0.0, 0.5, 0.12], atol=0.05)
    assert tracker.stats["bounces"] == 1


def test_wrists_say_who_holds_the_ball_and_never_colour_a_later_answer() -> None:
    rig = ring_rig(8)
    tracker, other = accel.BallTracker(rig), accel.BallTracker(rig)
    at = np.array([1.0, 2.0, 1.1])
    joints = np.full((2, 17, 3), 1.0)
    joints[1] = at + np.array([0.0, 0.4, 0.5])
    joints[1, 9] = at + np.array([0.1, 0.0, 0.05])
    people = accel.Snapshot(
        0,
        np.array([7, 9], dtype=np.int64),
        joints,
        np.broadcast_to(1e-4 * np.eye(3), (2, 17, 3, 3)).copy(),
        np.ones((2, 17), dtype=np.float32),
        np.full((2, 17), 8, dtype=np.int32),
    )
    for frame in range(40):
        for each in (tracker, other):
            show(each, at, frame * FRAME_NS, 1.0)
        held = tracker.snapshot(frame * FRAME_NS, people)
    assert held.phase == "held"
    assert held.holder == 9
    assert_same(tracker.snapshot(39 * FRAME_NS), other.snapshot(39 * FRAME_NS))
    # Out of sight in the hand, it is where the wrist is.
    later = 39 * FRAME_NS + 400_000_000
    alone, led = other.snapshot(later), tracker.snapshot(later, people)
    assert np.trace(led.covariance_m2) < 0.5 * np.trace(alone.covariance_m2) or not alone.known


def test_people_without_the_named_wrists_are_refused() -> None:
    tracker = accel.BallTracker(ring_rig(), accel.BallOptions(wrists=(20,)))
    people = accel.Snapshot(
        0,
        np.array([1], dtype=np.int64),
        np.zeros((1, 17, 3)),
        np.zeros((1, 17, 3, 3)),
        np.ones((1, 17), dtype=np.float32),
        np.ones((1, 17), dtype=np.int32),
    )
    with pytest.raises(accel.InvalidInputError, match="wrists"):
        tracker.snapshot(0, people)


def test_the_order_of_arrival_changes_no_bit(
    ball: BallArena, frame_sets: list[BallFrameSet]
) -> None:
    rig = ball.arena.accel_rig()
    ordered, shuffled = accel.BallTracker(rig), accel.BallTracker(rig)
    rng = np.random.default_rng(3)
    for begin in range(0, 200, 4):
        part = frame_sets[begin : begin + 4]
        feed(ordered, part)
        views = [view for frame_set in part for view in frame_set.views]
        for k in rng.permutation(len(views)):
            assert shuffled.observe(views[k].camera, views[k].capture_time_ns, views[k].candidates)
            if rng.random() < 0.1:
                shuffled.snapshot(part[0].time_ns)
        for time_ns in (part[1].time_ns + 3_000_000, part[-1].time_ns, part[-1].time_ns + NS // 50):
            assert_same(ordered.snapshot(time_ns), shuffled.snapshot(time_ns))


def test_late_frames_and_past_questions_are_refused() -> None:
    tracker = accel.BallTracker(ring_rig(), accel.BallOptions(max_delay_ms=50.0))
    empty = np.empty((0, 3), dtype=np.float32)
    assert tracker.observe("cam00", NS, empty)
    assert not tracker.observe("cam00", NS, empty)
    assert not tracker.observe("cam01", NS - 51_000_000, empty)
    assert tracker.observe("cam01", NS - 50_000_000, empty)
    with pytest.raises(accel.TimeOutOfRangeError, match="50"):
        tracker.snapshot(NS - 51_000_000)
    assert tracker.stats["refused_late"] == 1
    assert tracker.stats["refused_twice"] == 1


@pytest.mark.parametrize(
    ("camera", "time_ns", "candidates"),
    [
        (6, 0, np.zeros((1, 3))),
        (-1, 0, np.zeros((1, 3))),
        ("nobody", 0, np.zeros((1, 3))),
        (0, 2**62, np.zeros((1, 3))),
        (0, 1.5, np.zeros((1, 3))),
        (0, 0, np.zeros((1, 4))),
        (0, 0, np.zeros((2, 3, 3))),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    camera: int | str, time_ns: int, candidates: NDArray[np.float64]
) -> None:
    with pytest.raises(accel.InvalidInputError):
        accel.BallTracker(ring_rig()).observe(camera, time_ns, candidates)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_delay_ms", -1.0),
        ("max_coast_ms", float("nan")),
        ("max_std_m", 0.0),
        ("sigma_px", float("inf")),
        ("radius_m", -0.1),
        ("floor_m", float("nan")),
        ("drag_per_m", 1.5),
        ("restitution", 1.0),
        ("wrists", (-1,)),
    ],
)
def test_options_that_cannot_be_are_refused(name: str, value: object) -> None:
    with pytest.raises(accel.InvalidInputError, match=name):
        replace(accel.BallOptions(), **{name: value})  # type: ignore[arg-type]


def test_rubbish_does_not_lose_the_ball() -> None:
    rig = ring_rig(8)
    tracker = accel.BallTracker(rig)
    rng = np.random.default_rng(1)
    for frame in range(40):
        point = flight(frame / 60)
        uv = rig.project(point[None])[0]
        for camera in range(len(rig)):
            real = np.array([[*uv[camera], 0.9]])
            junk = np.column_stack([rng.uniform(0, 1900, (30, 2)), rng.uniform(0.01, 0.8, 30)])
            junk[0], junk[1], junk[2] = [np.inf, 5, 0.99], [5, np.nan, 0.99], [1e30, -1e30, 0.99]
            if frame == 20:
                many = rng.uniform(0, 1900, (10_000, 3))
                many[:, 2] = rng.uniform(0.0, 0.5, 10_000)
                junk = many
            rows = np.concatenate([junk, real]).astype(np.float32)
            assert tracker.observe(camera, frame * FRAME_NS, rows[rng.permutation(len(rows))])
        found = tracker.snapshot(frame * FRAME_NS)
        if frame >= 5:
            assert np.linalg.norm(found.position_m - point) < 0.1
    assert tracker.stats["unusable_candidates"] > 0
    assert tracker.stats["dropped_candidates"] > 0


def test_a_catch_and_a_throw_without_warning_do_not_lose_the_ball() -> None:
    rig = ring_rig(8)
    tracker = accel.BallTracker(rig)
    position, velocity, worst = np.array([-5.0, 0.0, 1.6]), np.zeros(3), 0.0
    for frame in range(240):
        if frame % 40 == 20:
            velocity = np.array([12.0 if position[0] < 0 else -12.0, 1.0, 3.0])
        if frame % 40 == 0:
            velocity = np.zeros(3)
        show(tracker, position, frame * FRAME_NS, 1.0)
        found = tracker.snapshot(frame * FRAME_NS)
        if frame > 10:
            worst = max(worst, float(np.linalg.norm(found.position_m - position)))
        position = position + velocity / 60
        if velocity.any():
            velocity = velocity - np.array([0, 0, 9.81 / 60])
    assert worst < 0.15


def test_cameras_out_of_step_with_a_rolling_shutter_cost_little() -> None:
    ball = BallArena(Arena(preset("async", cameras=8, frames=300, seed=3)), BallPlay())
    whole = evaluate(accel.BallTracker, ball).score.everything()
    assert whole.known > 0.99
    assert whole.median_mm < 25
    assert 0.88 < whole.coverage < 0.995


def test_a_coasting_ball_grows_uncertain_honestly() -> None:
    tracker = accel.BallTracker(ring_rig(8), accel.BallOptions(drag_per_m=0.0))
    for frame in range(30):
        show(tracker, flight(frame / 60), frame * FRAME_NS, 1.0)
    newest, last = 29 * FRAME_NS, 0.0
    for ahead_ms in (0, 50, 100, 200):
        found = tracker.snapshot(newest + ahead_ms * 1_000_000)
        error = found.position_m - flight(29 / 60 + ahead_ms / 1000)
        assert error @ np.linalg.solve(found.covariance_m2, error) < 3 * CHI2_95
        assert np.trace(found.covariance_m2) > last
        last = float(np.trace(found.covariance_m2))


def test_any_thread_may_ask(ball: BallArena, frame_sets: list[BallFrameSet]) -> None:
    rig = ball.arena.accel_rig()
    alone, shared = accel.BallTracker(rig), accel.BallTracker(rig)
    feed(alone, frame_sets[:80])
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            shared.snapshot(frame_sets[200].time_ns)

    asking = threading.Thread(target=ask)
    asking.start()
    feed(shared, frame_sets[:80])
    done.set()
    asking.join()
    assert_same(alone.snapshot(frame_sets[79].time_ns), shared.snapshot(frame_sets[79].time_ns))


def test_true_people_make_the_phases_right(ball: BallArena) -> None:
    found = evaluate(accel.BallTracker, ball, true_people(ball.arena))
    assert found.score.phase("held").said > 0.65
    assert found.score.phase("dribbled").said > 0.7


def test_a_checkpoint_continues_to_the_same_bits(
    ball: BallArena, frame_sets: list[BallFrameSet]
) -> None:
    rig = ball.arena.accel_rig()
    whole = accel.BallTracker(rig, accel.BallOptions(max_delay_ms=80.0, wrists=(10, 9)))
    feed(whole, frame_sets[:90])
    restored = accel.BallTracker.restore(rig, whole.checkpoint())
    assert restored.options == whole.options
    people_at = true_people(ball.arena)
    for frame_set in frame_sets[90:180]:
        for tracker in (whole, restored):
            feed(tracker, [frame_set])
        people = people_at(frame_set)
        assert_same(
            whole.snapshot(frame_set.time_ns, people), restored.snapshot(frame_set.time_ns, people)
        )
    assert whole.snapshot(frame_sets[179].time_ns).known
    assert restored.stats == whole.stats
    assert restored.checkpoint() == whole.checkpoint()


def test_a_checkpoint_that_cannot_be_continued_is_refused_with_the_reason(
    ball: BallArena, frame_sets: list[BallFrameSet]
) -> None:
    rig = ball.arena.accel_rig()
    tracker = accel.BallTracker(rig)
    feed(tracker, frame_sets[:5])
    good = tracker.checkpoint()
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1
        with pytest.raises(accel.CheckpointError):
            accel.BallTracker.restore(rig, bytes(bad))
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    with pytest.raises(accel.CheckpointError, match="checksum"):
        accel.BallTracker.restore(rig, bytes(bad))
    with pytest.raises(accel.CheckpointError, match="no checkpoint"):
        accel.BallTracker.restore(rig, accel.Tracker(rig).checkpoint())
    with pytest.raises(accel.CheckpointError, match="another rig"):
        accel.BallTracker.restore(ring_rig(), good)
