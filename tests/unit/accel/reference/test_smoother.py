"""The batched smoother says what one dense least-squares problem over all steps says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np
import pytest
from numpy.typing import NDArray

from accel.reference.game.motion import Motion, improved
from accel.reference.game.smoother import Evidence, Smoothed, smooth

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """A random problem of K steps, B bodies, n joints, with gaps, uneven steps and beginnings."""

    evidence: Evidence
    motion: Motion
    coupling: tuple[Array, Array] | None
    truth: Array


def random_problem(
    seed: int, steps: int, batch: int, joints: int, order: int, relax_s: float = np.inf
) -> Problem:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(joints, joints))
    density = root @ root.T * 3 + np.eye(joints)
    motion = Motion(density, order, relax_s, (0.7, 3.0, 20.0)[:order])
    dt = rng.choice([0.01, 1 / 60, 0.05], (steps, batch))
    truth = np.cumsum(rng.normal(0, 0.05, (steps, batch, joints, 3)), axis=0)
    jacobian = rng.normal(0, 60, (steps, batch, joints, 4, 3))
    jacobian[rng.random((steps, batch, joints)) < 0.3] = 0.0  # A gap.
    jacobian[:, :, :, 1:] *= rng.random((steps, batch, joints, 1, 1)) < 0.7  # A single view.
    information = np.einsum("...vi,...vj->...ij", jacobian, jacobian) / 4
    seen = truth + rng.normal(0, 0.02, truth.shape)
    vector = np.einsum("...ij,...j->...i", information, seen)
    linked = (rng.random((steps, batch)) > 0.1).astype(float)
    bound = None
    if joints > 1:
        rows = rng.normal(size=(steps, batch, 2, 3 * joints))
        right = np.einsum("kbri,kbi->kbr", rows, truth.reshape(steps, batch, -1))
        bound = (
            np.einsum("kbri,kbrj->kbij", rows, rows) * 50,
            np.einsum("kbri,kbr->kbi", rows, right) * 50,
        )
    evidence = Evidence(
        dt_s=dt,
        linked=linked,
        information=information,
        vector=vector,
        start_m=truth + rng.normal(0, 0.3, truth.shape),
        heat=rng.uniform(0.3, 3, (steps, batch)),
        coupling=None if bound is None else lambda k: (bound[0][k], bound[1][k]),
    )
    return Problem(evidence, motion, bound, truth)


def dense(problem: Problem, body: int) -> tuple[Array, Array, float]:
    """One body's states (K, order, n, 3), covariance of all, log-likelihood up to a constant.

    Written as a regression: every prior, move and piece of evidence is a row of one matrix.
    """
    e, motion = problem.evidence, problem.motion
    steps, _, joints, _ = e.start_m.shape
    order, size = motion.order, 3 * joints
    width = order * size
    rows, right = [], []
    log_det = 0.0

    def put(at: int, block: NDArray[np.floating[Any]], value: NDArray[np.floating[Any]]) -> None:
        row = np.zeros((len(block), steps * width))
        row[:, at : at + block.shape[1]] = block
        rows.append(row)
        right.append(value)

    for k in range(steps):
        here = k * width
        if k == 0 or e.linked[k, body] == 0:
            std = np.repeat(motion.start_std, size)
            mean = np.concatenate([e.start_m[k, body].ravel(), np.zeros(width - size)])
            put(here, np.diag(1 / std), mean / std)
            log_det += 2 * np.log(std).sum()
        else:
            root, before = noise_and_move(motion, e.dt_s[k, body], e.heat[k, body])
            white = np.linalg.solve(root, np.hstack([-before, np.eye(width)]))
            put(here - width, white, np.zeros(width))
            log_det += 2 * np.log(np.diag(root)).sum()
        information = np.zeros((size, size))
        for j in range(joints):
            own = slice(3 * j, 3 * j + 3)
            information[own, own] = e.information[k, body, j]
        vector = e.vector[k, body].ravel()
        if problem.coupling is not None:
            information = information + problem.coupling[0][k, body]
            vector = vector + problem.coupling[1][k, body]
        values, vectors = np.linalg.eigh(information)
        some = values > 1e-9 * max(values.max(), 1e-9)
        scale = np.sqrt(values[some])
        put(here, scale[:, None] * vectors[:, some].T, vectors[:, some].T @ vector / scale)
    matrix, value = np.concatenate(rows), np.concatenate(right)
    q, r = np.linalg.qr(matrix)
    inverse = np.linalg.inv(r)
    solved = inverse @ (q.T @ value)
    left = value - matrix @ solved
    likelihood = -0.5 * (log_det + 2 * np.log(np.abs(np.diag(r))).sum() + left @ left)
    return solved.reshape(steps, order, joints, 3), inverse @ inverse.T, float(likelihood)


def noise_and_move(motion: Motion, dt: float, heat: float) -> tuple[Array, Array]:
    """The Cholesky factor of a step's noise, and the step's move of the state."""
    order, size = motion.order, 3 * motion.density.shape[-1]
    powers = np.array(
        [
            [dt ** (b - a) / np.prod(range(1, b - a + 1)) if b >= a else 0.0 for b in range(order)]
            for a in range(order)
        ]
    )
    if np.isfinite(motion.relax_s):
        tau = motion.relax_s
        keep = np.exp(-dt / tau)
        powers[-1, -1], powers[-2, -1] = keep, tau * (1 - keep)
        if order == 3:
            powers[0, 2] = tau * (dt - tau * (1 - keep))
    # The integral over the step of g g^T, where g is the response to an impulse, by Gauss.
    node, weight = np.polynomial.legendre.leggauss(8)
    s = 0.5 * dt * (node + 1)
    g = np.stack([s ** (order - 1 - a) / np.prod(range(1, order - a)) for a in range(order)])
    spread = np.linalg.cholesky(heat * (g * weight * 0.5 * dt) @ g.T)
    return np.kron(spread, np.kron(np.linalg.cholesky(motion.density), np.eye(3))), np.kron(
        powers, np.eye(size)
    )


@pytest.mark.parametrize(
    ("order", "joints", "relax_s"),
    [(2, 1, np.inf), (3, 1, np.inf), (2, 4, np.inf), (3, 3, 0.1), (2, 3, 0.2)],
)
def test_it_is_the_dense_solution(order: int, joints: int, relax_s: float) -> None:
    problem = random_problem(order * 10 + joints, 25, 3, joints, order, relax_s)
    found = smooth(np, problem.evidence, problem.motion)
    width = order * 3 * joints
    for body in range(3):
        states, covariance, _ = dense(problem, body)
        for a in range(order):
            scale = np.abs(states[:, a]).max()
            assert np.abs(found.states[a][:, body] - states[:, a]).max() < 1e-8 * scale
        for k in range(25):
            for j in range(joints):
                at = k * width + 3 * j
                expected = covariance[at : at + 3, at : at + 3]
                assert np.allclose(found.covariance[k, body, j], expected, rtol=1e-6, atol=1e-9)


def test_covariances_are_symmetric_and_positive_definite() -> None:
    problem = random_problem(3, 200, 4, 5, 2)
    found = smooth(np, problem.evidence, problem.motion)
    assert np.array_equal(found.covariance, np.swapaxes(found.covariance, -1, -2))
    assert np.linalg.eigvalsh(found.covariance).min() > 0


def test_what_it_says_of_its_noise_is_the_slope_of_the_likelihood() -> None:
    """Found - expected is twice the derivative of the log-likelihood in the density."""
    problem = random_problem(5, 20, 1, 3, 2)
    found = smooth(np, problem.evidence, problem.motion, learn=True)
    slope = 0.5 * (found.found[0] - found.expected[0])
    step = 1e-4
    for i in range(3):
        for j in range(3):
            bump = np.zeros((3, 3))
            bump[i, j] += 0.5 * step
            bump[j, i] += 0.5 * step
            more, less = (
                Problem(
                    problem.evidence,
                    Motion(problem.motion.density + sign * bump, 2, np.inf, (0.7, 3.0)),
                    problem.coupling,
                    problem.truth,
                )
                for sign in (1, -1)
            )
            measured = (dense(more, 0)[2] - dense(less, 0)[2]) / (2 * step)
            assert measured == pytest.approx(0.5 * (slope[i, j] + slope[j, i]), rel=1e-3, abs=1e-4)
    by_hand = (problem.motion.density * slope).sum()
    told = 0.5 * (found.heat_found - found.heat_expected).sum()
    assert told == pytest.approx(by_hand, rel=1e-9)


def test_learning_never_lowers_the_likelihood_and_finds_the_density() -> None:
    rng = np.random.default_rng(6)
    true = np.array([[9.0, 6.0], [6.0, 8.0]])
    steps, batch, dt = 60, 40, 1 / 60
    root = np.linalg.cholesky(np.kron([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]], true))
    state = np.zeros((batch, 3, 4))
    move = np.kron([[1, dt], [0, 1]], np.eye(2))
    path = []
    for _ in range(steps):
        path.append(state[..., :2].swapaxes(1, 2))
        state = state @ move.T + rng.normal(size=state.shape) @ root.T
    truth = np.stack(path)
    information = np.broadcast_to(np.eye(3) / 0.004**2, (*truth.shape, 3))
    seen = truth + rng.normal(0, 0.004, truth.shape)
    evidence = Evidence(
        np.full((steps, batch), dt), np.ones((steps, batch)), information,
        seen / 0.004**2, np.zeros_like(truth), np.ones((steps, batch)),
    )  # fmt: skip
    density = np.eye(2) * 30
    for _ in range(25):
        motion = Motion(density, 2, np.inf, (0.1, 0.1))
        found = smooth(np, evidence, motion, learn=True)
        density = improved(density, found.found.sum(axis=0), found.expected.sum(axis=0))
    assert np.abs(density - true).max() < 1.5
    one = np.eye(2) * 30
    likelihoods = []
    for _ in range(8):
        motion = Motion(one, 2, np.inf, (0.1, 0.1))
        likelihoods.append(dense(Problem(evidence, motion, None, truth), 0)[2])
        found = smooth(np, evidence, motion, learn=True)
        one = improved(one, found.found[0], found.expected[0])
    assert (np.diff(likelihoods) > -1e-9).all()
    assert likelihoods[-1] > likelihoods[0] + 1


def test_a_body_that_begins_anew_knows_nothing_of_before() -> None:
    problem = random_problem(9, 30, 2, 2, 2)
    linked = np.ones((30, 2))
    linked[15] = 0.0
    e = problem.evidence
    fields = {
        name: getattr(e, name) for name in ("dt_s", "information", "vector", "start_m", "heat")
    }

    def part(low: int, high: int) -> Smoothed:
        cut = {name: values[low:high] for name, values in fields.items()}
        return smooth(np, Evidence(linked=linked[low:high], **cut), problem.motion)

    whole = part(0, 30)
    for half, at in ((part(0, 15), slice(0, 15)), (part(15, 30), slice(15, 30))):
        assert np.allclose(whole.states[0][at], half.states[0], atol=1e-11)
        assert np.allclose(whole.covariance[at], half.covariance, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("joints", [1, 3])
def test_it_runs_on_nothing_but_the_array_api(joints: int) -> None:
    problem = random_problem(11, 12, 2, joints, 2)
    e = problem.evidence
    xp: Any = array_api_strict

    def strict(k: int) -> tuple[Any, Any]:
        assert problem.coupling is not None
        return xp.asarray(problem.coupling[0][k]), xp.asarray(problem.coupling[1][k])

    arrays = {
        name: xp.asarray(getattr(e, name))
        for name in ("dt_s", "linked", "information", "vector", "start_m", "heat")
    }
    evidence = Evidence(**arrays, coupling=strict if problem.coupling else None)
    motion = Motion(xp.asarray(problem.motion.density), 2, np.inf, (0.7, 3.0))
    found = smooth(xp, evidence, motion, learn=True)
    expected = smooth(np, e, problem.motion, learn=True)
    assert isinstance(found.covariance, type(evidence.start_m))
    for name in ("covariance", "found", "expected", "heat_found", "heat_expected"):
        ours, theirs = np.asarray(getattr(found, name)), getattr(expected, name)
        assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-12)
