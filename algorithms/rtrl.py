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
from throughtime.algorithms.influence import InfluenceRule, flat
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
    on, with derivatives at older weights. With S state variables and P parameters, memory is O(1) in T, batch × S × P
    numbers; time is O(batch × S² × P) per step. Source: Williams and Zipser 1989.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
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

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        self.M: Tensor | None = None

    def carry(self, x: Tensor, after: Any, δ: Tensor | None) -> dict[str, Tensor]:
        s = flat(self.state)

        def step(θ: dict[str, Tensor], s: Tensor, x: Tensor) -> Tensor:
            return torch.cat(self.step(θ, s, x))

        by_θ, by_s = vmap(jacrev(step, argnums=(0, 1)), in_dims=(None, 0, 0))(self.θ, s, x)
        D = torch.cat([by_θ[name].reshape(*by_s.shape[:2], -1) for name in self.θ], 2)
        if self.M is not None:
            D = D + by_s @ self.M
        S = s.shape[1]
        self.M = D[:, :S].clone()  # a view would also keep the rows of the output in memory
        return {} if δ is None else self.by_name(torch.einsum("bo,bop->p", δ, D[:, S:]))

    def end(self) -> None:
        super().end()
        del self.M
