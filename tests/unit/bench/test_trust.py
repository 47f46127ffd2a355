"""Cells of coverage: which errors belong where, and what scale they ask for."""

from __future__ import annotations

import numpy as np
import pytest

from bench.trust import Trust

JOINTS = 17
WRIST, HIP = 9, 11


def gathered(scale: float, views: int, frames: int = 3000) -> Trust:
    """Errors that are `scale` times as large as their covariances say."""
    rng = np.random.default_rng(2)
    trust = Trust()
    error = scale * 0.02 * rng.standard_normal((frames, JOINTS, 3))
    covariance = np.tile(np.eye(3) * 0.02**2, (frames, JOINTS, 1, 1))
    known = np.ones((frames, JOINTS), dtype=bool)
    trust.add(error, covariance, np.full((frames, JOINTS), views), known)
    return trust


@pytest.mark.parametrize(
    ("views", "name"),
    [
        (0, "0-1 views"),
        (1, "0-1 views"),
        (2, "2 views"),
        (3, "3-4 views"),
        (4, "3-4 views"),
        (5, "5+ views"),
        (14, "5+ views"),
    ],
)
def test_an_error_counts_where_its_views_and_its_joint_put_it(views: int, name: str) -> None:
    cells = gathered(1.0, views, frames=10).cells()
    assert set(cells) == {"all", "trunk", "limbs", name, f"trunk, {name}", f"limbs, {name}"}
    assert cells["limbs"].joints == cells[f"limbs, {name}"].joints == 80
    assert cells["trunk"].joints == 90
    assert cells["all"].joints == cells[name].joints == 170


def test_unknown_joints_are_left_out_and_limbs_are_told_from_the_trunk() -> None:
    trust = Trust()
    known = np.zeros((1, JOINTS), dtype=bool)
    known[0, [WRIST, HIP]] = True
    error = np.zeros((1, JOINTS, 3))
    error[0, WRIST] = 1.0
    covariance = np.tile(np.eye(3) * 1e-4, (1, JOINTS, 1, 1))
    trust.add(error, covariance, np.full((1, JOINTS), 3), known)
    cells = trust.cells()
    assert cells["limbs"].coverage == 0.0
    assert cells["limbs"].mpjpe_mm == pytest.approx(1000 * np.sqrt(3))
    assert cells["trunk"].coverage == 1.0
    assert (trust.tried, cells["all"].joints) == (2, 2)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_the_scale_is_what_the_covariances_would_have_to_be_multiplied_by(scale: float) -> None:
    cell = gathered(scale, 3).cells()["all"]
    assert cell.nees == pytest.approx(scale**2, rel=0.03)
    assert cell.core == pytest.approx(scale**2, rel=0.03)
    inside = {0.5: 1.0, 1.0: 0.95, 1.5: 0.676}[scale]
    assert cell.coverage == pytest.approx(inside, abs=0.01)


def test_the_core_does_not_mind_outliers_and_the_mean_does() -> None:
    trust = gathered(1.0, 3)
    far = np.full((150, JOINTS, 3), 1.0)
    covariance = np.tile(np.eye(3) * 0.02**2, (150, JOINTS, 1, 1))
    trust.add(far, covariance, np.full((150, JOINTS), 3), np.ones((150, JOINTS), dtype=bool))
    cell = trust.cells()["all"]
    assert cell.core == pytest.approx(1.0, abs=0.1)
    assert cell.nees > 50


def test_nothing_gathered_is_nothing_told() -> None:
    trust = Trust()
    assert trust.cells() == {}
    assert np.isnan([trust.coverage(), trust.definite(), trust.log_likelihood()]).all()
