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
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.algorithms.base import LearningRule
from throughtime.algorithms.influence.random_signs import TINY
from throughtime.datasets.task import Metric, Regression
from throughtime.harness.learner import Learner
from throughtime.networks.base import Network, Step, Window

RuleName = Literal["tbptt", "rtrl", "fptt"]
UNITS, POSITIVE = 23, 10
A = (np.eye(UNITS) + np.eye(UNITS, k=1)) / 2
σ = np.where(np.arange(UNITS) < POSITIVE, 1.0, -1.0)
START, OPTIMUM = 0.5, -1 / 6
UPDATES = 3000
RATE, RATE_OF_UORO = 1e-4, 1e-5


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


def descend_uoro(signs: NDArray[np.float64], rate: float = RATE_OF_UORO, tiny: float = TINY) -> NDArray[np.float64]:
    """Return θ before the first and after each update of UORO, with an update and a loss at each step.

        s̃ ← ρ₀ A s̃ + ρ₁ ν,     θ̃ ← θ̃ / ρ₀ + ν·σ / ρ₁,     dl/dθ ≈ (s_1 − 1) ((A s̃)_1 θ̃ + σ_1)  with the old s̃, θ̃

    Args:
        signs: ν of each step, ±1, [updates, units].
        rate: learning rate.
        tiny: added to norms and roots, as in the rule of the package.
    """
    s, θ, s̃, θ̃, path = np.ones(UNITS), START, np.zeros(UNITS), 0.0, [START]
    for ν in signs:
        s, Js̃, νI = A @ s + θ * σ, A @ s̃, float(ν @ σ)
        gradient = (s[0] - 1) * (Js̃[0] * θ̃ + σ[0])
        ρ0 = np.sqrt(abs(θ̃) / (np.linalg.norm(Js̃) + tiny)) + tiny
        ρ1 = np.sqrt(abs(νI) / (np.linalg.norm(ν) + tiny)) + tiny
        s̃, θ̃ = ρ0 * Js̃ + ρ1 * ν, θ̃ / ρ0 + νI / ρ1
        θ -= rate * gradient
        path.append(θ)
    return np.array(path)


def drawn_signs(seed: int, updates: int = UPDATES) -> NDArray[np.float64]:
    """Draw ν of each step, [updates, units]."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], (updates, UNITS))


def losses(path: NDArray[np.float64], steps: int = 500) -> NDArray[np.float64]:
    """Return ½ (s_1 − 1)² after `steps` steps from s_0 with each θ of a path."""
    pushed = derivatives(steps)[-1]
    start = (np.linalg.matrix_power(A, steps) @ np.ones(UNITS))[0]
    return (start + path * pushed - 1) ** 2 / 2


class LinearSystem(Network):
    """The system as a network without input: x only counts the steps."""

    spiking = False

    def __init__(self) -> None:
        super().__init__()
        self.θ = nn.Parameter(torch.tensor(START, dtype=torch.float64))
        self.At, self.σ = torch.tensor(A).t().contiguous(), torch.tensor(σ)

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (torch.ones(batch, UNITS, dtype=torch.float64),)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Step, tuple[Tensor]]:
        s = state[0] @ self.At + self.θ * self.σ
        return Step(s[:, :1], ()), (s,)

    def unroll(self, x: Tensor, state: tuple[Tensor]) -> Window:
        outputs = []
        for x_t in x.unbind(0):
            step, state = self(x_t, state)
            outputs.append(step.output)
        return Window(torch.stack(outputs), (), state)


class HalfSquare(Regression):
    """½ (y − 1)²."""

    metric = Metric("loss", "1", higher_is_better=False)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return super().loss(outputs, target) / 2


def train(rule: LearningRule, K: int, updates: int, rate: float = RATE) -> list[float]:
    """Train θ with a rule of the package, which updates every K steps; return θ as `descend` does."""
    network = LinearSystem()
    learner = Learner(network, rule, HalfSquare(1), steps=K * updates)
    path = [START]
    optimiser = torch.optim.SGD(learner.parameters(), lr=rate)
    optimiser.register_step_post_hook(lambda *_: path.append(network.θ.item()))
    learner.learn(torch.zeros(K * updates, 1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64), optimiser)
    return path


@cache
def turning_window() -> int:
    """Return the first K whose derivative has the sign of the limit."""
    return int(np.flatnonzero(derivatives(200) < 0)[0]) + 1
