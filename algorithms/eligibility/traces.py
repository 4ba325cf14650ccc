"""Eligibility traces of one layer: derivatives of the state of a neuron by its synapses, carried forward in time."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from throughtime.neurons.base import Derivative, Partials

Trace = dict[str, Tensor]
"""ε of one input, by variable s: [batch, currents, size, fan-in]; size is 1 where all neurons share a trace."""


class Traces:
    """ε of all inputs of a layer: its synapses, and the trained maps and parameters of its neurons.

        ε_s^t = Σ_r (∂s_t/∂r_{t−1}) ε_r^{t−1} + (∂s_t/∂I_t) p^t + Σ_q (∂s_t/∂q_t) ε_q^t

    p is the presynaptic activity: (x_t, z_{t−1}, 1) for the current, the input of a map and 1 for a map, 1 for a
    parameter.
    This is the definition, step by step; rules compute it in blocks (`trace_block.py`), and `cost.py` takes the shapes
    from here. Memory: batch × currents × size × fan-in numbers for each variable whose trace differs between neurons;
    time per step: a few operations for each.

    Args:
        wanted: variables whose traces are requested.
    """

    def __init__(self, wanted: Collection[str]) -> None:
        self.wanted = wanted
        self.stored: dict[str, Trace] = {}

    def advance(self, partials: Partials, p: Tensor) -> dict[str, Trace]:
        """Take one step with p [batch, fan-in]; return ε^t of each input, at least for the wanted variables."""
        past = {r for _, r in partials.from_previous}
        needed = past.union(self.wanted)
        for s, q in reversed(list(partials.within_step)):
            if s in needed:
                needed.add(q)
        ε: dict[str, Trace] = {}
        for name, inflow in partials.inflows.items():
            ones = p.new_ones(len(p), 1)
            reads = p if name == "current" else ones
            if inflow.presynaptic is not None:
                reads = torch.cat((inflow.presynaptic, ones), 1)
            old, new = self.stored.get(name, {}), ε.setdefault(name, {})
            for (s, r), factor in partials.from_previous.items():
                if r in old:
                    _add(new, s, factor, old[r])
            for s, factor in inflow.by_input.items():
                _add(new, s, factor, reads[:, None, None])
            for (s, q), factor in partials.within_step.items():
                if s in needed and q in new:
                    _add(new, s, factor, new[q])
        self.stored = {name: {r: trace[r] for r in past if r in trace} for name, trace in ε.items()}
        return ε


def derivative_at(factor: Derivative, t: int, steps: int) -> Derivative:
    """Return a derivative at step t, from that of all steps one after the other in the batch dimension."""
    if not isinstance(factor, Tensor) or factor.dim() < 2 or len(factor) == 1:
        return factor
    return factor.unflatten(0, (steps, -1))[t]


def _add(sums: Trace, name: str, factor: Derivative, trace: Tensor) -> None:
    """Add to the named sum the product of a derivative of each neuron and a trace of each of its synapses."""
    term = torch.as_tensor(factor, dtype=trace.dtype, device=trace.device)
    if term.dim() == 2:  # [batch, size]; the shapes [batch, currents, size] and [size] broadcast without it
        term = term[:, None]
    term = term[..., None]
    sums[name] = torch.addcmul(sums[name], term, trace) if name in sums else term * trace
