"""The system of influence balancing trained by UORO in closed form, and by the rules of the package; see descent.py."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.algorithms.base import LearningRule
from throughtime.algorithms.influence.random_signs import TINY
from throughtime.datasets.task import Metric, Regression
from throughtime.harness.learner import Learner
from throughtime.networks.base import Network, Step, Window
from throughtime.reports.influence_balancing.descent import RATE, START, UNITS, UPDATES, A, σ

RATE_OF_UORO = 1e-5


def descend_uoro(signs: NDArray[np.float64], rate: float = RATE_OF_UORO) -> NDArray[np.float64]:
    """Return θ before the first and after each update of UORO, with an update and a loss at each step.

        s̃ ← ρ₀ A s̃ + ρ₁ ν,     θ̃ ← θ̃ / ρ₀ + ν·σ / ρ₁,     dl/dθ ≈ (s_1 − 1) ((A s̃)_1 θ̃ + σ_1)  with the old s̃, θ̃

    Args:
        signs: ν of each step, ±1, [updates, units].
        rate: learning rate.
    """
    s, θ, s̃, θ̃, path = np.ones(UNITS), START, np.zeros(UNITS), 0.0, [START]
    for ν in signs:
        s, Js̃, νI = A @ s + θ * σ, A @ s̃, float(ν @ σ)
        gradient = (s[0] - 1) * (Js̃[0] * θ̃ + σ[0])
        ρ0 = np.sqrt(abs(θ̃) / (np.linalg.norm(Js̃) + TINY)) + TINY
        ρ1 = np.sqrt(abs(νI) / (np.linalg.norm(ν) + TINY)) + TINY
        s̃, θ̃ = ρ0 * Js̃ + ρ1 * ν, θ̃ / ρ0 + νI / ρ1
        θ -= rate * gradient
        path.append(θ)
    return np.array(path)


def drawn_signs(seed: int, updates: int = UPDATES) -> NDArray[np.float64]:
    """Draw ν of each step, [updates, units]."""
    return np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), (updates, UNITS))


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
