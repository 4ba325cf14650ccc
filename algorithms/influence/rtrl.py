"""Real-time recurrent learning: the exact gradient, carried forward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from throughtime.algorithms.base import Claims
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.influence.influence import InfluenceRule, flat
from throughtime.algorithms.influence.one_layer import OneLayer, identities
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.products import Product
from throughtime.registry import algorithm

LARGEST = 1_000_000
"""Largest number of state variables × parameters per sample that the rule supports."""


@algorithm("rtrl")
class RTRL(InfluenceRule):
    """Real-time recurrent learning: the derivative of each state variable by each parameter, carried forward in time.

        M^t = (∂s_t/∂s_{t−1}) M^{t−1} + ∂s_t/∂θ,      M^0 = 0
        dE/dθ = Σ_t (∂E/∂y_t) ((∂y_t/∂s_{t−1}) M^{t−1} + ∂y_t/∂θ),      E = l_T  or  (1/T) Σ_t l_t

    s is the whole state of the network, of all layers and the readout. No term is dropped: the gradient equals that of
    BPTT and is known at every step. The online reference for other rules, for small networks. After an update M goes
    on, with derivatives at older weights. The derivatives of a step come from the equations of the neurons where the
    network is one layer with a readout (`one_layer.py`), and by automatic differentiation elsewhere. With S state
    variables and P parameters, memory is O(1) in T, batch × S × P numbers; time is O(batch × S² × P) per step. Source:
    Williams and Zipser 1989.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("rtrl")
        >>> rule.claims.gradient, rule.claims.memory
        ('exact', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Williams and Zipser 1989: https://doi.org/10.1162/neco.1989.1.2.270
    """

    claims = Claims(gradient="exact", memory="O(1)")
    cost = Cost(time="B T S² P", memory="B S P")

    def coordinates(self) -> Coordinates:
        return Coordinates("full", "J", "all", "instantaneous", "none", self.update_every or "end")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps):
            return reason
        sizes = self.sizes(network, 1, steps)
        S, P = sizes["S"], sizes["P"]
        if S * P > LARGEST:
            return (
                f"{S} state variables x {P} parameters exceed {LARGEST} numbers per sample; rtrl is for small networks"
            )
        return None

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        sizes = self.sizes(network, batch, steps)
        S, P = sizes["S"], sizes["P"]
        products = Counter({Product(S, S, P, copies=batch): steps - 1})  # M is 0 before the first step
        return Credit(+products, "dense products forward, and J M of each sample", self.updates(steps))

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.one_layer = OneLayer.from_network(network)

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        self.M: Tensor | None = None

    def carry(self, x: Tensor, after: Any, δ: Tensor | None) -> dict[str, Tensor]:
        if self.one_layer is not None:
            self.M = self._in_closed_form(self.one_layer, x, after)
            # The output is y_t, the last variables of the state.
            return {} if δ is None else self.by_name(torch.einsum("bo,bop->p", δ, self.M[:, -δ.shape[1] :]))
        D, by_s = self._differentiated(x)
        if self.M is not None:
            D = D + by_s @ self.M
        S = by_s.shape[2]
        self.M = D[:, :S].clone()  # a view would also keep the rows of the output in memory
        return {} if δ is None else self.by_name(torch.einsum("bo,bop->p", δ, D[:, S:]))

    def _in_closed_form(self, layer: OneLayer, x: Tensor, after: Any) -> Tensor:
        """Return M_t of one layer. ∂s_t/∂θ is a product of two factors, and is added without being in memory."""
        p, o = layer.reads(x, self.state, after)
        step, sizes = layer.derivatives(x, self.state, after), [w.numel() for w in self.θ.values()]
        n, outputs = layer.W.out_features, layer.readout.linear.out_features
        D = layer.from_current(step, x)
        S = D.shape[1]
        J = layer.along(step, identities(len(x), S, x))
        M = J.new_zeros(len(x), S, sum(sizes)) if self.M is None else J @ self.M
        by_drive = D.new_zeros(len(x), S, outputs)
        by_drive[:, S - outputs :].diagonal(dim1=1, dim2=2).fill_(1 - layer.κ)
        gradient = layer.by_name(
            D[..., None].expand(-1, -1, -1, p.shape[1]), by_drive[..., None].expand(-1, -1, -1, o.shape[1])
        )
        read = layer.by_name(p[:, None, None].expand(-1, 1, n, -1), o[:, None, None].expand(-1, 1, outputs, -1))
        for (name, w), part in zip(self.θ.items(), M.split(sizes, 2), strict=True):
            part.unflatten(2, w.shape).addcmul_(gradient[name], read[name])
        return M

    def _differentiated(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ∂(s_t, y_t)/∂θ, [batch, S + outputs, P], and ∂(s_t, y_t)/∂s_{t−1}, [batch, S + outputs, S]."""

        def step(θ: dict[str, Tensor], s: Tensor, x: Tensor) -> Tensor:
            return torch.cat(self.step(θ, s, x))

        by_θ, by_s = vmap(jacrev(step, argnums=(0, 1)), in_dims=(None, 0, 0))(self.θ, flat(self.state), x)
        return torch.cat([by_θ[name].reshape(*by_s.shape[:2], -1) for name in self.θ], 2), by_s

    def end(self) -> None:
        super().end()
        del self.M
