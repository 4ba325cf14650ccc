"""Adamax in one pass over the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, overload

import torch
from torch.autograd.graph import increment_version

from throughtime.numerics.loops import compiled, prange, runs_compiled


class Adamax(torch.optim.Adamax):
    """PyTorch's Adamax, with a step in one pass where compiled loops may run, and PyTorch's step elsewhere.

        m ← g + β₁ (m − g),     u ← max(β₂ u, |g| + ε),     W ← W − η / (1 − β₁ᵗ) m / u

    PyTorch's step makes about ten passes; on weights that exceed the caches the update is mostly memory traffic. State
    and options are those of PyTorch. Source: Kingma and Ba 2015, algorithm 2.
    """

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        learnt = [(p, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        other = closure is not None or any(group["weight_decay"] or group["maximize"] for group in self.param_groups)
        if other or not all(p in self.state and runs_compiled(p, p.grad) for p, _ in learnt):
            return super().step(closure)  # the first step creates the state
        for p, group in learnt:
            state, (β1, β2) = self.state[p], group["betas"]
            state["step"] += 1
            η = group["lr"] / (1 - β1 ** state["step"].item())
            flat = (tensor.flatten() for tensor in (p, p.grad, state["exp_avg"], state["exp_inf"]))
            adamax_step(*flat, η, β1, β2, group["eps"])
        increment_version([p for p, _ in learnt])  # as an operation in place does
        return None

    # PyTorch looks for this attribute, and otherwise wraps the step for its profiler and for hooks, which takes as much
    # time as the pass itself. A function declares no attributes, hence the cast.
    cast(Any, step).hooked = True


@compiled
def adamax_step(W: Any, g: Any, m: Any, u: Any, η: float, β1: float, β2: float, ε: float) -> None:
    """Compute the equations of `Adamax`; η is already divided by 1 − β₁ᵗ."""
    for i in prange(len(W)):
        m_i = g[i] + β1 * (m[i] - g[i])
        u_i = max(β2 * u[i], abs(g[i]) + ε)
        W[i] -= η * m_i / u_i
        m[i], u[i] = m_i, u_i
