"""Exponential filters of what synapses read, over blocks of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.algorithms.eligibility.layer_block import Steps
from throughtime.neurons.base import Neuron
from throughtime.numerics.loops import compiled, prange, runs_compiled


class Term(NamedTuple):
    """A part of a layer's gradient: Σ_t c^t a^t."""

    c: Tensor
    """A factor of each neuron, [n, batch, currents · shape[0], ...]."""
    a: Mapping[str, Tensor]
    """By synapse: [n, batch, ...]."""
    bias_input: float
    """a of the biases, the same at all n steps."""


class Filter:
    """â^t = λ â^{t−1} + p^t for each input of a layer, and for the constant input 1 of its biases; 0 before step 0.

    The sum of a block, with â^0 at the end of the previous block, needs no â of each step:

        Σ_t δ^t â^t = Σ_t c^t p^t + λ c^1 â^0,          c^t = δ^t + λ c^{t+1}

    Where most of p is 0, as with spikes, the product with p is sparse. Time of a block: that of the products, and two
    passes over δ and one over p. Memory: c and â^0.

    Args:
        λ: decay, 0 ≤ λ < 1.
    """

    def __init__(self, λ: float) -> None:
        self.λ = λ
        self.last: dict[str, Tensor] = {}
        self.last_of_one = 0.0

    def advance(self, p: Mapping[str, Tensor]) -> None:
        """Advance â over a block of steps, p [steps, batch, ...]."""
        if not self.λ:
            return
        like = next(iter(p.values()))
        steps = len(like)
        weights = self.λ ** torch.arange(steps - 1, -1, -1, dtype=like.dtype, device=like.device)
        for name, p_s in p.items():
            trace = (p_s.flatten(1).t() @ weights).view(p_s.shape[1:])
            self.last[name] = trace.add_(self.last[name], alpha=self.λ**steps) if name in self.last else trace
        for _ in range(steps):
            self.last_of_one = self.λ * self.last_of_one + 1

    def terms(self, p: Mapping[str, Tensor], δ: Tensor, d: Tensor | None, selection: Steps) -> Iterator[Term]:
        """Advance â over a block; yield the parts of Σ_t (δ^t â^t + d^t p^t) over the chosen steps.

        Args:
            p: inputs of the synapses at all steps, [steps, batch, ...].
            δ, d: factors at the chosen steps, [n, batch, currents · shape[0], ...]; d may be None.
            selection: the chosen steps.
        """
        past, past_of_one, steps = dict(self.last), self.last_of_one, len(next(iter(p.values())))
        self.advance(p)
        if not self.λ:
            c = δ if d is None else δ + d
            yield Term(c, {name: p_s[selection] for name, p_s in p.items()}, 1.0)
        elif steps == 1 and d is None:
            yield Term(δ, {name: trace[None] for name, trace in self.last.items()}, self.last_of_one)
        else:
            c = over_all_steps(δ, selection, steps)
            decay_backward(self.λ, c)
            c_past = self.λ * c[:1]
            if d is not None:
                c[selection] += d
            yield Term(c, p, 1.0)
            if past:
                yield Term(c_past, {name: trace[None] for name, trace in past.items()}, past_of_one)


class FilterInSeries(Filter):
    """ẑ^t = μ ẑ^{t−1} + â^t, a second filter, of the first one's â.

        Σ_t δ^t ẑ^t = Σ_t c^t â^t + μ c^1 ẑ^0,          c^t = δ^t + μ c^{t+1}

    Args:
        λ: decay of the first filter.
        μ: decay of the second.
    """

    def __init__(self, λ: float, μ: float) -> None:
        super().__init__(λ)
        self.first, self.μ = Filter(λ), μ

    def advance(self, p: Mapping[str, Tensor]) -> None:
        """Advance â and ẑ over a block of steps, p [steps, batch, ...]."""
        self._advance_second(p)
        self.first.advance(p)

    def _advance_second(self, p: Mapping[str, Tensor]) -> None:
        """ẑ^n = μⁿ ẑ^0 + (w_n − μⁿ) â^0 + Σ_t w_{n−t} p^t,      w_0 = 1,  w_k = μ w_{k−1} + λ^k."""
        λ, μ, n = self.λ, self.μ, len(next(iter(p.values())))
        w = [1.0]
        for k in range(1, n + 1):
            w.append(μ * w[-1] + λ**k)
        for name, p_s in p.items():
            ẑ = (p_s.flatten(1).t() @ p_s.new_tensor(w[n - 1 :: -1])).view(p_s.shape[1:])
            if name in self.last:
                ẑ.add_(self.last[name], alpha=μ**n)
            if name in self.first.last:
                ẑ.add_(self.first.last[name], alpha=w[n] - μ**n)
            self.last[name] = ẑ
        self.last_of_one = μ**n * self.last_of_one + (w[n] - μ**n) * self.first.last_of_one + sum(w[:n])

    def terms(self, p: Mapping[str, Tensor], δ: Tensor, d: Tensor | None, selection: Steps) -> Iterator[Term]:
        past, past_of_one, steps = dict(self.last), self.last_of_one, len(next(iter(p.values())))
        self._advance_second(p)
        c = over_all_steps(δ, selection, steps)
        decay_backward(self.μ, c)
        c_past = self.μ * c[:1]
        if d is not None:
            yield from Filter(0.0).terms(p, d, None, selection)
        yield from self.first.terms(p, c, None, slice(None))
        if past:
            yield Term(c_past, {name: trace[None] for name, trace in past.items()}, past_of_one)


def over_all_steps(δ: Tensor, selection: Steps, steps: int) -> Tensor:
    """Return δ of the chosen steps in memory of its own, and 0 at the others, [steps, ...]."""
    if len(δ) == steps:
        return δ.clone(memory_format=torch.contiguous_format)
    c = δ.new_zeros(steps, *δ.shape[1:])
    c[selection] = δ
    return c


def decay_backward(λ: float, c: Tensor) -> None:
    """c^t ← c^t + λ c^{t+1}, from the last step to the first, c [steps, ...]."""
    if runs_compiled(c):
        _decay_backward(λ, c.flatten(2))
        return
    for now, later in zip(reversed(c[:-1].unbind(0)), reversed(c[1:].unbind(0)), strict=True):
        now.add_(later, alpha=λ)


@compiled
def _decay_backward(λ: float, c: Any) -> None:
    steps, batch, size = c.shape
    for n in prange(batch):
        for t in range(steps - 2, -1, -1):
            for i in range(size):
                c[t, n, i] += λ * c[t + 1, n, i]


def membrane_decay(neuron: Neuron) -> float | None:
    """Return α = ∂v_t/∂v_{t−1}, if it is the same number for all neurons of the layer; None otherwise."""
    like = next(chain(neuron.parameters(), neuron.buffers()), torch.zeros(())).detach()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        state = neuron.initial_state(2, like)
        partials = neuron.partials(torch.cat([state.z] * neuron.currents, 1), state, state)
    α = None if partials is None else partials.from_previous.get(("v", "v"))
    if isinstance(α, Tensor):
        return α.item() if α.numel() == 1 else None
    return α
