"""A lower bound of the cost of eligibility traces: the numbers that a step must read and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from throughtime.algorithms.eligibility.recursion import ancestors
from throughtime.algorithms.eligibility.traces import Trace, Traces
from throughtime.networks.layer import Layer
from throughtime.neurons.base import Partials

PartialsOf = Callable[[torch.Tensor, Any, Any], Partials | None]


@torch.no_grad()
def carried_traces(
    partials_of: PartialsOf, layer: Layer, reads: str, filters: int, also_wanted: Sequence[str]
) -> list[tuple[int, int]]:
    """Return the shape of each trace that a sample carries from step to step: neurons times currents, and fan-in.

    The traces are the ε of the variables that a step reads from the previous one, or of those that it computes from
    them, whichever have fewer numbers, since the others follow from these; and the filtered ones, such as ē. A
    trace that all neurons share has one row.

    Args:
        partials_of: returns the partial derivatives of a step from the current, the state and the next state.
        layer: a layer whose synapses are linear maps.
        reads: the variable whose trace meets the learning signal.
        filters: number of filters that this trace passes, each of which has a state of its shape.
        also_wanted: further variables whose traces the rule needs.
    """
    neuron, maps = layer.neuron, [s.module for s in layer.synapses.values() if isinstance(s.module, nn.Linear)]
    with torch.random.fork_rng(devices=[]):
        state = neuron.initial_state(1, maps[0].weight)
    current = state.z.new_zeros(1, maps[0].out_features)
    _, after = neuron(current, state)
    partials = partials_of(current, state, after)
    if partials is None:
        return []
    traces, p = Traces((reads, *also_wanted)), current.new_zeros(1, fan_in(layer))
    for _ in range(len(partials.from_previous) + 1):  # a trace may become non-zero some steps after another
        ε = traces.advance(partials, p)
    needed = ancestors(partials, (reads, *also_wanted))
    read, computed = ({pair[n] for pair in partials.from_previous} & needed for n in (1, 0))
    shapes: list[tuple[int, int]] = []
    for trace in ε.values():
        fewer = min(_shapes(trace, read), _shapes(trace, computed), key=numbers)
        shapes += fewer
        shapes += filters * _shapes(trace, {reads})
    return shapes


def fan_in(layer: Layer) -> int:
    """Return the number of inputs of a neuron's synapses, with the bias."""
    return sum(s.module.in_features for s in layer.synapses.values() if isinstance(s.module, nn.Linear)) + 1


def numbers(shapes: Sequence[tuple[int, int]]) -> int:
    """Return the numbers of traces of these shapes."""
    return sum(rows * fan_in for rows, fan_in in shapes)


def _shapes(trace: Trace, names: set[str]) -> list[tuple[int, int]]:
    return [(trace[name][0, ..., 0].numel(), trace[name].shape[-1]) for name in sorted(names & trace.keys())]
