"""Eligibility traces of several steps at once: sums over the terms of a neuron precede the products with its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from throughtime.algorithms.eligibility.recursion import Derivatives, Flow, Recursion, add, over_time
from throughtime.neurons.base import Partials


class Signal(NamedTuple):
    """A factor of the traces of one variable, and the sums of their products."""

    o: str
    """The variable."""
    L: Tensor
    """The factor in the last n steps of the block, of a shape that broadcasts to [n, batch, size]."""
    sums: dict[str, Tensor]
    """Accumulates Σ_t Σ_batch L^t ε_o^t, by input: [currents, size, fan-in]."""


class BlockTraces(Protocol):
    """Traces of a layer's synapses that are carried from block to block."""

    def gather(self, partials: Partials, p: Tensor, signals: Sequence[Signal], goes_on: bool) -> None:
        """Process a block of steps: see `TraceBlock.gather`."""
        ...


class TraceBlock:
    """The traces of `traces.py` in blocks of steps: equal to rounding, with a fraction of the work.

        ε̃_s^t = Σ_r J_sr^t ε̃_r^{t−1} + (∂s_t/∂I_t) p^t,      ε_o^t = Σ_r N_or^t ε̃_r^t        (`recursion.py`)

    J, N and ∂s/∂I depend on sample and neuron, p on sample and presynaptic input. With λ from a backward pass through
    the block,

        Σ_t L^t ε_o^t = Σ_t c^t p^t + λ^0 ε̃^0,               c^t = Σ_s (∂s_t/∂I_t) λ_s^t
        λ_r^t = N_or^t L^t + Σ_s J_sr^{t+1} λ_s^{t+1},       step 0: the end of the previous block

    λ and c have one value per neuron, and Σ c p over all steps and samples is one product. A trace at the end of the
    block is also such a sum, for each sample, with a signal of 1 to ε̃ there. A trace that all neurons share is computed
    step by step instead and takes the place of p. Variables on which no requested trace depends have no trace.

    Time of a block: for each signal a product of [size, steps · batch] and [steps · batch, fan-in], once for p and once
    for each shared variable; for each variable whose trace differs between neurons and is read by the next step, a
    product of [size, steps] and [steps, fan-in] per sample, and one read and write of the trace. Memory: these traces,
    and some numbers for each step of the block, sample and neuron.

    Args:
        size: number of neurons.
        wanted: variables with signals.
    """

    def __init__(self, size: int, wanted: Sequence[str]) -> None:
        self.size, self.wanted = size, wanted
        self.stored: dict[str, dict[str, Tensor]] = {}
        """ε̃ at the end of the last block, by input and variable: [batch, currents, size, fan-in]; for a shared variable
        [batch, fan-in]."""
        self.N: Derivatives = {}
        """N of the last step of the last block."""

    def gather(self, partials: Partials, p: Tensor, signals: Sequence[Signal], goes_on: bool) -> None:
        """Process a block of steps.

        Args:
            partials: partial derivatives of all steps, concatenated in the batch dimension: [steps · batch, ...].
            p: [steps, batch, fan-in], 1 in the last column.
            signals: factors of the traces, and the sums of their products.
            goes_on: whether another block follows.
        """
        recursion = Recursion(partials, p, self.wanted, self.N)
        self.N = recursion.N_last
        carried = recursion.carried if goes_on else []
        λ = self._adjoint(recursion, p, signals, carried)
        if goes_on:  # allocate for all inputs at once, so that the first of several blocks has the peak of all
            for name, flow in recursion.flows.items():
                self._allocate(name, flow, p, signals, carried)
        for name, flow in recursion.flows.items():
            stored = self.stored.setdefault(name, {})
            c = flow.coefficients({s: λ[s] for s in recursion.per_neuron})
            terms = [] if c is None else [(c, flow.reads)]
            terms += [(λ[s], trace) for s, trace in recursion.trace_shared(flow, stored).items()]
            self._allocate(name, flow, p, signals, carried)
            for m, (_, _, sums) in enumerate(signals):
                for c, reads in terms:
                    sums[name].flatten(0, 1).addmm_(c[m].flatten(0, 1).t(), reads.flatten(0, 1))
                for s in recursion.carried:
                    if s in stored:
                        sums[name] += torch.einsum("bj,bkji->kji", λ[s][m, 0], stored[s])
            advanced: dict[str, Tensor] = {}
            for m, s in enumerate(carried, len(signals)):
                origins = [r for r in carried if r in recursion.origins(s)]
                read_later = any(s in recursion.origins(r) for r in carried if r not in (s, *advanced))
                trace = torch.empty_like(stored[s]) if read_later else stored[s]
                if s in origins:
                    torch.mul(stored[s], λ[s][m, 0][:, None, :, None], out=trace)
                else:
                    trace.zero_()
                for r in origins:
                    if r != s:
                        trace.addcmul_(stored[r], λ[r][m, 0][:, None, :, None])
                for c, reads in terms:
                    trace.flatten(1, 2).baddbmm_(c[m].permute(1, 2, 0), reads.transpose(0, 1))
                advanced[s] = trace
            stored.update(advanced)

    def _allocate(self, name: str, flow: Flow, p: Tensor, signals: Sequence[Signal], carried: Sequence[str]) -> None:
        """Allocate the traces and sums of an input that do not exist yet, as zeros."""
        stored, shape = self.stored.setdefault(name, {}), (flow.currents, self.size, flow.reads.shape[2])
        for s in carried:
            if s not in stored:
                stored[s] = p.new_zeros(p.shape[1], *shape)
        for _, _, sums in signals:
            if name not in sums:
                sums[name] = p.new_zeros(shape)

    def _adjoint(
        self, recursion: Recursion, p: Tensor, signals: Sequence[Signal], carried: Sequence[str]
    ) -> dict[str, Tensor]:
        """Return λ by variable, [ends, 1 + steps, batch, size]; the ends are the signals, then the carried traces."""
        shape = (len(signals) + len(carried), 1 + len(p), p.shape[1], self.size)
        λ = {s: p.new_zeros(shape) for s in (*recursion.per_neuron, *recursion.shared)}
        for m, (o, L, _) in enumerate(signals):
            for r, λ_r in λ.items():
                if (o, r) in recursion.N:
                    N = recursion.N[o, r]
                    add(λ_r[m, -len(L) :], N[-len(L) :] if isinstance(N, Tensor) and over_time(N) else N, L)
        for m, s in enumerate(carried, len(signals)):
            λ[s][m, -1] = 1
        recursion.pass_back(λ)
        return λ
