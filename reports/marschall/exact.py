"""Numbers of the paper that follow in closed form, and the alignment of rules with RTRL."""

from __future__ import annotations

from functools import partial

import numpy as np

from throughtime.reports.papers.stored import stored


@stored
def level(near: bool, far: bool) -> float:
    """Return the least cross-entropy, in nats, of a network that knows the dependencies given."""
    from throughtime.datasets.online_tasks import add_level  # imports torch

    return add_level(near, far)


without_dependencies = partial(level, near=False, far=False)
with_the_shorter = partial(level, near=True, far=False)
with_the_longer = partial(level, near=False, far=True)
with_both = partial(level, near=True, far=True)


def immediate_influence_over_derivative(alpha: float = 0.5) -> tuple[float, float]:
    """Compare RTRL with the released code's immediate influence to the derivative of the loss by R.

        M_t = J_t M_{t−1} + φ'(h_t) ⊗ a_{t−1}                 released: learning_algorithms.py
        M_t = J_t M_{t−1} + α φ'(h_t) ⊗ a_{t−1}               the derivative of a_t = (1 − α) a_{t−1} + α φ(h_t)

    Returns:
        ‖released‖ / ‖finite differences‖ and ‖corrected‖ / ‖finite differences‖ of the gradient of ½ ‖a_T‖².
    """
    units, steps, random = 4, 12, np.random.default_rng(0)
    R, x = random.standard_normal((units, units)) / np.sqrt(units), random.standard_normal((steps, units))

    def last(R: np.ndarray) -> np.ndarray:
        a = np.zeros(units)
        for x_t in x:
            a = (1 - alpha) * a + alpha * np.tanh(x_t + R @ a)
        return a

    a, M = np.zeros(units), np.zeros((units, units, units))
    for x_t in x:
        φ = np.tanh(x_t + R @ a)
        slope = 1 - φ**2
        J = (1 - alpha) * np.eye(units) + alpha * slope[:, None] * R
        M = np.einsum("kl,lji->kji", J, M) + np.einsum("kj,j,i->kji", np.eye(units), slope, a)
        a = (1 - alpha) * a + alpha * φ
    released = np.einsum("k,kji->ji", a, M)
    ε, difference = 1e-6, np.zeros_like(R)
    for place in np.ndindex(R.shape):
        step = np.zeros_like(R)
        step[place] = ε
        difference[place] = (np.sum(last(R + step) ** 2) - np.sum(last(R - step) ** 2)) / (4 * ε)
    size = float(np.linalg.norm(difference))
    return float(np.linalg.norm(released)) / size, alpha * float(np.linalg.norm(released)) / size


@stored
def cosine_with_rtrl(dataset: str, rule: str) -> float:
    """Return the mean cosine of a rule with RTRL on a task, over steps and replicates; see `experiment.along_rtrl`."""
    from throughtime.reports.marschall.experiment import LEADER, along_rtrl  # imports torch

    cosines = along_rtrl(dataset)
    return float(cosines.loc[(cosines["other"] == LEADER) & (cosines["rule"] == rule), "mean"].mean())
