"""The recursion of eligibility traces over a block of steps, whose coefficients depend only on neuron and sample."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.neurons.base import Derivative, Partials
from throughtime.numerics.reductions import number_or_tensor

Derivatives = dict[tuple[str, str], Derivative]
"""Derivatives, by pairs of variables. A tensor is [steps, batch, size], or [steps, batch, 1] where it is the same for
all neurons; a derivative that is the same at all steps and in all samples is a number or a tensor of at most one
dimension."""


class Flow(NamedTuple):
    """An input of the step (the current, a map, a parameter) over a block of steps."""

    reads: Tensor
    """[steps, batch, fan-in]."""
    by_input: dict[str, Derivative]
    """Derivatives by the input, shaped as `Derivatives`, or [steps, batch, currents, size] for several currents."""

    @property
    def currents(self) -> int:
        return max((f.shape[2] for f in self.by_input.values() if isinstance(f, Tensor) and f.dim() == 4), default=1)

    def coefficients(self, λ: Mapping[str, Tensor]) -> Tensor | None:
        """Return c^t = Σ_s (∂s_t/∂I_t) λ_s^t, [ends, steps, batch, currents · size]; None if no derivative has a λ."""
        c: Tensor | None = None
        for s, f in self.by_input.items():
            if s in λ:
                λ_s = λ[s][:, 1:] if self.currents == 1 else λ[s][:, 1:, :, None]
                c = f * λ_s if c is None else add(c, f, λ_s)
        return c if c is None or self.currents == 1 else c.flatten(3)


class Recursion:
    """The map from the traces of one step to those of the next, over a block of steps.

        ε̃_s^t = Σ_r J_sr^t ε̃_r^{t−1} + (∂s_t/∂I_t) p^t,      J_sr^t = Σ_q (∂s_t/∂q_{t−1}) N_qr^{t−1}
        ε_o^t = Σ_r N_or^t ε̃_r^t,                            N_or = δ_or + Σ_q (∂o_t/∂q_t) N_qr

    ε̃ is a trace before the contributions of other variables of the same step; N sums these contributions. Step 0 is the
    last step of the previous block.

    Args:
        partials: partial derivatives of all steps, concatenated in the batch dimension: [steps · batch, ...].
        p: [steps, batch, fan-in], 1 in the last column.
        wanted: variables whose traces are requested. Variables on which no requested trace depends are dropped.
        N_0: N of step 0; empty for the first block.

    Attributes:
        per_neuron: variables whose traces differ between neurons.
        shared: variables whose traces are the same for all neurons.
        carried: variables in `per_neuron` that the next step reads, latest first.
        N_last: N of the last step, for the pairs of variables that the next block needs.
    """

    def __init__(self, partials: Partials, p: Tensor, wanted: Collection[str], N_0: Derivatives) -> None:
        self.steps, self.batch = p.shape[:2]
        needed = ancestors(partials, wanted)
        before = {pair: self._over_steps(f) for pair, f in partials.from_previous.items() if pair[0] in needed}
        self.flows: dict[str, Flow] = {}
        ones = p[..., -1:]
        for name, inflow in partials.inflows.items():
            reads = p if name == "current" else ones
            if inflow.presynaptic is not None:
                reads = torch.cat((self._over_steps(inflow.presynaptic), ones), 2)
            self.flows[name] = Flow(reads, {s: self._over_steps(f) for s, f in inflow.by_input.items() if s in needed})
        computed = dict.fromkeys([*(s for s, _ in before), *(s for flow in self.flows.values() for s in flow.by_input)])

        self.N: Derivatives = {(s, s): 1.0 for s in computed}
        for (o, q), f in partials.within_step.items():
            if o in needed:
                _add_product(self.N, {(o, q): self._over_steps(f)}, self.N)
        read = {q for _, q in before}
        carried_N = {pair: f for pair, f in self.N.items() if pair[0] in read}
        self.N_last = {
            pair: self._spread(f)[-1:].clone() if isinstance(f, Tensor) else f for pair, f in carried_N.items()
        }
        self.J: Derivatives = {}
        _add_product(self.J, before, {pair: self._previous(f, N_0.get(pair)) for pair, f in carried_N.items()})

        per_neuron = {s for (s, _), f in self.J.items() if _differs(f)}
        per_neuron |= {s for flow in self.flows.values() for s, f in flow.by_input.items() if _differs(f)}
        while more := {s for s, r in self.J if r in per_neuron} - per_neuron:
            per_neuron |= more
        self.per_neuron = [s for s in computed if s in per_neuron]
        self.shared = [s for s in computed if s not in per_neuron]
        self.carried = [r for r in reversed(self.per_neuron) if r in {past for _, past in self.J}]

    def _over_steps(self, factor: Derivative) -> Any:
        if not isinstance(factor, Tensor):
            return factor
        if factor.dim() < 2:
            return number_or_tensor(factor)
        if factor.dim() == 3 and factor.shape[1] == 1:
            factor = factor[:, 0]  # one current per neuron
        return factor.expand(self.steps * self.batch, *factor.shape[1:]).unflatten(0, (self.steps, self.batch))

    def _previous(self, N: Derivative, N_0: Derivative | None) -> Derivative:
        """Return N of step 0, which may come from older weights, and of all steps of the block but the last."""
        if N_0 is None:
            N_0 = N  # before the first block every trace is 0, and any N will do
        if isinstance(N, float) and N == N_0:
            return N
        return torch.cat((self._spread(N_0)[:1], self._spread(N)[:-1]))

    def _spread(self, factor: Derivative) -> Tensor:
        """Expand a derivative to [steps, batch, size or 1]."""
        like = self.flows["current"].reads
        derivative = torch.as_tensor(factor, dtype=like.dtype, device=like.device)
        return derivative.expand(self.steps, self.batch, derivative.shape[-1] if derivative.dim() else 1)

    def origins(self, s: str) -> set[str]:
        """Return the variables whose traces at step 0 contribute to the trace of s at the end of the block."""
        variables: set[str] = set()
        while more := {r for target, r in self.J if target == s or target in variables} - variables:
            variables |= more
        return variables

    def trace_shared(self, flow: Flow, stored: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return ε̃ of an input for the shared variables that it reaches, [1 + steps, batch, fan-in], step by step from
        `stored`, the trace of step 0; the trace of the last step replaces it."""
        ε: dict[str, Tensor] = {}
        for s in self.shared:
            if flow.by_input.keys() & {s, *self.origins(s)}:
                ε[s] = flow.reads.new_empty(1 + self.steps, *flow.reads.shape[1:])
                if s not in stored:
                    stored[s] = torch.zeros_like(ε[s][0])
                ε[s][0] = stored[s]
                torch.mul(flow.reads, flow.by_input.get(s, 0.0), out=ε[s][1:])
        terms = [
            (ε[s].unbind(0), self._by_step(f), ε[r].unbind(0)) for (s, r), f in self.J.items() if s in ε and r in ε
        ]
        for t in range(self.steps):
            for ε_s, J_sr, ε_r in terms:
                add(ε_s[t + 1], J_sr[t], ε_r[t])
        for s, trace in ε.items():
            stored[s].copy_(trace[-1])
        return ε

    def pass_back(self, λ: Mapping[str, Tensor]) -> None:
        """λ_r^t += Σ_s J_sr^{t+1} λ_s^{t+1}; λ of each variable [ends, 1 + steps, batch, size]. Variables s with shared
        traces are left out of the sum: their traces are known at each step."""
        passing = [(s, r, f) for (s, r), f in self.J.items() if s in self.per_neuron]
        terms = [(λ[s].unbind(1), self._by_step(f), λ[r].unbind(1)) for s, r, f in passing if r in self.per_neuron]
        for t in reversed(range(self.steps)):
            for λ_s, J_sr, λ_r in terms:
                add(λ_r[t], J_sr[t], λ_s[t + 1])
        for s, r, f in passing:
            if r in self.shared:
                add(λ[r][:, :-1], f, λ[s][:, 1:])

    def _by_step(self, factor: Derivative) -> Sequence[Derivative]:
        """Return the derivative of each step."""
        if isinstance(factor, Tensor) and over_time(factor):
            return factor.unbind(0)
        return [factor] * self.steps


def add(total: Tensor, factor: Derivative, x: Tensor) -> Tensor:
    """total += factor · x."""
    return total.addcmul_(factor, x) if isinstance(factor, Tensor) else total.add_(x, alpha=factor)


def _add_product(total: Derivatives, a: Derivatives, b: Derivatives) -> None:
    """total_sr += Σ_q a_sq b_qr."""
    for (s, q), f in a.items():
        for (p, r), g in [*b.items()]:
            if p == q:
                product = f if isinstance(g, float) and g == 1 else f * g
                total[s, r] = total[s, r] + product if (s, r) in total else product


def over_time(factor: Derivative) -> bool:
    """Whether the derivative differs between steps: [steps, batch, ...]."""
    return isinstance(factor, Tensor) and factor.dim() > 2


def _differs(factor: Derivative) -> bool:
    """Whether the derivative differs between neurons."""
    return isinstance(factor, Tensor) and factor.dim() > 0 and (factor.dim() == 4 or factor.shape[-1] > 1)


def ancestors(partials: Partials, wanted: Collection[str]) -> set[str]:
    """Return the variables whose traces those of the wanted variables depend on, and the wanted ones."""
    needed = set(wanted)
    while more := {r for s, r in (*partials.from_previous, *partials.within_step) if s in needed} - needed:
        needed |= more
    return needed
