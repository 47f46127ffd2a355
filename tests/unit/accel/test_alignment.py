"""A rig finds its place on the court by named points, or says why it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accel import AlignmentError, Rig
from tests.support.rigs import ring_rig

Array = NDArray[np.float64]
COURT = {
    "corner_a": np.array([14.325, 7.62, 0.0]),
    "corner_b": np.array([-14.325, 7.62, 0.0]),
    "hoop": np.array([12.75, 0.0, 3.05]),
    "centre": np.array([0.0, 0.0, 0.0]),
}


def moved(rig: Rig, scale: float, Q: Array, b: Array) -> Rig:
    """The rig in another world X' = scale Q X + b."""
    R = rig.R @ Q.T
    return Rig(rig.names, rig.K, rig.dist, R, scale * rig.t - R @ b, rig.size, rig.readout_ms)


def rotation(seed: int) -> Array:
    """Any rotation."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.asarray(Q * np.sign(np.linalg.det(Q)))


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scale=st.floats(0.01, 100.0),
    b=st.tuples(*[st.floats(-100, 100)] * 3),
    flat=st.booleans(),
)
def test_a_moved_rig_comes_back(
    seed: int, scale: float, b: tuple[float, float, float], flat: bool
) -> None:
    rig, Q, shift = ring_rig(4), rotation(seed), np.array(b)
    court = {name: p for name, p in COURT.items() if not flat or p[2] == 0.0}
    seen = {name: scale * Q @ p + shift for name, p in court.items()}
    found = moved(rig, scale, Q, shift).to_world(seen, court, with_scale=True)

    assert found.rms_m < 1e-9
    assert found.scale == pytest.approx(1 / scale, rel=1e-9)
    assert np.abs(found.rig.R - rig.R).max() < 1e-9
    assert np.abs(found.rig.t - rig.t).max() < 1e-7
    point = np.array([1.0, 2.0, 1.5])
    assert np.abs(found.rig.project(point) - rig.project(point)).max() < 1e-5


def test_lengths_stay_unless_asked() -> None:
    rig, Q, b = ring_rig(3), rotation(5), np.array([1.0, 2.0, 3.0])
    seen = {name: Q @ p + b for name, p in COURT.items()}
    exact = moved(rig, 1.0, Q, b).to_world(seen, COURT)
    longer = moved(rig, 1.0, Q, b).to_world({n: 1.1 * p for n, p in seen.items()}, COURT)

    assert exact.scale == longer.scale == 1.0
    assert exact.rms_m < 1e-12
    assert longer.rms_m > 0.1


def test_the_residual_is_by_name() -> None:
    seen = {name: p.copy() for name, p in COURT.items()}
    seen["hoop"] += [0.0, 0.0, 0.4]
    found = ring_rig(3).to_world(seen, COURT)

    assert max(found.residual_m, key=found.residual_m.__getitem__) == "hoop"
    values = np.array(list(found.residual_m.values()))
    assert found.rms_m == pytest.approx(float(np.sqrt((values**2).mean())))
    assert list(found.residual_m) == list(seen)
    rig, rms_m = found
    assert rig == found.rig
    assert rms_m == found.rms_m


def test_the_court_may_know_more_points_than_were_seen() -> None:
    seen = {name: COURT[name].tolist() for name in ("corner_a", "hoop", "centre")}

    assert set(ring_rig(3).to_world(seen, COURT).residual_m) == set(seen)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hoop": None, "centre": None}, "2 points do not place a rig"),
        ({"bench": [0.0, 0.0, 0.0]}, "the court has no point bench; it has centre, corner_a"),
        ({"hoop": [1.0, 2.0]}, r"points_rig\['hoop'\] is \[1.0, 2.0\]; give three finite numbers"),
        ({"hoop": [1.0, 2.0, np.nan]}, "three finite numbers"),
        ({"hoop": "x"}, "is no position"),
        ({"hoop": None, "centre": [0.0, 7.62, 0.0]}, "one line"),
        ({"hoop": None, "centre": [14.325, 7.62, 0.0]}, "one line"),
    ],
)
def test_points_that_place_nothing_are_refused(changes: dict[str, object], message: str) -> None:
    seen = {**COURT, **changes}
    given_points = {name: p for name, p in seen.items() if p is not None}

    with pytest.raises(AlignmentError, match=message):
        ring_rig(3).to_world(given_points, COURT)  # type: ignore[arg-type]


def test_a_court_on_one_line_is_refused() -> None:
    court = {name: np.array([float(i), 0.0, 0.0]) for i, name in enumerate(COURT)}

    with pytest.raises(AlignmentError, match="the court's points lie on one line"):
        ring_rig(3).to_world(COURT, court)
