"""Adam with ε where TensorFlow has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

import torch


class TensorFlowAdam(torch.optim.Adam):
    """Adam in the form of TensorFlow, with ε outside the bias correction.

        m ← β₁ m + (1 − β₁) g,     v ← β₂ v + (1 − β₂) g²
        W ← W − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)

    PyTorch divides √v by √(1 − β₂ᵗ) before it adds ε, so its step with ε / √(1 − β₂ᵗ) is this one. The two forms differ
    where √v is not much larger than ε: in small gradients and early steps. Options, state and cost are PyTorch's.
    Source: Kingma and Ba 2015, the form at the end of section 2; TensorFlow 1, AdamOptimizer.
    """

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        for group in self.param_groups:
            steps = [self.state[p]["step"] for p in group["params"] if p in self.state]
            t = 1 + (float(steps[0]) if steps else 0.0)
            _, β2 = group["betas"]
            group["eps"] = self.defaults["eps"] / (1 - β2**t) ** 0.5
        return super().step(closure)
