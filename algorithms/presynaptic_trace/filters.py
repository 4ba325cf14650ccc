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
    one: float
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
        for name, each in p.items():
            steps = len(each)
            weights = self.λ ** torch.arange(steps - 1, -1, -1, dtype=each.dtype, device=each.device)
            trace = (each.flatten(1).t() @ weights).view(each.shape[1:])
            self.last[name] = trace.add_(self.last[name], alpha=self.λ**steps) if name in self.last else trace
        for _ in range(steps):
            self.last_of_one = self.λ * self.last_of_one + 1

    def terms(self, p: Mapping[str, Tensor], of_trace: Tensor, of_input: Tensor | None, at: Steps) -> Iterator[Term]:
        """Advance â over a block; yield the parts of Σ_t (δ^t â^t + d^t p^t) over the chosen steps.

        Args:
            p: inputs of the synapses at all steps, [steps, batch, ...].
            of_trace, of_input: δ and d at the chosen steps, [n, batch, currents · shape[0], ...]; d may be None.
            at: the chosen steps.
        """
        past, past_of_one, steps = dict(self.last), self.last_of_one, len(next(iter(p.values())))
        self.advance(p)
        if not self.λ:
            c = of_trace if of_input is None else of_trace + of_input
            yield Term(c, {name: each[at] for name, each in p.items()}, 1.0)
        elif steps == 1 and of_input is None:
            yield Term(of_trace, {name: trace[None] for name, trace in self.last.items()}, self.last_of_one)
        else:
            c = of_trace.new_zeros(steps, *of_trace.shape[1:])
            c[at] = of_trace
            decay_backward(self.λ, c)
            of_past = self.λ * c[:1]
            if of_input is not None:
                c[at] += of_input
            yield Term(c, p, 1.0)
            if past:
                yield Term(of_past, {name: trace[None] for name, trace in past.items()}, past_of_one)


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
