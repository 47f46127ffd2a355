"""The metrics on cases small enough to count by hand, and beside motmetrics on a random one."""

from __future__ import annotations

import math

import motmetrics
import numpy as np
import pytest

from bench.arrays import Floats, Ints
from bench.metrics import Score, best_pairs
from bench.trust import CHI2_95

JOINTS = 17


def people(*places: tuple[float, float, float]) -> Floats:
    """Bodies of 17 joints, one beside the other at 1 cm, at the given places."""
    body = np.zeros((JOINTS, 3))
    body[:, 2] = np.arange(JOINTS) * 0.01
    return np.array(places, dtype=np.float64).reshape(-1, 1, 3) + body


def ids(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


def test_a_perfect_tracker_is_perfect() -> None:
    score = Score()
    truth = people((0, 0, 0), (5, 0, 0))
    for _ in range(3):
        score.add(truth, ids(7, 9), truth)
    found = score.metrics()
    assert (found.mpjpe_mm, found.recall, found.precision, found.joints_given) == (0.0, 1, 1, 1)
    assert (found.switches, found.mota, found.idf1, found.ids, found.frames) == (0, 1, 1, 2, 3)


def test_mpjpe_is_the_mean_distance_in_millimetres_of_matched_people() -> None:
    score = Score()
    truth = people((0, 0, 0), (5, 0, 0))
    score.add(truth, ids(1, 2), truth + np.array([0.0, 0.03, 0.04]))
    found = score.metrics()
    assert found.mpjpe_mm == pytest.approx(50.0)
    assert found.p95_mm == pytest.approx(50.0)


def test_a_joint_that_is_not_given_costs_no_error_and_counts_as_missing() -> None:
    score = Score()
    truth = people((0, 0, 0))
    seen = truth.copy()
    seen[0, 3] = np.nan
    score.add(truth, ids(1), seen)
    found = score.metrics()
    assert found.mpjpe_mm == 0.0
    assert found.joints_given == pytest.approx(16 / 17)


def test_people_beyond_the_gate_are_a_miss_and_a_false_track() -> None:
    score = Score()
    truth = people((0, 0, 0), (5, 0, 0))
    score.add(truth, ids(1, 2), people((0, 0, 0), (5, 0.6, 0)))
    found = score.metrics()
    assert (found.recall, found.precision) == (0.5, 0.5)
    assert found.mota == pytest.approx(1 - 2 / 2)
    assert found.mpjpe_mm == 0.0


def test_a_track_without_any_joint_matches_nobody() -> None:
    score = Score()
    truth = people((0, 0, 0))
    score.add(truth, ids(1), np.full((1, JOINTS, 3), np.nan))
    found = score.metrics()
    assert (found.recall, found.precision, found.joints_given) == (0.0, 0.0, 0.0)
    assert math.isnan(found.mpjpe_mm)


def test_two_people_who_exchange_their_identities_are_two_switches() -> None:
    score = Score()
    truth = people((0, 0, 0), (5, 0, 0))
    for names in [(1, 2)] * 4 + [(2, 1)] * 4:
        score.add(truth, ids(*names), truth)
    found = score.metrics()
    assert found.switches == 2
    assert found.mota == pytest.approx(1 - 2 / 16)
    assert found.idf1 == pytest.approx(0.5)
    assert found.mpjpe_mm == 0.0


def test_a_new_identity_after_an_absence_is_a_switch_and_the_same_one_is_none() -> None:
    score = Score()
    truth = people((0, 0, 0))
    nobody = np.zeros((0, JOINTS, 3))
    for names in [(1,), (), (1,), (), (2,)]:
        score.add(truth, ids(*names), truth if names else nobody)
    found = score.metrics()
    assert found.switches == 1
    assert found.mota == pytest.approx(1 - (2 + 1) / 5)


def test_an_identity_holds_while_it_is_within_the_gate_even_if_another_is_nearer() -> None:
    score = Score()
    truth = people((0, 0, 0))
    score.add(truth, ids(1), truth)
    score.add(truth, ids(1, 2), people((0.3, 0, 0), (0.0, 0, 0)))
    found = score.metrics()
    assert found.switches == 0
    assert found.precision == pytest.approx(2 / 3)


def test_an_empty_arena_and_no_tracks_leave_nothing_to_measure() -> None:
    score = Score()
    score.add(np.zeros((0, JOINTS, 3)), ids(), np.zeros((0, JOINTS, 3)))
    found = score.metrics()
    assert math.isnan(found.recall)
    assert math.isnan(found.precision)
    assert found.switches == 0


def test_mota_and_idf1_agree_with_motmetrics_on_a_random_sequence() -> None:
    rng = np.random.default_rng(3)
    score, theirs = Score(), motmetrics.MOTAccumulator(auto_id=True)
    for _ in range(200):
        places = rng.uniform(-2, 2, (5, 3))
        truth = people(*map(tuple, places))
        kept = rng.random(5) < 0.85
        names = np.where(rng.random(5) < 0.1, rng.integers(5, 8, 5), np.arange(5))
        _, first = np.unique(names, return_index=True)
        chosen = [i for i in range(5) if kept[i] and i in first]
        seen = truth[chosen] + rng.normal(0, 0.25, (len(chosen), 1, 3))
        track = ids(*(int(n) for n in names[chosen]))
        score.add(truth, track, seen)
        distance = np.linalg.norm(seen[None] - truth[:, None], axis=-1).mean(axis=2)
        distance[distance > 0.5] = np.nan
        theirs.update(range(5), track.tolist(), distance)
    summary = motmetrics.metrics.create().compute(
        theirs, metrics=["mota", "idf1", "num_switches"], name="s"
    )
    expected = summary.iloc[0]
    found = score.metrics()
    assert found.switches == expected["num_switches"]
    assert found.mota == pytest.approx(expected["mota"], abs=1e-9)
    assert found.idf1 == pytest.approx(expected["idf1"], abs=1e-9)


def test_coverage_of_true_covariances_is_95_percent_and_beats_a_constant_where_they_differ() -> (
    None
):
    rng = np.random.default_rng(5)
    score = Score(gate_m=100.0)
    for _ in range(400):
        truth = people((0, 0, 0), (50, 0, 0))
        sigma = rng.uniform(0.01, 0.2, (2, JOINTS, 1))
        covariance = np.eye(3) * (sigma**2)[..., None]
        views = np.where(sigma[..., 0] < 0.1, 5, 2)
        seen = truth + sigma * rng.standard_normal((2, JOINTS, 3))
        score.add(truth, ids(1, 2), seen, covariance, views)
    found = score.metrics()
    assert found.coverage == pytest.approx(0.95, abs=0.01)
    assert set(found.coverage_by) == {"trunk", "limbs", "2 views", "5+ views"}
    assert all(abs(share - 0.95) < 0.015 for share in found.coverage_by.values())
    assert found.definite == 1.0
    assert found.log_likelihood_gain > 0.3


def test_an_error_on_the_ellipsoid_counts_as_inside_and_one_beyond_does_not() -> None:
    truth = people((0, 0, 0))
    sigma = 0.1
    for scale, share in ((0.999, 1.0), (1.001, 0.0)):
        score = Score()
        seen = truth + np.array([sigma * math.sqrt(CHI2_95) * scale, 0, 0])
        score.add(truth, ids(1), seen, np.tile(np.eye(3) * sigma**2, (1, JOINTS, 1, 1)))
        assert score.metrics().coverage == share


def test_a_covariance_that_is_not_positive_definite_is_counted_and_left_out() -> None:
    score = Score()
    truth = people((0, 0, 0))
    covariance = np.tile(np.eye(3), (1, JOINTS, 1, 1))
    covariance[0, 0] = np.diag([1.0, 1.0, -1.0])
    covariance[0, 1] = np.nan
    score.add(truth, ids(1), truth, covariance)
    found = score.metrics()
    assert found.definite == pytest.approx(15 / 17)
    assert found.coverage == 1.0


def test_the_assignment_takes_as_many_pairs_within_the_gate_as_it_can() -> None:
    cost = np.array([[0.1, 0.4], [0.05, 9.0]])
    rows, columns = best_pairs(cost, 0.5)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 1), (1, 0)]
