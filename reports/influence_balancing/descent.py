"""The system of influence balancing: 23 linear units and one trained number, which acts on them with both signs.

    s_t = A s_{t−1} + θ σ,     A = ½ I + ½ (ones above the diagonal),     σ = (+1 ten times, −1 thirteen times)
    l = ½ (s_1 − 1)²  at the end of each window of K steps,     θ ← θ − η dl/dθ,     s_0 = 1,  θ_0 = ½

Over a window dl/dθ = (s_1 − 1) Σ_{k<K} (A^k σ)_1. The sum is positive for short windows and −6 in the limit, so that a
rule that truncates moves θ away from its optimum −1/6. Source: Tallec and Ollivier 2017, section 5; constants as in the
released code of Vicol et al. 2021.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

RuleName = Literal["tbptt", "rtrl", "fptt"]
UNITS, POSITIVE = 23, 10
A = (np.eye(UNITS) + np.eye(UNITS, k=1)) / 2
σ = np.where(np.arange(UNITS) < POSITIVE, 1.0, -1.0)
START, OPTIMUM = 0.5, -1 / 6
UPDATES = 3000
RATE = 1e-4


def derivatives(most: int) -> NDArray[np.float64]:
    """Return Σ_{k<K} (A^k σ)_1 for K = 1 ... most: ∂s_1/∂θ of a window with its initial state held constant."""
    terms, power = [], σ
    for _ in range(most):
        terms.append(power[0])
        power = A @ power
    return np.cumsum(terms)


def descend(K: int, rule: RuleName, updates: int = UPDATES) -> NDArray[np.float64]:
    """Return θ before the first and after each update of gradient descent with windows of K steps.

    Each update takes one product with a matrix, whatever K is.

    Args:
        K: steps between updates.
        rule: `tbptt`: ∂s/∂θ starts at 0 in each window; `rtrl`: it is carried from window to window; `fptt`: as tbptt,
            with loss weights (p + 1) / updates and the regulariser of the code form, α = β = ½.
        updates: number of updates.
    """
    power = np.linalg.matrix_power(A, K)
    pushed = sum((np.linalg.matrix_power(A, k) @ σ for k in range(K)), np.zeros(UNITS))
    s, θ, M, path = np.ones(UNITS), START, np.zeros(UNITS), [START]
    α = β = 0.5
    mean, λ = START, 0.0
    for p in range(updates):
        s = power @ s + θ * pushed
        M = power @ M + pushed if rule == "rtrl" else pushed
        gradient = (s[0] - 1) * M[0]
        if rule == "fptt":
            gradient = (p + 1) / updates * gradient + α * (θ - mean) - λ
        θ -= RATE * gradient
        λ -= α * (θ - mean)
        mean = (1 - β) * mean + β * θ - β / α * λ
        path.append(θ)
    return np.array(path)


def losses(path: NDArray[np.float64], steps: int = 500) -> NDArray[np.float64]:
    """Return ½ (s_1 − 1)² after `steps` steps from s_0 with each θ of a path."""
    pushed = derivatives(steps)[-1]
    start = (np.linalg.matrix_power(A, steps) @ np.ones(UNITS))[0]
    return (start + path * pushed - 1) ** 2 / 2


@cache
def turning_window() -> int:
    """Return the first K whose derivative has the sign of the limit."""
    return int(np.flatnonzero(derivatives(200) < 0)[0]) + 1
