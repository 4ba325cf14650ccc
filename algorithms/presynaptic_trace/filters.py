"""Exponential filters of what synapses read, over blocks of steps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor

from throughtime.neurons.base import Neuron


class Filter:
    """â^t = λ â^{t−1} + p^t for each input of a layer, and for the constant input 1 of its biases; 0 before step 0.

    Args:
        λ: decay, 0 ≤ λ < 1.
    """

    def __init__(self, λ: float) -> None:
        self.λ = λ
        self.last: dict[str, Tensor] = {}
        self.last_of_one = 0.0

    def advance(self, p: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], Tensor]:
        """Return â of all inputs for the next steps, [steps, batch, ...], and that of 1, [steps]. The inputs themselves
        are returned for λ = 0."""
        like = next(iter(p.values()))
        steps = len(like)
        if not self.λ:
            return p, like.new_ones(steps)
        traces = {name: self._filtered(name, each) for name, each in p.items()}
        of_one = []
        for _ in range(steps):
            self.last_of_one = self.λ * self.last_of_one + 1
            of_one.append(self.last_of_one)
        return traces, like.new_tensor(of_one)

    def _filtered(self, name: str, p: Tensor) -> Tensor:
        traces, last = p.clone(memory_format=torch.contiguous_format), self.last.get(name)
        for trace in traces.unbind(0):
            if last is not None:
                trace.add_(last, alpha=self.λ)
            last = trace
        self.last[name] = traces[-1].clone()  # a view would keep the block in memory
        return traces


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
