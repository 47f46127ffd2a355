"""Kalman smoothing of whole batches: forward in time, then backward, exact for linear evidence.

The forward pass is the information-weighted Kalman filter; the backward pass carries the adjoint r
and its covariance N (Bryson and Frazier 1963; Durbin and Koopman, Time Series Analysis by State
Space Methods, 2nd ed., 4.4-4.6), which gives what Rauch, Tung and Striebel's does without inverting
a covariance: the smoothed position is p + P r and its covariance P - P N P.

A batch holds B bodies of n joints; the noise of a body's joints may be correlated, so that the
state of a body is filtered as one. With n = 1 every joint stands alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accel.reference.cameras import Array
from accel.reference.game.motion import Blocks, Motion
from accel.reference.game.small import inverse

Coupling = Callable[[int], tuple[Array, Array]]
"""Step -> information (B, 3n, 3n) and its vector (B, 3n) that bind the joints of a body."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of K steps of B bodies with n joints each."""

    dt_s: Array
    """(K, B) seconds since the step before; the first is not used."""
    linked: Array
    """(K, B) float: 0 where a body begins anew, so that nothing before says anything of it."""
    information: Array
    """(K, B, n, 3, 3) inverse covariance of what was seen of the positions, 1/m^2; 0 if nothing."""
    vector: Array
    """(K, B, n, 3) information times the position seen, 1/m."""
    start_m: Array
    """(K, B, n, 3) where a body would begin anew."""
    heat: Array
    """(K, B) by what factor a body's noise differs on the way to a step."""
    coupling: Coupling | None = None
    """What binds the joints of a body at a step, such as the lengths of limbs."""


@dataclass(frozen=True, slots=True)
class Smoothed:
    """Everything given all evidence."""

    states: list[Array]
    """Position m, velocity m/s (and acceleration m/s^2): (K, B, n, 3) each."""
    covariance: Array
    """Of the positions, (K, B, n, 3, 3), m^2."""
    found: Array
    """(B, n, n) sum over steps of r r^T, weighed by T(dt); zeros unless asked for."""
    expected: Array
    """(B, n, n) the same of N."""
    heat_found: Array
    """(K, B) r^T Q r, with Q the noise on the way to a step: how much noise there was."""
    heat_expected: Array
    """(K, B) tr(Q N): what that is on average where the noise is right."""


@dataclass(slots=True)
class _Step:
    """What the backward pass needs of a step."""

    gain: list[Array]
    """Columns P[:, position] of the predicted covariance, one a derivative."""
    weight: Array
    """M: the information of the innovation."""
    score: Array
    """s: M times the innovation."""


def smooth(xp: Any, evidence: Evidence, motion: Motion, learn: bool = False) -> Smoothed:
    """Smooth a batch; `learn` also sums what `motion.improved` asks for."""
    steps, batch, joints, _ = evidence.start_m.shape
    size = 3 * joints
    flow = _Flow(xp, evidence, motion, size)
    mean, cov = flow.fresh(0)
    first_mean, first_cov = mean, cov
    kept: list[_Step] = []
    for k in range(steps):
        if k:
            mean, cov = flow.forward(k, mean, cov)
        mean, cov, step = flow.update(k, mean, cov)
        kept.append(step)
    r = [xp.zeros((batch, size), dtype=xp.float64) for _ in range(motion.order)]
    n = [[xp.zeros((batch, size, size), dtype=xp.float64)] * motion.order] * motion.order
    found = expected = xp.zeros((batch, joints, joints), dtype=xp.float64)
    adjoints: list[list[Array]] = [[]] * steps
    covariances: list[Array] = [r[0]] * steps
    heats = [(xp.zeros(batch, dtype=xp.float64),) * 2] * steps
    for k in range(steps - 1, -1, -1):
        r, n, covariances[k] = flow.backward(kept[k], r, n)
        adjoints[k] = r
        if k:
            if learn:
                found = found + flow.found(k, r)
                expected = expected + flow.expected(k, n)
            heats[k] = flow.heat(k, r, n)
            r, n = flow.back_in_time(k, r, n)
    states = flow.states(first_mean, first_cov, adjoints)
    return Smoothed(
        states=[xp.reshape(s, (steps, batch, joints, 3)) for s in states],
        covariance=xp.stack(covariances, axis=0),
        found=found,
        expected=expected,
        heat_found=xp.stack([h[0] for h in heats], axis=0),
        heat_expected=xp.stack([h[1] for h in heats], axis=0),
    )


class _Flow:
    """The recursions, step by step."""

    def __init__(self, xp: Any, evidence: Evidence, motion: Motion, size: int) -> None:
        self.xp, self.evidence, self.motion, self.size = xp, evidence, motion, size
        self.orders = range(motion.order)
        self.batch = evidence.start_m.shape[1]
        self.joints = size // 3
        self.eye = xp.eye(size, dtype=xp.float64)
        self.eye3 = xp.eye(3, dtype=xp.float64)
        density = motion.density[..., :, None, :, None] * self.eye3[None, :, None, :]
        self.density = xp.reshape(density, (*motion.density.shape[:-2], size, size))

    def fresh(self, k: int) -> tuple[list[Array], Blocks]:
        """Where nothing is known but where a body begins."""
        nothing = self.xp.zeros((self.batch, self.size, self.size), dtype=self.xp.float64)
        std = self.motion.start_std
        cov = [
            [nothing + std[a] ** 2 * self.eye if a == b else nothing for b in self.orders]
            for a in self.orders
        ]
        return self.begin(k), cov

    def begin(self, k: int) -> list[Array]:
        """The mean where a body begins: at its start, at rest."""
        xp = self.xp
        position = xp.reshape(self.evidence.start_m[k, ...], (self.batch, self.size))
        return [position, *[xp.zeros_like(position) for _ in self.orders[1:]]]

    def forward(self, k: int, mean: list[Array], cov: Blocks) -> tuple[list[Array], Blocks]:
        """One step in time."""
        phi, linked = self._phi(k)
        noise = self._noise(k)
        start = self.begin(k)
        out = [
            linked[..., 0] * sum(phi[a][b][..., 0] * mean[b] for b in self.orders[a:])
            + (1.0 - linked[..., 0]) * start[a]
            for a in self.orders
        ]
        half = [
            [sum(phi[a][i] * cov[i][b] for i in self.orders[a:]) for b in self.orders]
            for a in self.orders
        ]
        rows: Blocks = [[None] * self.motion.order for _ in self.orders]
        for a in self.orders:
            for b in self.orders[a:]:
                moved = sum(half[a][j] * phi[b][j] for j in self.orders[b:])
                rows[a][b] = linked * moved + noise[a][b]
        self._mirror(rows)
        return out, rows

    def update(self, k: int, mean: list[Array], cov: Blocks) -> tuple[list[Array], Blocks, _Step]:
        """Take the step's evidence in."""
        xp = self.xp
        information, vector = self._evidence(k)
        predicted = [cov[a][0] for a in self.orders]
        reach = inverse(xp, self.eye + xp.matmul(information, cov[0][0]))
        weight = xp.matmul(reach, information)
        weight = 0.5 * (weight + xp.matrix_transpose(weight))
        innovation = vector - _times(xp, information, mean[0])
        score = _times(xp, reach, innovation)
        mean = [mean[a] + _times(xp, predicted[a], score) for a in self.orders]
        taken = [xp.matmul(weight, cov[0][b]) for b in self.orders]
        rows: Blocks = [[None] * self.motion.order for _ in self.orders]
        for a in self.orders:
            for b in self.orders[a:]:
                rows[a][b] = cov[a][b] - xp.matmul(predicted[a], taken[b])
        self._mirror(rows)
        return mean, rows, _Step(predicted, weight, score)

    def backward(self, step: _Step, r: list[Array], n: Blocks) -> tuple[list[Array], Blocks, Array]:
        """The adjoint before the step's evidence, and the smoothed covariance of the positions."""
        xp, m, gain = self.xp, step.weight, step.gain
        turned = [xp.matrix_transpose(g) for g in gain]
        u = [sum(xp.matmul(n[a][b], gain[b]) for b in self.orders) for a in self.orders]
        y = sum(xp.matmul(turned[a], u[a]) for a in self.orders)
        lost = sum(_times(xp, turned[a], r[a]) for a in self.orders)
        before = [r[0] + step.score - _times(xp, m, lost), *r[1:]]
        mixed = xp.matmul(u[0], m)
        rows: Blocks = [list(row) for row in n]
        rows[0][0] = (
            n[0][0] + m - mixed - xp.matrix_transpose(mixed) + xp.matmul(xp.matmul(m, y), m)
        )
        for b in self.orders[1:]:
            rows[0][b] = n[0][b] - xp.matmul(m, xp.matrix_transpose(u[b]))
        self._mirror(rows)
        e = self.eye - xp.matmul(m, gain[0])
        cov = xp.matmul(gain[0] - xp.matmul(xp.matrix_transpose(e), y), e)
        return before, rows, self._own(cov)

    def back_in_time(self, k: int, r: list[Array], n: Blocks) -> tuple[list[Array], Blocks]:
        """The adjoint after the evidence of the step before."""
        phi, linked = self._phi(k)
        out = [
            linked[..., 0] * sum(phi[a][i][..., 0] * r[a] for a in self.orders[: i + 1])
            for i in self.orders
        ]
        half = [
            [sum(phi[a][i] * n[a][b] for a in self.orders[: i + 1]) for b in self.orders]
            for i in self.orders
        ]
        rows: Blocks = [[None] * self.motion.order for _ in self.orders]
        for i in self.orders:
            for j in self.orders[i:]:
                rows[i][j] = linked * sum(half[i][b] * phi[b][j] for b in self.orders[: j + 1])
        self._mirror(rows)
        return out, rows

    def states(self, mean: list[Array], cov: Blocks, adjoints: list[list[Array]]) -> list[Array]:
        """The smoothed means (K, B, 3n), one array a derivative, forward from the first step."""
        xp = self.xp
        r = adjoints[0]
        now = [mean[a] + sum(_times(xp, cov[a][b], r[b]) for b in self.orders) for a in self.orders]
        out = [now]
        for k in range(1, len(adjoints)):
            phi, linked = self._phi(k)
            noise, r = self._noise(k), adjoints[k]
            start = self.begin(k)
            now = [
                linked[..., 0] * sum(phi[a][b][..., 0] * now[b] for b in self.orders[a:])
                + (1.0 - linked[..., 0]) * start[a]
                + sum(_times(xp, noise[a][b], r[b]) for b in self.orders)
                for a in self.orders
            ]
            out.append(now)
        return [xp.stack([step[a] for step in out], axis=0) for a in self.orders]

    def heat(self, k: int, r: list[Array], n: Blocks) -> tuple[Array, Array]:
        """R^T Q r and tr(Q N), with Q the motion's noise: (B,) each."""
        xp = self.xp
        spread = self._spread(k)
        moved = [_times(xp, self.density, x) for x in r]
        found = sum(
            spread[a][b][..., 0] * r[a] * moved[b] for a in self.orders for b in self.orders
        )
        mixed = sum(spread[a][b] * n[a][b] for a in self.orders for b in self.orders)
        expected = xp.sum(xp.sum(self.density * mixed, axis=-1), axis=-1)
        return xp.sum(found, axis=-1), expected

    def found(self, k: int, r: list[Array]) -> Array:
        """Sum over axes of r r^T, weighed by T(dt) and the body's heat: (B, n, n)."""
        xp = self.xp
        spread = self._spread(k)
        rows = [xp.reshape(x, (self.batch, self.joints, 3)) for x in r]
        return sum(
            spread[a][b] * xp.matmul(rows[a], xp.matrix_transpose(rows[b]))
            for a in self.orders
            for b in self.orders
        )

    def expected(self, k: int, n: Blocks) -> Array:
        """The same of N."""
        xp = self.xp
        spread = self._spread(k)
        total = sum(spread[a][b] * n[a][b] for a in self.orders for b in self.orders)
        split = xp.reshape(total, (self.batch, self.joints, 3, self.joints, 3))
        return split[:, :, 0, :, 0] + split[:, :, 1, :, 1] + split[:, :, 2, :, 2]

    def _phi(self, k: int) -> tuple[Blocks, Array]:
        dt = self.evidence.dt_s[k, :][:, None, None]
        return self.motion.transition(self.xp, dt), self.evidence.linked[k, :][:, None, None]

    def _spread(self, k: int) -> Blocks:
        """T(dt) of a step at the body's heat, 0 where a body begins anew."""
        heat = (self.evidence.linked[k, :] * self.evidence.heat[k, :])[:, None, None]
        spread = self.motion.spread(self.xp, self.evidence.dt_s[k, :][:, None, None])
        return [[heat * value for value in row] for row in spread]

    def _noise(self, k: int) -> Blocks:
        """What a step adds: the motion's noise, or everything where a body begins anew."""
        anew = (1.0 - self.evidence.linked[k, :])[:, None, None]
        spread = self._spread(k)
        std = self.motion.start_std
        return [
            [
                spread[a][b] * self.density + (anew * std[a] ** 2 * self.eye if a == b else 0.0)
                for b in self.orders
            ]
            for a in self.orders
        ]

    def _evidence(self, k: int) -> tuple[Array, Array]:
        xp, e = self.xp, self.evidence
        shape = (self.batch, self.size, self.size)
        own = e.information[k, ...]
        if self.joints == 1:
            information = xp.reshape(own, shape)
        else:
            eye = xp.eye(self.joints, dtype=xp.float64)
            information = xp.reshape(own[:, :, :, None, :] * eye[:, None, :, None], shape)
        vector = xp.reshape(e.vector[k, ...], (self.batch, self.size))
        if e.coupling is not None:
            more, right = e.coupling(k)
            information, vector = information + more, vector + right
        return information, vector

    def _own(self, cov: Array) -> Array:
        """The diagonal blocks (B, n, 3, 3), symmetric."""
        xp = self.xp
        split = xp.reshape(cov, (self.batch, self.joints, 3, self.joints, 3))
        own = xp.stack([split[:, j, :, j, :] for j in range(self.joints)], axis=1)
        return 0.5 * (own + xp.matrix_transpose(own))

    def _mirror(self, rows: Blocks) -> None:
        """Fill in what lies below the diagonal, and make the diagonal symmetric to the bit."""
        xp = self.xp
        for a in self.orders:
            rows[a][a] = 0.5 * (rows[a][a] + xp.matrix_transpose(rows[a][a]))
            for b in self.orders[a + 1 :]:
                rows[b][a] = xp.matrix_transpose(rows[a][b])


def _times(xp: Any, matrix: Array, vector: Array) -> Array:
    return xp.matmul(matrix, vector[..., None])[..., 0]
