"""Unbiased online recurrent optimisation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp, vmap

from throughtime.algorithms.base import FORWARD_AND_BACKWARD, Claims
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.influence.influence import flat
from throughtime.algorithms.influence.one_layer import OneLayer
from throughtime.algorithms.influence.random_signs import RandomSigns, balance
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.products import backward_products
from throughtime.registry import algorithm


@algorithm("uoro")
class UORO(RandomSigns):
    """Unbiased online recurrent optimisation: the influence as a product of two vectors, with random signs.

        s̃_t = ρ₀ (∂s_t/∂s_{t−1}) s̃_{t−1} + ρ₁ ν,     θ̃_t = θ̃_{t−1} / ρ₀ + νᵀ (∂s_t/∂θ) / ρ₁,     E[s̃_t θ̃_t] = M_t
        ρ₀² = ‖θ̃_{t−1}‖ / ‖(∂s_t/∂s_{t−1}) s̃_{t−1}‖,     ρ₁² = ‖νᵀ ∂s_t/∂θ‖ / ‖ν‖,     ν_i = ±1,     s̃_0 = 0, θ̃_0 = 0
        dE/dθ ≈ Σ_t (∂l_t/∂s_{t−1} · s̃_{t−1}) θ̃_{t−1} + ∂l_t/∂θ

    The gradient is a random estimate whose mean is BPTT's gradient, for any network. Norms and signs are those of each
    sample. Spikes have no derivative in forward mode, so that (∂s_t/∂s_{t−1}) s̃_{t−1} is the derivative of a backward
    pass. With P parameters and r draws, memory is O(1) in T, r × batch × P numbers; time is O(r × batch × P) per step,
    that of a few backward passes. Source: Tallec and Ollivier 2017, algorithm 1, with norms of each sample.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
        draws: r, the number of independent estimates, of which the gradient is the mean.

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
        passes = self.losses(steps) + 2 * self.draws * steps
        products = backward_products(network, [1] * passes, batch, self.losses)
        numbers = self.draws * batch * self.sizes(network, batch, steps)["P"]
        like = next(network.parameters())
        contains = f"{FORWARD_AND_BACKWARD} in each step, twice for each draw, and once for each loss"
        return Credit(products, contains, self.updates(steps), numbers * like.itemsize)

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.one_layer = OneLayer.from_network(network)

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        like = flat(self.state)
        self.s̃ = like.new_zeros(self.draws, *like.shape)
        self.θ̃ = like.new_zeros(self.draws, batch, sum(p.numel() for p in self.θ.values()))

    def carry(self, x: Tensor, after: Any, δ: Tensor | None) -> dict[str, Tensor]:
        ν, layer = self.signs(*self.s̃.shape).to(self.s̃), self.one_layer
        derivatives = self._differentiated if layer is None else partial(self._in_closed_form, layer)
        νI, Js̃, l_s, l_θ = derivatives(x, after, ν, δ)
        gradient: dict[str, Tensor] = {}
        if l_s is not None and l_θ is not None:
            through_time = ((self.s̃ * l_s).sum(2, keepdim=True) * self.θ̃).mean(0)
            gradient = self.by_name((through_time + l_θ).sum(0))
        ρ0, ρ1 = (ρ[..., None] for ρ in (balance(self.θ̃, Js̃), balance(νI, ν)))
        self.s̃ = ρ0 * Js̃ + ρ1 * ν
        self.θ̃ = self.θ̃ / ρ0 + νI / ρ1
        return gradient

    def _in_closed_form(
        self, layer: OneLayer, x: Tensor, after: Any, ν: Tensor, δ: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return what `_differentiated` returns, for one layer."""
        p, o = layer.reads(x, self.state, after)
        by_s, by_current = layer.jacobian(x, self.state, after)
        S, outputs = by_s.shape[2], by_s.shape[1] - by_s.shape[2]
        Js̃ = torch.einsum("bsq,rbq->rbs", by_s[:, :S], self.s̃)
        l_s = None if δ is None else torch.einsum("bo,bos->bs", δ, by_s[:, S:])
        del by_s  # before the derivatives by θ, which are as large

        def by_θ(u: Tensor, rows: slice) -> Tensor:
            """Return the derivative by θ, [..., batch, P], of the sum of some rows with weights u; the last are y_t."""
            by_I = torch.einsum("...bs,bsk->...bk", u, by_current[:, rows])
            by_drive = (1 - layer.κ) * u[..., -outputs:]
            named = layer.by_name(by_I[..., None] * p[:, None], by_drive[..., None] * o[:, None])
            return torch.cat([named[name].flatten(u.dim() - 1) for name in self.θ], -1)

        return by_θ(ν, slice(S)), Js̃, l_s, None if δ is None else by_θ(δ, slice(S, None))

    def _differentiated(
        self, x: Tensor, after: Any, ν: Tensor, δ: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return νᵀ ∂s_t/∂θ [draws, batch, P], J s̃ [draws, batch, S], and of the loss ∂l/∂s_{t−1} [batch, S] and
        ∂l/∂θ [batch, P]; None for these if the step has no loss."""
        s = flat(self.state)
        l_s, l_θ = (None, None) if δ is None else vmap(self._loss_derivatives)(s, x, δ)
        νI, Js̃ = vmap(self._state_products, in_dims=(0, 0, 1, 1), out_dims=1)(s, x, ν, self.s̃)
        return νI, Js̃, l_s, l_θ

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
        del self.s̃, self.θ̃
