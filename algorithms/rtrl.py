"""Real-time recurrent learning: the exact gradient, carried forward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from throughtime.algorithms.base import Claims, LearningRule, LossAt, output_error
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.products import Product
from throughtime.numerics.trees import Tree, mapped, tensors
from throughtime.registry import algorithm

LARGEST = 1_000_000
"""Largest number of state variables × parameters per sample that the rule supports."""


@algorithm("rtrl")
class RTRL(LearningRule):
    """Real-time recurrent learning: the derivative of each state variable by each parameter, carried forward in time.

        M^t = (∂s_t/∂s_{t−1}) M^{t−1} + ∂s_t/∂θ,      M^0 = 0
        dE/dθ = Σ_t (∂E/∂y_t) ((∂y_t/∂s_{t−1}) M^{t−1} + ∂y_t/∂θ),      E = l_T  or  (1/T) Σ_t l_t

    s is the whole state of the network, of all layers and the readout. No term is dropped: the gradient equals that of
    BPTT and is known at every step. The online reference for other rules, for small networks. There is one update per
    sequence. With S state variables and P parameters, memory is O(1) in T, batch × S × P numbers; time is
    O(batch × S² × P) per step. Source: Williams and Zipser 1989.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.
    """

    claims = Claims(gradient="exact", memory="O(1)")
    cost = Cost(time="B T S² P", memory="B S P")

    def __init__(self, *, loss_at: LossAt = "end") -> None:
        self.loss_at = loss_at

    def coordinates(self) -> Coordinates:
        return Coordinates("full", "J", "all", "instantaneous", "none", "end")

    def window(self, steps: int) -> int:
        return 1

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if network.mixes_samples:
            return "batch normalisation makes a sample's state depend on the other samples"
        S = sum(s.shape[1] for s in tensors(network.initial_state(1)))
        P = sum(p.numel() for p in network.parameters() if p.requires_grad)
        if S * P > LARGEST:
            return (
                f"{S} state variables x {P} parameters exceed {LARGEST} numbers per sample; rtrl is for small networks"
            )
        return None

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        with torch.random.fork_rng(devices=[]):
            S = sum(s.shape[1] for s in tensors(network.initial_state(1)))
        P = sum(p.numel() for p in network.parameters() if p.requires_grad)
        products = Counter({Product(S, S, P, copies=batch): steps - 1})  # M is 0 before the first step
        return Credit(+products, "dense products forward, and J M of each sample")

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.θ = {name: p for name, p in network.named_parameters() if p.requires_grad}

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        self.M: Tensor | None = None

    @torch.no_grad()
    def learn(self, x: Tensor, target: Tree, t: int) -> Tensor | None:
        template = mapped(lambda s: s[:1], self.state)

        def step(θ: dict[str, Tensor], s: Tensor, x_t: Tensor) -> Tensor:
            """Return the state of one sample after the step, concatenated with its outputs."""
            parts = iter(s.split([part.shape[1] for part in tensors(template)]))
            state = mapped(lambda _: next(parts)[None], template)
            shown, after = functional_call(self.network, θ, (x_t[None], state))
            return torch.cat([part[0] for part in tensors((after, shown.output))])

        s = torch.cat(tensors(self.state), 1)
        by_θ, by_s = vmap(jacrev(step, argnums=(0, 1)), in_dims=(None, 0, 0))(self.θ, s, x[0])
        D = torch.cat([by_θ[name].reshape(*by_s.shape[:2], -1) for name in self.θ], 2)
        if self.M is not None:
            D = D + by_s @ self.M
        S = s.shape[1]
        self.M = D[:, :S].clone()  # a view would also keep the rows of the output in memory
        shown, self.state = self.network(x[0], self.state)

        last, every = t + 1 == self.steps, self.loss_at == "every" or self.task.per_step
        if not last and not every:
            return None
        loss, δ_of = output_error(self.task, mapped(lambda y: y[None], shown.output), target)
        δ = torch.cat([part[0] for part in tensors(δ_of)], 1)
        self._accumulate(torch.einsum("bo,bop->p", δ / self.steps if every else δ, D[:, S:]))
        if last:
            self.update()
        return loss

    def end(self) -> None:
        super().end()
        del self.M

    def _accumulate(self, gradient: Tensor) -> None:
        for p, g in zip(self.θ.values(), gradient.split([p.numel() for p in self.θ.values()]), strict=True):
            p.grad = g.view_as(p).clone() if p.grad is None else p.grad.add_(g.view_as(p))
