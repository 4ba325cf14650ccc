"""An online rule for any small network: `throughtime run SUITE.yaml --plugin docs/examples/uoro.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vjp, vmap

from throughtime import algorithm
from throughtime.algorithms.base import Claims, LearningRule, output_error
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.numerics.trees import mapped, tensors

TINY = 1e-7
"""Constant that keeps both scales finite where one side of the product is 0."""


@algorithm("uoro")
class UORO(LearningRule):
    """Unbiased online recurrent optimisation: RTRL's Jacobian M as a product of two vectors, drawn at random.

        s̃_t = ρ₀ (∂s_t/∂s_{t−1}) s̃_{t−1} + ρ₁ ν,     θ̃_t = θ̃_{t−1} / ρ₀ + νᵀ (∂s_t/∂θ) / ρ₁,     E[s̃_t θ̃_t] = M_t
        ρ₀² = ‖θ̃_{t−1}‖ / ‖(∂s_t/∂s_{t−1}) s̃_{t−1}‖,     ρ₁² = ‖νᵀ ∂s_t/∂θ‖ / ‖ν‖,     ν_i = ±1
        dE/dθ ≈ Σ_t (∂l_t/∂s_{t−1} · s̃_{t−1}) θ̃_{t−1} + ∂l_t/∂θ

    s is the whole state of the network, for each sample. The gradient is a random estimate, and BPTT's is its mean; the
    error of a mean over n sequences decreases with √n. Memory O(1) in T: batch × parameters. Time: as many backward
    passes per step as state variables, because spikes have no derivative in forward mode. Source: Tallec and Ollivier
    2017, algorithm 1, with norms for each sample.

    Args:
        loss_at: `end`: E = l_T; `every`: the mean over all steps.
    """

    claims = Claims(gradient="approximate", memory="O(1)")

    def __init__(self, *, loss_at: Literal["end", "every"] = "end") -> None:
        self.loss_at = loss_at

    def window(self, steps: int) -> int:
        return 1

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        return "batch normalisation makes samples depend on each other" if network.mixes_samples else None

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.θ: dict[str, Tensor] = {name: p for name, p in network.named_parameters() if p.requires_grad}

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        s = torch.cat(tensors(self.state), 1)
        self.s̃ = torch.zeros_like(s)
        self.θ̃ = s.new_zeros(batch, sum(p.numel() for p in self.θ.values()))

    @torch.no_grad()
    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor | None:
        s, template = torch.cat(tensors(self.state), 1), mapped(lambda part: part[:1], self.state)
        widths = [part.shape[1] for part in tensors(template)]
        step, self.state = self.network(x[0], self.state)
        last, loss = t + 1 == self.steps, None
        δ = torch.zeros_like(step.output)
        if last or self.loss_at == "every" or self.task.per_step:
            loss, (δ,) = output_error(self.task, step.output[None], target)
            δ = δ if self.loss_at == "end" and not self.task.per_step else δ / self.steps

        def advance(θ: dict[str, Tensor], s: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
            """Compute the next state and output of one sample."""
            parts = iter(s.split(widths))
            shown, after = functional_call(self.network, θ, (x_t[None], mapped(lambda _: next(parts)[None], template)))
            return torch.cat([part[0] for part in tensors(after)]), shown.output[0]

        def of_sample(s: Tensor, x_t: Tensor, ν: Tensor, δ: Tensor) -> tuple[Tensor, ...]:
            """Compute ∂l/∂s_{t−1}, ∂l/∂θ and νᵀ ∂s_t/∂θ."""
            (_, y), pulled = vjp(lambda θ, s: advance(θ, s, x_t), self.θ, s)[:2]
            of_loss, by_s = pulled((torch.zeros_like(s), δ))
            of_state, _ = pulled((ν, torch.zeros_like(y)))
            return by_s, *(torch.cat([g[name].flatten() for name in self.θ]) for g in (of_loss, of_state))

        ν = torch.randint(2, s.shape).to(s) * 2 - 1  # drawn on the processor: the same numbers on every device
        l_s, l_θ, νθ = vmap(of_sample)(s, x[0], ν, δ)
        self._accumulate(((l_s * self.s̃).sum(1, keepdim=True) * self.θ̃ + l_θ).sum(0))

        by_s = vmap(jacrev(lambda s, x_t: advance(self.θ, s, x_t)[0]))(s, x[0])
        moved = torch.einsum("bij,bj->bi", by_s, self.s̃)
        ρ0, ρ1 = balance(self.θ̃, moved), balance(νθ, ν)
        self.s̃ = ρ0 * moved + ρ1 * ν
        self.θ̃ = self.θ̃ / ρ0 + νθ / ρ1
        if last:
            self.update()
        return loss

    def end(self) -> None:
        super().end()
        del self.s̃, self.θ̃

    def _accumulate(self, gradient: Tensor) -> None:
        for p, g in zip(self.θ.values(), gradient.split([p.numel() for p in self.θ.values()]), strict=True):
            p.grad = g.view_as(p).clone() if p.grad is None else p.grad.add_(g.view_as(p))


def balance(by_parameters: Tensor, by_state: Tensor) -> Tensor:
    """Return ρ of each sample, with which both sides of the product have equal norms and its variance is smallest."""
    norms = [side.norm(dim=1, keepdim=True) for side in (by_parameters, by_state)]
    return (norms[0] / (norms[1] + TINY)).sqrt() + TINY
