"""Unbiased online recurrent optimisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vjp, vmap

from throughtime.algorithms.base import FORWARD_AND_BACKWARD, Claims
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.influence.influence import flat
from throughtime.algorithms.influence.one_layer import OneLayer
from throughtime.algorithms.influence.random_signs import RandomSigns, balance, norms
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.products import Product, backward_products
from throughtime.numerics.rank_one import advance
from throughtime.registry import algorithm


@algorithm("uoro")
class UORO(RandomSigns):
    """Unbiased online recurrent optimisation: the influence as a product of two vectors, with random signs.

        s̃_t = ρ₀ (∂s_t/∂s_{t−1}) s̃_{t−1} + ρ₁ ν,     θ̃_t = θ̃_{t−1} / ρ₀ + νᵀ (∂s_t/∂θ) / ρ₁,     E[s̃_t θ̃_t] = M_t
        ρ₀² = ‖θ̃_{t−1}‖ / ‖(∂s_t/∂s_{t−1}) s̃_{t−1}‖,     ρ₁² = ‖νᵀ ∂s_t/∂θ‖ / ‖ν‖,     ν_i = ±1,     s̃_0 = 0, θ̃_0 = 0
        dE/dθ ≈ Σ_t (∂E_t/∂s_{t−1} · s̃_{t−1}) θ̃_{t−1} + ∂E_t/∂θ,     E_t = l_t/T, or E_T = l_T alone

    The gradient is a random estimate whose mean is BPTT's gradient, for any network. Norms and signs are those of each
    sample. Spikes have no derivative in forward mode, so that (∂s_t/∂s_{t−1}) s̃_{t−1} is the derivative of a backward
    pass. With P parameters and r draws, memory is O(1) in T, r × batch × P numbers; time is O(r × batch × P) per step,
    that of a few backward passes. Source: Tallec and Ollivier 2017, algorithm 1, with norms of each sample.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
        draws: r, the number of independent estimates, of which the gradient is the mean.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("uoro", draws=4)
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Tallec and Ollivier 2017: https://doi.org/10.48550/arXiv.1702.05043
    """

    claims = Claims(gradient="approximate", memory="O(1)")
    cost = Cost(time="D B T P", memory="D B P")

    def coordinates(self) -> Coordinates:
        return Coordinates("rank one", "J", "all", "instantaneous", "none", self.update_every or "end")

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        rows, layer = self.draws * batch, _one_layer(network)
        products = backward_products(network, [1] * self.losses(steps), batch, self.losses)
        contains = "forward and backward of each step with a loss, and of each step and draw R z̃ and two of the readout"
        if layer is None:
            products += backward_products(network, [1] * 2 * self.draws * steps, batch, self.losses)
            contains = f"{FORWARD_AND_BACKWARD} in each step, twice for each draw, and once for each loss"
        else:
            _, (outputs, read) = layer.map_shapes
            N = read - 1
            products[Product(rows, N, N)] += steps - 1  # s̃ is 0 before the first step
            products[Product(rows, N, outputs)] += steps
            products[Product(rows, outputs, N)] += steps
        numbers, itemsize = rows * self.sizes(network, batch, steps)["P"], next(network.parameters()).itemsize
        return Credit(+products, contains, self.updates(steps), numbers * itemsize, carries=steps - 1)

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.one_layer = _one_layer(network)

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        like, layer = flat(self.state), self.one_layer
        shapes = [(1, sum(p.numel() for p in self.θ.values()))] if layer is None else layer.map_shapes
        self.s̃ = like.new_zeros(self.draws, *like.shape)
        self.θ̃ = [like.new_zeros(self.draws * batch, *shape) for shape in shapes]
        self.θ̃_norm = like.new_zeros(self.draws, batch)

    def carry(self, x: Tensor, after: Any, δ: Tensor | None) -> dict[str, Tensor]:
        ν, layer = self.signs(*self.s̃.shape).to(self.s̃), self.one_layer
        step = self._differentiated(x, ν, δ) if layer is None else self._in_closed_form(layer, x, after, ν, δ)
        νI_norm = _joint_norm([norms(u) * norms(p) for u, p in step.instant])
        ρ0, ρ1 = balance(self.θ̃_norm, norms(step.Js̃)), balance(νI_norm, norms(ν))
        decay, gain, weight = (a.flatten() for a in (1 / ρ0, 1 / ρ1, step.along_loss / self.draws))
        advanced = [
            advance(θ̃, decay, gain, u.flatten(0, 1), p.flatten(0, 1).contiguous(), weight)
            for θ̃, (u, p) in zip(self.θ̃, step.instant, strict=True)
        ]
        self.s̃ = ρ0[..., None] * step.Js̃ + ρ1[..., None] * ν
        self.θ̃_norm = _joint_norm([norm.view_as(ρ0) for _, norm in advanced])
        if not step.by_θ:
            return {}
        gradients = [through_time + direct for (through_time, _), direct in zip(advanced, step.by_θ, strict=True)]
        return self.by_name(gradients[0][0]) if layer is None else layer.by_name(*gradients)

    def _in_closed_form(self, layer: OneLayer, x: Tensor, after: Any, ν: Tensor, δ: Tensor | None) -> _Step:
        """Return the derivatives of a step of one layer; θ has two maps, (W, R, c) and that of the readout."""
        p, o = layer.reads(x, self.state, after)
        d, outputs = layer.derivatives(x, self.state, after), after.y.shape[1]
        Js̃, κ = layer.along(d, self.s̃.mT, in_columns=True).mT, layer.κ
        νI = [(layer.back_to_current(d, ν), p), ((1 - κ) * ν[..., -outputs:], o)]
        νI = [(u, read.expand(self.draws, *read.shape)) for u, read in νI]
        if δ is None:
            return _Step(νI, Js̃, torch.zeros_like(Js̃[..., 0]), [])
        by_I = layer.back_to_current(d, F.pad(δ, (Js̃.shape[-1] - outputs, 0)))
        return _Step(νI, Js̃, (δ * Js̃[..., -outputs:]).sum(-1), [by_I.t() @ p, (1 - κ) * δ.t() @ o])

    def _differentiated(self, x: Tensor, ν: Tensor, δ: Tensor | None) -> _Step:
        """Return the derivatives of a step of any network; θ is one vector, as a matrix of one row."""
        s = flat(self.state)
        νI, Js̃ = vmap(self._state_products, in_dims=(0, 0, 1, 1), out_dims=1)(s, x, ν, self.s̃)
        along_loss, by_θ = torch.zeros_like(Js̃[..., 0]), []
        if δ is not None:
            l_s, l_θ = vmap(self._loss_derivatives)(s, x, δ)
            along_loss, by_θ = (self.s̃ * l_s).sum(2), [l_θ.sum(0, keepdim=True)]
        return _Step([(torch.ones_like(νI[..., :1]), νI)], Js̃, along_loss, by_θ)

    def _loss_derivatives(self, s: Tensor, x: Tensor, δ: Tensor) -> tuple[Tensor, Tensor]:
        """Return ∂l/∂s_{t−1} [S] and ∂l/∂θ [P] of one sample."""
        (after, _), pull, *_ = vjp(lambda θ, s: self.step(θ, s, x), self.θ, s)
        l_θ, l_s = pull((torch.zeros_like(after), δ))
        return l_s, self._joined(l_θ)

    def _state_products(self, s: Tensor, x: Tensor, ν: Tensor, s̃: Tensor) -> tuple[Tensor, Tensor]:
        """Return νᵀ ∂s_t/∂θ [draws, P] and (∂s_t/∂s_{t−1}) s̃ [draws, S] of one sample, for ν and s̃ [draws, S]."""
        after, pull, *_ = vjp(lambda θ, s: self.step(θ, s, x)[0], self.θ, s)
        _, push, *_ = vjp(lambda u: pull(u)[1], torch.zeros_like(after))
        return vmap(lambda ν: self._joined(pull(ν)[0]))(ν), vmap(lambda s̃: push(s̃)[0])(s̃)

    def _joined(self, gradients: dict[str, Tensor]) -> Tensor:
        return torch.cat([gradients[name].flatten() for name in self.θ])

    def end(self) -> None:
        super().end()
        del self.s̃, self.θ̃, self.θ̃_norm


class _Step(NamedTuple):
    """Derivatives of a step, for each draw and sample."""

    instant: list[tuple[Tensor, Tensor]]
    """νᵀ ∂s_t/∂θ, for each matrix of θ as the product of u [draws, batch, rows] and p [draws, batch, columns]."""
    Js̃: Tensor
    """(∂s_t/∂s_{t−1}) s̃_{t−1}, [draws, batch, S]."""
    along_loss: Tensor
    """∂E_t/∂s_{t−1} · s̃_{t−1}, [draws, batch]; 0 if the step has no loss."""
    by_θ: list[Tensor]
    """∂E_t/∂θ, the sum over the batch for each matrix of θ; none if the step has no loss."""


def _one_layer(network: Network) -> OneLayer | None:
    """Return the network as one layer, each of whose two maps has trained parameters alone; None if it is not one."""
    layer = OneLayer.from_network(network)
    return layer if layer is not None and layer.is_one_to_one else None


def _joint_norm(parts: list[Tensor]) -> Tensor:
    """Return the norm of a vector from those of its parts."""
    return torch.stack(parts).norm(dim=0)
