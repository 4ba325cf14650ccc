"""Kronecker-factored real-time recurrent learning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from throughtime.algorithms.base import FORWARD_AND_BACKWARD, Claims
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.influence.influence import flat
from throughtime.algorithms.influence.one_layer import OneLayer, reason_against
from throughtime.algorithms.influence.random_signs import RandomSigns, balance, norms
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.products import Product, backward_products
from throughtime.registry import algorithm


@algorithm("kf_rtrl")
class KFRTRL(RandomSigns):
    """Kronecker-factored real-time recurrent learning: the influence of W and R as a product A ⊗ B, with random signs.

        p_t = (x_t, z_{t−1}, 1),     D_t = ∂s_t/∂I_t,     ∂s_t/∂(W, R, c) = p_t ⊗ D_t
        A_t = ν₀ ρ₀ A_{t−1} + ν₁ ρ₁ p_t,     B_t = (ν₀/ρ₀) J_t B_{t−1} + (ν₁/ρ₁) D_t,     E[A_t ⊗ B_t] = M_t
        ρ₀² = ‖J_t B_{t−1}‖ / ‖A_{t−1}‖,     ρ₁² = ‖D_t‖ / ‖p_t‖,     J_t = ∂s_t/∂s_{t−1}
        ν₀, ν₁ = ±1,     A_0 = B_0 = 0
        dE/d(W, R, c) ≈ Σ_t ((∂E_t/∂s_{t−1}) B_{t−1}) ⊗ A_{t−1} + (∂E_t/∂I_t) ⊗ p_t,     E_t = l_t/T, or E_T = l_T alone

    s is the state of the layer and the output of the readout. The gradient is a random estimate whose mean is BPTT's
    gradient, with less variance than that of UORO; the gradient of the readout is exact. Norms and signs are those of
    each sample. One layer, W x + R z into neurons without parameters of their own. With S state variables, N neurons
    and r draws, memory is O(1) in T, r × batch × S × N numbers, and batch × S² more without a closed form; time is O(r
    × batch × N³) per step where the derivatives have a closed form, else O(r × batch × S² × N). Source: Mujika, Meier
    and Steger 2018, algorithm 1.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
        draws: r, the number of independent estimates, of which the gradient is the mean.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("kf_rtrl", draws=4)
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Mujika, Meier and Steger 2018: https://doi.org/10.48550/arXiv.1805.10842
    """

    claims = Claims(gradient="approximate", memory="O(1)")
    cost = Cost(time="D B T S² N", memory="D B S N + B S²")

    def coordinates(self) -> Coordinates:
        return Coordinates("Kronecker", "J", "all", "instantaneous", "κ", self.update_every or "end")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps):
            return reason
        return reason_against(network)

    def sizes(self, network: Network, batch: int, steps: int) -> dict[str, int]:
        return super().sizes(network, batch, steps) | {"N": network.layers[0].neuron.size}

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        sizes, layer, copies = self.sizes(network, batch, steps), OneLayer(network), self.draws * batch
        S, N, currents = sizes["S"], sizes["N"], layer.W.out_features
        products = backward_products(network, [1] * self.losses(steps), batch, self.losses)
        outputs = layer.readout.linear.out_features
        rows = [(N, N), (outputs, N)] if layer.has_closed_form else [(S, S)]
        # B is 0 before the first step.
        products += Counter({Product(m, k, currents, copies): steps - 1 for m, k in rows})
        contains = f"{FORWARD_AND_BACKWARD} in each step with a loss, and J B of each sample and draw"
        return Credit(+products, contains, self.updates(steps))

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.one_layer = OneLayer(network)

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        like = flat(self.state)
        W, R = self.one_layer.W, self.one_layer.R
        self.A = like.new_zeros(self.draws, batch, W.in_features + R.in_features + 1)
        self.B = like.new_zeros(self.draws, *like.shape, W.out_features)
        self.o_filtered = like.new_zeros(batch, R.in_features + 1)

    def carry(self, x: Tensor, after: Any, δ: Tensor | None) -> dict[str, Tensor]:
        layer = self.one_layer
        p, o = layer.reads(x, self.state, after)
        self.o_filtered = torch.lerp(o, self.o_filtered, layer.κ)
        D, JB = self._in_closed_form(x, after) if layer.has_closed_form else self._differentiated(x)
        gradients: dict[str, Tensor] = {}
        if δ is not None:
            l_I, l_B = (torch.einsum("bo,...bok->...bk", δ, by[..., -δ.shape[1] :, :]) for by in (D, JB))
            through_time = torch.einsum("rbk,rbf->kf", l_B, self.A) / self.draws
            gradients = layer.by_name(through_time + l_I.t() @ p, δ.t() @ self.o_filtered)
        S = self.B.shape[2]
        D, JB = D[:, :S].expand_as(self.B), JB[:, :, :S]
        ν0, ν1 = self.signs(2, self.draws, len(x)).to(x)
        ρ0, ρ1 = balance(norms(JB), norms(self.A)), balance(norms(D), norms(p.expand_as(self.A)))
        self.A = (ν0 * ρ0)[..., None] * self.A + (ν1 * ρ1)[..., None] * p
        self.B = (ν0 / ρ0)[..., None, None] * JB + (ν1 / ρ1)[..., None, None] * D
        return gradients

    def _in_closed_form(self, x: Tensor, after: Any) -> tuple[Tensor, Tensor]:
        """Return D_t [batch, S, size] and J_t B [draws, batch, S, size]; the last rows are those of the output y_t."""
        layer = self.one_layer
        step = layer.derivatives(x, self.state, after)
        return layer.from_current(step, x), layer.along(step, self.B)

    def _differentiated(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same by automatic differentiation, with further rows for the output."""
        W = self.one_layer.W
        name = self.one_layer.names[W.bias]

        def step(c: Tensor, s: Tensor, x: Tensor) -> Tensor:
            return torch.cat(self.step({name: c}, s, x))

        D, J = vmap(jacrev(step, argnums=(0, 1)), in_dims=(None, 0, 0))(W.bias, flat(self.state), x)
        return D, J @ self.B

    def end(self) -> None:
        super().end()
        del self.A, self.B, self.o_filtered
