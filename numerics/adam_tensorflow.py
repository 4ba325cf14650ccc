"""Adam with ε where TensorFlow has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import torch
from torch import Tensor


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
        with torch.enable_grad():
            loss = None if closure is None else closure()
        own = [group["eps"] for group in self.param_groups]
        try:
            for group in self.param_groups:
                _, β2 = group["betas"]
                group["eps"] = group["eps"] / (1 - β2 ** self._next_step(group["params"])) ** 0.5
            super().step()
        finally:
            for group, ε in zip(self.param_groups, own, strict=True):
                group["eps"] = ε
        return loss

    def _next_step(self, parameters: Sequence[Tensor]) -> float:
        """Return t, the number of the step that parameters with a gradient take.

        Raises:
            ValueError: it is not the same for all.
        """
        learnt = [self.state.get(p, {}) for p in parameters if p.grad is not None]
        steps = {1 + float(state.get("step", 0.0)) for state in learnt}
        if len(steps) > 1:
            raise ValueError("parameters of a group took different numbers of steps; each number needs its own group")
        return steps.pop() if steps else 1.0
