"""Forward propagation through time."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from throughtime.algorithms.base import Claims, LearningRule, Learnt
from throughtime.algorithms.tbptt import ramp
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.registry import algorithm


@algorithm("fptt")
class FPTT(LearningRule):
    """Forward propagation through time: an update at each of K parts, held near a running mean of the weights.

        dynamic loss of part p       (p+1)/K · ℓ_p(W) + R(W),    R(W) = (α/2) ‖W − W̄‖² − ⟨W, λ⟩
        after the optimiser's step   λ ← λ − α (W − W̄)
                                     W̄ ← (1−β) W̄ + β W − (β/α) λ      (the new λ)
        at the end of an epoch       W ← W̄

    The state at the start of a part is held constant, so credit runs back T/K steps at most; what reaches further is
    left to R. At K = T a part is one step, at K = 1 the gradient is BPTT's. Without R it is truncated BPTT with the
    same windows and weights. Time O(T) and K updates a sequence; memory O(T/K), and two more copies of the weights.
    Source: Kag and Saligrama 2021; the arithmetic is that of the code of Kag and of Yin, Corradi and Bohte 2023, whose
    printed equation has λ/2 in place of λ.

    Args:
        parts: K, such that T can be cut into K windows of ceil(T/K) steps, the last one shorter; null: K = T.
        alpha: α, strength of the regulariser.
        beta: β, how fast the mean follows. At 0.5 the old mean cancels: W̄ = W − λ/(2α), λ the one before the update.
        regulariser: whether R is there; without it `W ← W̄` does not happen either.
        adopt_mean: whether W ← W̄ at the end of an epoch.
        weights: of part p: `ramp`, (p+1)/K; `authors`, the p + 1/K of their adding-task script.
        last_part: whether the last part is trained on; the authors' adding-task loop stops one part short of the end.
    """

    claims = Claims(gradient="truncated", memory="O(K)")

    def __init__(
        self,
        *,
        parts: PositiveInt | None = None,
        alpha: PositiveFloat = 0.1,
        beta: PositiveFloat = 0.5,
        regulariser: bool = True,
        adopt_mean: bool = True,
        weights: Literal["ramp", "authors"] = "ramp",
        last_part: bool = True,
    ) -> None:
        self.parts, self.alpha, self.beta = parts, alpha, beta
        self.regulariser, self.adopt_mean = regulariser, adopt_mean
        self.weights, self.last_part = weights, last_part

    def window(self, steps: int) -> int:
        return -(-steps // min(self.parts or steps, steps))

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        cut = -(-steps // self.window(steps))
        if self.parts and cut != self.parts:
            return f"{steps} steps cannot be cut into {self.parts} parts: windows of {self.window(steps)} make {cut}"
        return None

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.W = [p for p in network.parameters() if p.requires_grad] if self.regulariser else []
        self.mean = [p.detach().clone() for p in self.W]
        self.lam = [torch.zeros_like(p) for p in self.W]

    def learn(self, x: Tensor, target: Tensor, t: int) -> Learnt:
        if t + len(x) == self.steps and not self.last_part:
            with torch.no_grad():
                _, window = self.window_loss(x, target, "end")
            return Learnt(window.outputs[-1], None)
        loss, window = self.window_loss(x, target, "end")
        loss = loss * self._weight(t)
        loss.backward()
        self._add_regulariser_gradient()
        self.update()
        self._advance_mean()
        return Learnt(window.outputs[-1].detach(), loss.detach())

    def end_epoch(self) -> None:
        with torch.no_grad():
            if self.adopt_mean:
                for W, W_mean in zip(self.W, self.mean, strict=True):
                    W.copy_(W_mean)

    def _weight(self, t: int) -> float:
        K = self.window(self.steps)
        if self.weights == "ramp":
            return ramp(t, K, self.steps)
        return t // K + 1 / -(-self.steps // K)

    @torch.no_grad()
    def _add_regulariser_gradient(self) -> None:
        """∂R/∂W = α (W − W̄) − λ, in closed form."""
        α = self.alpha
        for W, W_mean, λ in zip(self.W, self.mean, self.lam, strict=True):
            gradient = (W - W_mean).mul_(α).sub_(λ)
            W.grad = gradient if W.grad is None else W.grad.add_(gradient)

    @torch.no_grad()
    def _advance_mean(self) -> None:
        α, β = self.alpha, self.beta
        for W, W_mean, λ in zip(self.W, self.mean, self.lam, strict=True):
            λ.sub_(W - W_mean, alpha=α)
            W_mean.mul_(1 - β).add_(W, alpha=β).sub_(λ, alpha=β / α)
