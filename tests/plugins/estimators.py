"""Sound rules that are no backward pass: estimates by perturbed weights, and losses of each layer's own."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from throughtime import algorithm
from throughtime.algorithms.base import Claims, LearningRule
from throughtime.datasets.task import Classification, Task
from throughtime.networks.base import Network
from throughtime.numerics.trees import detached


class Perturbing(LearningRule):
    """Base of rules that compute the loss of whole sequences at weights nearby, without a graph."""

    claims = Claims(gradient="approximate", memory="O(T)")

    def window(self, steps: int) -> int:
        return steps

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.learnt = [p for p in network.parameters() if p.requires_grad]

    @torch.no_grad()
    def loss_at_weights(self, weights: list[Tensor], x: Tensor, target: Tensor) -> Tensor:
        """Return the loss at these weights; those of the network are put back bit by bit."""
        saved = [p.clone() for p in self.learnt]
        for p, w in zip(self.learnt, weights, strict=True):
            p.copy_(w)
        loss = self.loss_of(self.network.unroll(x, self.state).outputs, target, "end")
        for p, w in zip(self.learnt, saved, strict=True):
            p.copy_(w)
        return loss

    def step(self, gradients: list[Tensor]) -> None:
        for p, g in zip(self.learnt, gradients, strict=True):
            p.grad = g
        self.update()


@algorithm("spsa")
class SPSA(Perturbing):
    """Simultaneous perturbation: g = (l(W + c Δ) − l(W − c Δ)) / 2c · Δ with random signs Δ. Source: Spall 1992."""

    def __init__(self, *, c: PositiveFloat = 0.1) -> None:
        self.c = c

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        Δ = [torch.randint(2, p.shape).to(p.dtype) * 2 - 1 for p in self.learnt]
        above, below = (
            self.loss_at_weights([p + side * d for p, d in zip(self.learnt, Δ, strict=True)], x, target)
            for side in (self.c, -self.c)
        )
        self.step([(above - below) / (2 * self.c) * d for d in Δ])
        return (above + below) / 2


@algorithm("evolution_strategy")
class EvolutionStrategy(Perturbing):
    """Gradient of the expected loss under N(W, σ²) from `pairs` antithetic draws. Source: Salimans et al. 2017."""

    def __init__(self, *, sigma: PositiveFloat = 0.1, pairs: PositiveInt = 4) -> None:
        self.sigma, self.pairs = sigma, pairs

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        g, losses = [torch.zeros_like(p) for p in self.learnt], []
        for _ in range(self.pairs):
            ε = [torch.randn_like(p) for p in self.learnt]
            above, below = (
                self.loss_at_weights([p + side * e for p, e in zip(self.learnt, ε, strict=True)], x, target)
                for side in (self.sigma, -self.sigma)
            )
            losses += [above, below]
            for total, e in zip(g, ε, strict=True):
                total += (above - below) / (2 * self.sigma * self.pairs) * e
        self.step(g)
        return torch.stack(losses).mean()


@algorithm("forward_gradient")
class ForwardGradient(Perturbing):
    """g = ⟨∇l, u⟩ u with u from N(0, 1), where ∇l is that of the surrogates. Source: Baydin et al. 2022.

    The directional derivative is taken backward: surrogates have no derivative forward.
    """

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        loss = self.window_loss(x, target, "end")
        g = torch.autograd.grad(loss, self.learnt, allow_unused=True, materialize_grads=True)
        u = [torch.randn_like(p) for p in self.learnt]
        along = torch.stack([(a * b).sum() for a, b in zip(g, u, strict=True)]).sum()
        self.step([along * v for v in u])
        return loss.detach()


@algorithm("local_losses")
class LocalLosses(LearningRule):
    """Each layer learns at each step from a loss of its own, through fixed random weights; an update each step."""

    claims = Claims(gradient="approximate", memory="O(1)")

    def __init__(self, *, scale: Annotated[float, Field(gt=0)] = 1.0) -> None:
        self.scale = scale

    def window(self, steps: int) -> int:
        return 1

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        return None if isinstance(task, Classification) and network.spiking else "it needs classes and spikes"

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.G = [network.readouts[0].linear.weight.detach().clone()]
        for layer in network.layers[:-1]:
            G = nn.Linear(layer.neuron.size, len(self.G[0])).weight.detach()
            self.G.insert(-1, self.scale * G.to(self.G[0]))

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        window = self.network.unroll(x, self.state)
        self.state = detached(window.state)
        for z, G in zip(window.spikes[:-1], self.G, strict=False):
            self.loss_of(z @ G.t(), target, "end").backward(retain_graph=True)
        loss = self.loss_of(window.outputs, target, "end")
        loss.backward()
        self.update()
        return loss.detach()
