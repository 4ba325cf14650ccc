"""Adamax in one pass over the weights."""

from __future__ import annotations

from typing import Any

import torch

from throughtime.numerics.loops import compiled, prange, runs_compiled


class Adamax(torch.optim.Adamax):
    """PyTorch's Adamax, its step taken in one pass where a compiled loop may run, and by PyTorch elsewhere.

        m ← g + β₁ (m − g),     u ← max(β₂ u, |g| + ε),     W ← W − η / (1 − β₁ᵗ) m / u

    PyTorch's own makes about ten passes; on weights that exceed the caches the update is mostly memory traffic. State
    and options are PyTorch's. Source: Kingma and Ba 2015, algorithm 2.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        learnt = [(p, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not all(p in self.state and runs_compiled(p, p.grad) for p, _ in learnt):
            super().step(closure)  # the first time it makes the state
            return
        for p, group in learnt:
            state, (β1, β2) = self.state[p], group["betas"]
            state["step"] += 1
            η = group["lr"] / (1 - β1 ** state["step"].item())
            flat = (tensor.flatten() for tensor in (p, p.grad, state["exp_avg"], state["exp_inf"]))
            adamax_step(*flat, η, β1, β2, group["eps"])

    step.hooked = True  # PyTorch would wrap it for its profiler and for hooks, which costs as much as the pass itself


@compiled
def adamax_step(W: Any, g: Any, m: Any, u: Any, η: float, β1: float, β2: float, ε: float) -> None:
    """The equations of `Adamax`, η already over 1 − β₁ᵗ."""
    for i in prange(len(W)):
        m_i = g[i] + β1 * (m[i] - g[i])
        u_i = max(β2 * u[i], abs(g[i]) + ε)
        W[i] -= η * m_i / u_i
        m[i], u[i] = m_i, u_i
