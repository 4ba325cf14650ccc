"""A lower bound of the cost of eligibility traces: the numbers that a step must read and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from throughtime.algorithms.eligibility.traces import Trace, Traces
from throughtime.networks.layer import Layer
from throughtime.networks.readout import Readout
from throughtime.neurons.base import Neuron, Partials

PartialsOf = Callable[[Neuron, torch.Tensor, Any, Any], Partials | None]


@torch.no_grad()
def carried_numbers(partials_of: PartialsOf, layer: Layer, readout: Readout, also_wanted: Sequence[str]) -> int:
    """Return how many numbers per sample the traces carry from step to step, counted on one sample.

    The count includes the ε of the variables that a step reads from the previous one, or of those that it computes from
    them, whichever are fewer, since the others follow from these. It includes all ē if the readout has a memory.

    Args:
        partials_of: returns the partial derivatives of one step for a rule.
        layer: a layer with a `recurrent_pair`.
        readout: the readout of the layer.
        also_wanted: variables whose traces the rule needs besides that of the variable that the readout reads.
    """
    pair, neuron = layer.recurrent_pair(), layer.neuron
    if pair is None:
        return 0
    W, _ = pair
    with torch.random.fork_rng(devices=[]):
        state = neuron.initial_state(1, readout.linear.weight)
    current = state.z.new_zeros(1, W.out_features)
    _, after = neuron(current, state)
    partials = partials_of(neuron, current, state, after)
    if partials is None:
        return 0
    traces, p = Traces((readout.reads, *also_wanted)), current.new_zeros(1, W.in_features + neuron.size + 1)
    for _ in range(len(partials.from_previous) + 1):  # a trace may become non-zero some steps after another
        ε = traces.advance(partials, p)
    read, computed = {r for _, r in partials.from_previous}, {s for s, _ in partials.from_previous}
    numbers = 0
    for trace in ε.values():
        numbers += min(_numbers(trace, read), _numbers(trace, computed))
        if readout.decay:
            numbers += _numbers(trace, {readout.reads})
    return numbers


def _numbers(trace: Trace, names: set[str]) -> int:
    return sum(trace[name].numel() for name in names & trace.keys())
