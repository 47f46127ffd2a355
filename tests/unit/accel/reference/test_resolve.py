"""A recorded game solved again: accuracy, honesty, seams, memory, missing and wrong input."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import array_api_strict
import numpy as np
import pytest
from numpy.typing import NDArray

from accel import COCO17, InvalidInputError, reference
from accel.reference import Detections, Learned, Progress, Recording, ResolveOptions, resolve
from accel.reference.game.windows import linked, near_seen
from tests.support.games import Game, game

Array = NDArray[np.float64]
CHI2_95 = 7.814727903251179
SHORT = ResolveOptions(learn_s=4.0)
ALONE = replace(SHORT, body=False, order=2)


def solved(played: Game, options: ResolveOptions = SHORT, learned: Learned | None = None) -> Any:
    """All chunks as one."""
    chunks = list(resolve(played.rig, played.recording, options, learned=learned))
    names = ("joints_m", "velocity_mps", "covariance_m2", "views")
    return {name: np.concatenate([getattr(c, name) for c in chunks]) for name in names}


def error_mm(found: Array, truth: Array) -> float:
    """Mean distance without the first and last tenth of a second."""
    return float(1000 * np.nanmean(np.linalg.norm(found - truth, axis=-1)[6:-6]))


def one_frame_mm(played: Game) -> float:
    """The same of robust triangulation, frame by frame."""
    keypoints = np.moveaxis(played.recording.keypoints, 1, -2).astype(np.float64)
    uv = np.where(keypoints[..., 2:] > 0, keypoints[..., :2], np.nan)
    return error_mm(reference.triangulate(played.rig, uv).points_m, played.truth_m)


@pytest.fixture(scope="module")
def played() -> Game:
    return game()


@pytest.fixture(scope="module")
def learned(played: Game) -> Learned:
    return reference.learn(played.rig, played.recording, SHORT)


@pytest.fixture(scope="module")
def whole(played: Game, learned: Learned) -> Any:
    return solved(played, SHORT, learned)


def test_everybody_is_found_far_better_than_frame_by_frame(played: Game, whole: Any) -> None:
    assert np.isfinite(whole["joints_m"]).all()
    assert error_mm(whole["joints_m"], played.truth_m) < 0.4 * one_frame_mm(played)


def test_bodies_as_a_whole_are_better_than_joints_alone(played: Game, whole: Any) -> None:
    alone = solved(played, ALONE)
    better = error_mm(whole["joints_m"], played.truth_m)
    assert better < 0.85 * error_mm(alone["joints_m"], played.truth_m)


def test_covariances_are_positive_definite_and_hold_the_truth(played: Game, whole: Any) -> None:
    covariance = whole["covariance_m2"]
    assert np.linalg.eigvalsh(covariance).min() > 0
    off = whole["joints_m"] - played.truth_m
    squared = (off * np.linalg.solve(covariance, off[..., None])[..., 0]).sum(axis=-1)
    assert 0.88 < (squared[6:-6] <= CHI2_95).mean() < 0.995


def test_velocities_are_those_of_the_bodies(played: Game, whole: Any) -> None:
    times = played.recording.time_ns * 1e-9
    true = np.gradient(played.truth_m, times, axis=0)
    off = np.linalg.norm(whole["velocity_mps"] - true, axis=-1)[6:-6]
    assert off.mean() < 0.15 * np.linalg.norm(true, axis=-1).mean()


def test_noise_and_limbs_are_learned(played: Game, learned: Learned) -> None:
    sigma = np.sqrt(learned.noise.camera * learned.noise.band[11])
    assert np.abs(sigma - 2.0).max() < 0.35
    ends = np.array(COCO17.limbs)
    limbs = played.truth_m[0, :, ends[:, 0]] - played.truth_m[0, :, ends[:, 1]]
    true = np.linalg.norm(limbs, axis=-1).T
    assert np.abs(learned.length_m - true).max() < 0.012
    assert (np.linalg.eigvalsh(learned.together) > 0).all()


def test_a_noisy_camera_is_told_apart() -> None:
    quiet = game(seed=3, wrong=0.0, missing=0.0)
    keypoints = quiet.recording.keypoints.copy()
    keypoints[:, 2, ..., :2] += np.random.default_rng(4).normal(
        0, 6, keypoints[:, 2, ..., :2].shape
    )
    noisy = replace(quiet.recording, keypoints=keypoints)
    found = reference.learn(quiet.rig, noisy, ALONE)
    sigma = np.sqrt(found.noise.camera / found.noise.camera[0])
    assert sigma[2] == pytest.approx(np.hypot(6, 2) / 2, rel=0.25)
    assert np.abs(sigma[[1, 3]] - 1).max() < 0.25


def test_each_view_counts_at_its_own_time() -> None:
    """Late cameras and rolling shutters cost nothing where their times are known."""
    late = game(seed=5, offset_ms=30.0, readout_ms=12.0, wrong=0.0)
    same = game(seed=5, wrong=0.0)
    known = error_mm(solved(late, ALONE)["joints_m"], late.truth_m)
    synchronous = error_mm(solved(same, ALONE)["joints_m"], same.truth_m)
    unaware = replace(
        late.recording, capture_time_ns=np.repeat(late.recording.time_ns[:, None], 4, axis=1)
    )
    blind = replace(late, recording=unaware, rig=same.rig)
    ignored = error_mm(solved(blind, ALONE)["joints_m"], late.truth_m)
    assert known < 1.15 * synchronous
    assert ignored > 1.4 * known


def test_mirrored_detections_are_turned_back() -> None:
    flipped = game(seed=6, flips=0.15, wrong=0.0, missing=0.0)
    straight = game(seed=6, flips=0.0, wrong=0.0, missing=0.0)
    errors = [error_mm(solved(g, ALONE)["joints_m"], g.truth_m) for g in (flipped, straight)]
    assert errors[0] < 1.1 * errors[1]
    views = solved(flipped, ALONE)["views"]
    assert (views == 4).mean() > 0.97


@pytest.mark.parametrize("options", [SHORT, ALONE], ids=["body", "alone"])
def test_chunks_meet_without_a_seam(options: ResolveOptions, learned: Learned) -> None:
    """With enough overlap equal to the unchunked to 1e-9 m; with the default to 0.1 mm."""
    seconds = 13.0 if options.body else 7.0
    steps = round(60 * seconds)
    long = game(seed=7, steps=steps, people=1)
    known = learned if options.body else reference.learn(long.rig, long.recording, options)
    unchunked = solved(long, replace(options, chunk_s=100.0), known)
    enough = 6.0 if options.body else 3.0
    for overlap_s, most_m in ((enough, 1e-9), (ResolveOptions().overlap_s, 1e-4)):
        cut = replace(options, chunk_s=seconds / 2, overlap_s=overlap_s)
        chunks = list(resolve(long.rig, long.recording, cut, learned=known))
        assert [c.first for c in chunks] == [0, steps // 2]
        for name, scale in (("joints_m", 1.0), ("covariance_m2", 1.0), ("velocity_mps", 20.0)):
            joined = np.concatenate([getattr(c, name) for c in chunks])
            off = np.abs(joined - unchunked[name])
            assert np.nanmax(off) < scale * most_m, (name, overlap_s)


def test_how_many_are_solved_at_once_changes_nothing(played: Game, learned: Learned) -> None:
    """A memory limit cuts people and windows into batches, not results."""
    small = replace(SHORT, chunk_s=0.5, overlap_s=0.3)
    wide = solved(played, small, learned)
    narrow = solved(played, replace(small, memory_mib=64), learned)
    for name, values in wide.items():
        assert np.allclose(values, narrow[name], rtol=0, atol=1e-12, equal_nan=True)


def test_memory_is_bounded_as_stated_however_long_the_game(learned: Learned) -> None:
    options = replace(SHORT, chunk_s=0.2, overlap_s=0.1, memory_mib=64)
    known = replace(
        learned,
        length_m=np.tile(learned.length_m[:1], (5, 1)),
        length_std_m=np.tile(learned.length_std_m[:1], (5, 1)),
    )
    peaks = []
    for steps in (72, 144):  # Six windows and twelve, five of which fit in.
        long = game(seed=8, steps=steps, people=5)
        tracemalloc.start()
        for _ in resolve(long.rig, long.recording, options, learned=known):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    assert min(peaks) > 32
    assert max(peaks) < 64
    assert peaks[1] < 1.1 * peaks[0]


def test_progress_is_told(played: Game) -> None:
    told: list[Progress] = []
    options = replace(ALONE, chunk_s=0.5)
    chunks = resolve(played.rig, played.recording, options, progress=told.append)
    assert told == []  # Nothing is done before it is asked for.
    next(chunks)
    first = [p for p in told if p.stage == "solving"]
    list(chunks)
    learning = [p for p in told if p.stage == "learning"]
    solving = [p for p in told if p.stage == "solving"]
    assert [p.done for p in learning] == list(range(1, learning[0].total + 1))
    assert len(first) == 1
    assert [p.done for p in solving] == [2 * 17 * k for k in (30, 60, 90, 120)]
    assert solving[-1].total == solving[-1].done


def test_the_sparse_form_says_the_same(played: Game, learned: Learned, whole: Any) -> None:
    dense = played.recording
    rng = np.random.default_rng(9)
    step, camera, person = np.nonzero((dense.keypoints[..., 2] > 0).any(axis=-1))
    shuffled = np.lexsort((rng.random(len(step)), step))
    step, camera, person = step[shuffled], camera[shuffled], person[shuffled]
    keypoints = dense.keypoints[step, camera, person]
    nobody = np.full_like(keypoints[:1], 5.0)
    sparse = Detections(
        dense.time_ns,
        dense.capture_time_ns,
        2,
        np.append(step, step[-1]),
        np.append(camera, 0),
        np.append(person, -1),
        np.concatenate((keypoints, nobody)),
    )
    found = solved(replace(played, recording=sparse), SHORT, learned)  # type: ignore[arg-type]
    assert np.array_equal(found["joints_m"], whole["joints_m"])


def test_missing_is_nan_or_zero_confidence_and_absurd_is_missing(
    played: Game, learned: Learned, whole: Any
) -> None:
    keypoints = played.recording.keypoints.copy()
    gone = keypoints[..., 2] == 0
    rng = np.random.default_rng(10)
    bad = np.array([[np.nan, 5, 1], [5, np.inf, 1], [5, 5, np.nan], [1e30, 5, 1], [5, 5, -1]])
    keypoints[gone] = bad[rng.integers(5, size=int(gone.sum()))]
    broken = replace(played, recording=replace(played.recording, keypoints=keypoints))
    found = solved(broken, SHORT, learned)
    assert np.array_equal(found["joints_m"], whole["joints_m"])


def test_who_is_away_is_nan_and_comes_back(played: Game, learned: Learned) -> None:
    long = game(seed=11, steps=300)
    keypoints = long.recording.keypoints.copy()
    keypoints[100:200, :, 1] = 0.0
    keypoints[:, :, 0, 9] = 0.0  # A wrist that nobody ever sees.
    keypoints[40:, 1:, 0, 15] = 0.0  # An ankle in one view only.
    away = replace(long, recording=replace(long.recording, keypoints=keypoints))
    found = solved(away, SHORT, learned)
    joints, covariance = found["joints_m"], found["covariance_m2"]
    assert np.isnan(joints[130:170, 1]).all()
    assert np.isfinite(joints[:95, 1]).all()
    assert np.isfinite(joints[203:, 1]).all()
    assert error_mm(joints[210:, 1], long.truth_m[210:, 1]) < 25
    assert np.array_equal(np.isnan(joints[..., 0]), np.isnan(covariance[..., 0, 0]))
    told = covariance[np.isfinite(covariance[..., 0, 0])]
    assert np.linalg.eigvalsh(told).max() <= 0.15**2 * (1 + 1e-9)
    assert (found["views"][:, 0, 9] == 0).all()
    ankle = np.linalg.norm(joints[:, 0, 15] - long.truth_m[:, 0, 15], axis=-1)
    assert np.nanmax(ankle) < 0.2
    assert np.isfinite(ankle[:60]).all()
    assert np.isnan(ankle[80:]).all()


def test_a_game_in_which_nobody_is_seen_is_all_nan(played: Game) -> None:
    empty = game(steps=20, missing=1.0)
    found = solved(empty, SHORT)
    assert np.isnan(found["joints_m"]).all()
    assert not found["views"].any()


def test_a_game_without_steps_or_people_gives_no_chunks(played: Game) -> None:
    recording = played.recording
    for cut in (
        Recording(recording.time_ns[:0], recording.capture_time_ns[:0], recording.keypoints[:0]),
        replace(recording, keypoints=recording.keypoints[:, :, :0]),
    ):
        assert list(resolve(played.rig, cut)) == []


def test_uneven_steps_are_solved_at_their_times(learned: Learned, played: Game) -> None:
    rng = np.random.default_rng(12)
    kept = np.sort(rng.choice(120, 80, replace=False))
    recording = Recording(
        played.recording.time_ns[kept],
        played.recording.capture_time_ns[kept],
        played.recording.keypoints[kept],
    )
    found = solved(replace(played, recording=recording), SHORT, learned)
    assert error_mm(found["joints_m"], played.truth_m[kept]) < 0.6 * one_frame_mm(played)


@pytest.mark.parametrize("options", [SHORT, ALONE], ids=["body", "alone"])
def test_it_runs_on_nothing_but_the_array_api(options: ResolveOptions, learned: Learned) -> None:
    tiny = game(seed=13, steps=12, offset_ms=8.0, readout_ms=4.0, flips=0.05)
    short = replace(options, chunk_s=0.1, overlap_s=0.05)
    xp = array_api_strict
    lessons = [reference.learn(tiny.rig, tiny.recording, short, xp=lib) for lib in (xp, np)]
    for name in ("alone", "together"):
        a, b = (getattr(lesson, name) for lesson in lessons)
        assert np.allclose(a, b, rtol=1e-5, atol=1e-9), name
    known = learned if options.body else lessons[1]
    strict = list(resolve(tiny.rig, tiny.recording, short, learned=known, xp=xp))
    plain = list(resolve(tiny.rig, tiny.recording, short, learned=known))
    assert len(strict) == len(plain) == 2
    for ours, theirs in zip(strict, plain, strict=True):
        assert isinstance(ours.joints_m, type(xp.zeros(1)))
        for name in ("joints_m", "velocity_mps", "covariance_m2", "views"):
            a, b = np.asarray(getattr(ours, name)), getattr(theirs, name)
            assert np.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True), name


def test_gaps_are_told_by_time() -> None:
    time = np.array([0.0, 0.1, 0.2, 1.5, 1.6, 1.7])[:, None]
    seen = np.array([False, True, False, False, True, True])[:, None]
    assert linked(seen, time, 1.0)[:, 0].tolist() == [1, 0, 1, 1, 0, 1]
    assert linked(seen, time, 2.0)[:, 0].tolist() == [1, 0, 1, 1, 1, 1]
    assert near_seen(seen, time, 0.12)[:, 0].tolist() == [True, True, True, True, True, True]
    assert near_seen(seen, time, 0.05)[:, 0].tolist() == [False, True, False, False, True, True]


def _with(**changes: Any) -> Callable[[Game], Any]:
    return lambda g: replace(g.recording, **{k: v(g.recording) for k, v in changes.items()})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_with(keypoints=lambda r: r.keypoints[:, :3]), "capture times"),
        (_with(keypoints=lambda r: r.keypoints[..., :2]), "u, v, confidence"),
        (_with(time_ns=lambda r: r.time_ns[:-1]), "119 times"),
        (_with(time_ns=lambda r: r.time_ns[::-1].copy()), "does not rise at step 1"),
        (_with(time_ns=lambda r: r.time_ns * 1.0), "integer nanoseconds"),
        (_with(capture_time_ns=lambda r: r.capture_time_ns + 2**62), "outside"),
    ],
)
def test_what_cannot_be_a_recording_is_refused(
    played: Game, make: Callable[[Game], Any], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        make(played)


def test_what_does_not_fit_is_refused(played: Game) -> None:
    with pytest.raises(InvalidInputError, match="4 cameras, the rig 3"):
        resolve(played.rig.subset(played.rig.names[:3]), played.recording)
    fewer = replace(played.recording, keypoints=played.recording.keypoints[..., :16, :])
    with pytest.raises(InvalidInputError, match="16 joints"):
        resolve(played.rig, fewer)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"camera": [0, 1]}, "camera has shape"),
        ({"step": [0, 1]}, "2 detections"),
        ({"step": [5, 1, 2]}, "out of order"),
        ({"step": [0, 1, 120]}, "step lies outside"),
        ({"camera": [0, 1, 4]}, "camera lies outside"),
        ({"person": [0, 1, 2]}, "person lies outside"),
        ({"step": [3, 3, 3], "camera": [1, 1, 0], "person": [0, 0, 0]}, "two detections"),
        ({"keypoints": np.zeros((3, 17, 2), np.float32)}, "keypoints"),
    ],
)
def test_what_cannot_be_detections_is_refused(
    played: Game, changes: dict[str, Any], words: str
) -> None:
    fields: dict[str, Any] = {"step": [0, 1, 2], "camera": [0, 1, 2], "person": [0, 1, 1]}
    fields |= {"keypoints": np.zeros((3, 17, 3), np.float32)} | changes
    fields = {k: np.asarray(v) for k, v in fields.items()}
    times = played.recording.time_ns, played.recording.capture_time_ns
    with pytest.raises(InvalidInputError, match=words):
        Detections(*times, people=2, **fields)


@pytest.mark.parametrize(
    "changes",
    [{"order": 1}, {"chunk_s": 0.0}, {"overlap_s": -1.0}, {"max_std_m": 0.0}, {"memory_mib": 1}],
)
def test_options_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(changes))):
        ResolveOptions(**changes)
