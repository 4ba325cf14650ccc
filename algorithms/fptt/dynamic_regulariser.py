"""FPTT's dynamic regulariser, in the form of the authors' code and in the form of the paper."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from throughtime.numerics.loops import compiled, prange, runs_compiled
from throughtime.registry import or_default


class DynamicRegulariser(ABC):
    """Penalises the distance of weights W from a running mean W̄ that gradients shift; each update has R(W) in its loss.

    Memory: two copies of the weights, W̄ and λ or ∇l. Time: a few elementwise operations per weight and update.

    Args:
        W: the parameters, or flat tensors of several parameters. W̄ starts at W.
        alpha: α, the strength.
    """

    needs_gradient_after_update: bool

    def __init__(self, W: Sequence[Tensor], alpha: float) -> None:
        self.W, self.alpha = W, alpha
        self.mean = [w.detach().clone() for w in W]

    @abstractmethod
    def gradient(self) -> list[Tensor]:
        """Return ∂R/∂W at the current weights."""

    @torch.no_grad()
    def add_gradient(self, gradients: Sequence[Tensor]) -> tuple[Tensor | float, Tensor | float]:
        """Add ∂R/∂W to the gradient of the loss; return ‖∂R/∂W‖² and the squared norm of the gradient before it."""
        grad_R = self.gradient()
        squares = sum(torch.dot(g.flatten(), g.flatten()) for g in grad_R)
        before = sum(torch.dot(g.flatten(), g.flatten()) for g in gradients)
        for g, r in zip(gradients, grad_R, strict=True):
            g += r
        return squares, before

    @abstractmethod
    def advance(self, after_update: Sequence[Tensor]) -> None:
        """Update the running mean after a step of the optimiser.

        Args:
            after_update: ∇l̃_t at the new weights (`PaperForm`), if `needs_gradient_after_update`; else empty.
        """

    @torch.no_grad()
    def adopt_mean(self) -> None:
        """W ← W̄."""
        for w, w_mean in zip(self.W, self.mean, strict=True):
            w.copy_(w_mean)


class CodeForm(DynamicRegulariser):
    """The regulariser in the released code of Kag and Saligrama 2021 and of Yin, Corradi and Bohte 2023.

        R(W) = (α/2) ‖W − W̄‖² + (ρ − 1) ⟨W, λ⟩
        λ ← λ − α' (W − W̄),                           after the optimiser's step; λ_0 = 0
        W̄ ← (1−β) W̄ + β W − (β/α') λ                  with the new λ

    At β = 1/2 the old mean cancels: W̄ = W − λ/(2α'), with the old λ. All publications have α' = α; the released code
    for object detection has α = 0.1 and α' = 0.5, which is `update_alpha`.
    """

    needs_gradient_after_update = False

    def __init__(
        self, W: Sequence[Tensor], alpha: float, beta: float, rho: float, update_alpha: float | None = None
    ) -> None:
        super().__init__(W, alpha)
        self.beta, self.rho, self.update_alpha = beta, rho, or_default(update_alpha, alpha)
        self.lam = [torch.zeros_like(w) for w in W]

    @torch.no_grad()
    def gradient(self) -> list[Tensor]:
        α, ρ = self.alpha, self.rho
        return [
            (w - w_mean).mul_(α).add_(λ, alpha=ρ - 1) for w, w_mean, λ in zip(self.W, self.mean, self.lam, strict=True)
        ]

    def add_gradient(self, gradients: Sequence[Tensor]) -> tuple[Tensor | float, Tensor | float]:
        if not all(runs_compiled(g, w) for g, w in zip(gradients, self.W, strict=True)):
            return super().add_gradient(gradients)
        sums = [
            add_gradient_of_code_form(g.flatten(), w.flatten(), w_mean.flatten(), λ.flatten(), self.alpha, self.rho)
            for g, w, w_mean, λ in zip(gradients, self.W, self.mean, self.lam, strict=True)
        ]
        return sum(square_R for square_R, _ in sums), sum(before for _, before in sums)

    def reset(self) -> None:
        """λ ← 0."""
        for λ in self.lam:
            λ.zero_()

    @torch.no_grad()
    def advance(self, after_update: Sequence[Tensor]) -> None:
        α, β = self.update_alpha, self.beta
        for w, w_mean, λ in zip(self.W, self.mean, self.lam, strict=True):
            if runs_compiled(w, w_mean, λ):
                advance_code_form(w.flatten(), w_mean.flatten(), λ.flatten(), α, β)
                continue
            λ.sub_(w - w_mean, alpha=α)
            w_mean.lerp_(w, β).sub_(λ, alpha=β / α)


@compiled
def add_gradient_of_code_form(g: Any, W: Any, mean: Any, λ: Any, α: float, ρ: float) -> tuple[float, float]:
    """Compute `CodeForm.add_gradient` in one pass."""
    square_R = before = 0 * α
    for i in prange(len(g)):
        r = α * (W[i] - mean[i]) - (1 - ρ) * λ[i]
        square_R += r * r
        before += g[i] * g[i]
        g[i] += r
    return square_R, before


@compiled
def advance_code_form(W: Any, mean: Any, λ: Any, α: float, β: float) -> None:
    """Compute `CodeForm.advance` in one pass."""
    for i in prange(len(W)):
        λ[i] -= α * (W[i] - mean[i])
        mean[i] += β * (W[i] - mean[i]) - β / α * λ[i]


class PaperForm(DynamicRegulariser):
    """The regulariser in the papers, with the gradient at the new weights from a second backward pass.

        R_t(W) = (α/2) ‖W − W̄_t − ∇l̃_{t−1}(W_t) / (2α)‖²,     l̃_t: the weighted loss w_p l_p + (1 − w_p) L_aux of `FPTT`
        W̄_{t+1} = (W̄_t + W_{t+1}) / 2 − ∇l̃_t(W_{t+1}) / (2α)

    Its gradient is α (W − W̄) − ∇l̃/2 where the code has α (W − W̄) − λ: a factor of one half, and a true gradient in
    place of a running estimate. Source: Kag and Saligrama 2021; Yin, Corradi and Bohte 2023.
    """

    needs_gradient_after_update = True

    def __init__(self, W: Sequence[Tensor], alpha: float) -> None:
        super().__init__(W, alpha)
        self.last = [torch.zeros_like(w) for w in W]

    @torch.no_grad()
    def gradient(self) -> list[Tensor]:
        α = self.alpha
        return [
            (w - w_mean).mul_(α).sub_(g, alpha=1 / 2) for w, w_mean, g in zip(self.W, self.mean, self.last, strict=True)
        ]

    @torch.no_grad()
    def advance(self, after_update: Sequence[Tensor]) -> None:
        α = self.alpha
        self.last = list(after_update)
        for w, w_mean, g in zip(self.W, self.mean, self.last, strict=True):
            w_mean.lerp_(w, 1 / 2).sub_(g, alpha=1 / (2 * α))
