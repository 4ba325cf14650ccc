"""A lower bound of the cost of eligibility traces: the numbers that a step must read and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from throughtime.algorithms.eligibility.traces import Trace, Traces
from throughtime.networks.layer import Layer
from throughtime.neurons.base import Partials

PartialsOf = Callable[[torch.Tensor, Any, Any], Partials | None]


@torch.no_grad()
def carried_numbers(
    partials_of: PartialsOf, layer: Layer, reads: str, filters: bool, also_wanted: Sequence[str]
) -> int:
    """Return how many numbers per sample the traces carry from step to step, counted on one sample.

    The count includes the ε of the variables that a step reads from the previous one, or of those that it computes from
    them, whichever are fewer, since the others follow from these. It includes all ē if the readout has a memory.

    Args:
        partials_of: returns the partial derivatives of a step from the current, the state and the next state.
        layer: a layer whose synapses are linear maps.
        reads: the variable whose trace meets the learning signal.
        filters: whether the readout has a memory, which filters this trace.
        also_wanted: further variables whose traces the rule needs.
    """
    neuron, maps = layer.neuron, [s.module for s in layer.synapses.values() if isinstance(s.module, nn.Linear)]
    with torch.random.fork_rng(devices=[]):
        state = neuron.initial_state(1, maps[0].weight)
    current = state.z.new_zeros(1, maps[0].out_features)
    _, after = neuron(current, state)
    partials = partials_of(current, state, after)
    if partials is None:
        return 0
    traces, p = Traces((reads, *also_wanted)), current.new_zeros(1, sum(map.in_features for map in maps) + 1)
    for _ in range(len(partials.from_previous) + 1):  # a trace may become non-zero some steps after another
        ε = traces.advance(partials, p)
    read, computed = {r for _, r in partials.from_previous}, {s for s, _ in partials.from_previous}
    numbers = 0
    for trace in ε.values():
        numbers += min(_numbers(trace, read), _numbers(trace, computed))
        if filters:
            numbers += _numbers(trace, {reads})
    return numbers


def _numbers(trace: Trace, names: set[str]) -> int:
    return sum(trace[name].numel() for name in names & trace.keys())
