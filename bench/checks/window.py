"""Windows and single steps of a network against its plain steps."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from throughtime.checks.tiny import Gradients, error, largest
from throughtime.networks.base import Network, Step, Window
from throughtime.networks.layer import INPUT, Layer, RecurrentState
from throughtime.numerics.trees import detached, joined, stacked, tensors


def stepped(network: Network, x: Tensor, state: object) -> Window:
    """Return the window of the network's `forward`, step by step, which `unroll` must reproduce."""
    shown = []
    for x_t in x:
        step, state = network(x_t, state)
        shown.append(step)
    spikes = zip(*(step.spikes for step in shown), strict=True)
    return Window(stacked([step.output for step in shown]), tuple(map(torch.stack, spikes)), state)


def two_windows(network: Network, x: Tensor, state: object, first: int) -> Window:
    """Return the steps of two windows of `unroll`, the first of them of so many steps."""
    before = network.unroll(x[:first], state)
    after = network.unroll(x[first:], before.state)
    spikes = tuple(torch.cat(both) for both in zip(before.spikes, after.spikes, strict=True))
    return Window(joined([before.outputs, after.outputs]), spikes, after.state)


def by_layers(network: Network, x: Tensor, state: RecurrentState) -> tuple[Step, RecurrentState]:
    """Compute one step from `layers` and `readouts` alone, with x [batch, inputs]."""
    sent = {layer.name: before.z for layer, before in zip(network.layers, state.layers, strict=True)}
    states: dict[str, Any] = {}
    for layer, before in zip(network.layers, state.layers, strict=True):
        sources = [x if s.reads == INPUT else sent[s.reads] for s in layer.synapses.values()]
        sent[layer.name], states[layer.name] = layer.neuron(_current(layer, sources, state), before)
    y, output = dict[str, Any](), dict[str, Tensor]()
    for readout in network.readouts:
        before = state.y[readout.name] if isinstance(state.y, dict) else state.y
        I = _current(readout, [getattr(states[readout.layer], readout.reads)], state)
        output[readout.name], after = readout.neuron(I, readout.neuron.unpack(before))
        y[readout.name] = readout.neuron.pack(after)
    spikes = tuple(sent[layer.name] for layer in network.layers)
    if isinstance(state.y, dict):
        return Step(output, spikes), RecurrentState(tuple(states.values()), y, state.t + 1, state.key)
    (output_alone,), (y_alone,) = output.values(), y.values()
    return Step(output_alone, spikes), RecurrentState(tuple(states.values()), y_alone, state.t + 1, state.key)


def _current(layer: Layer, sources: Sequence[Tensor], state: RecurrentState) -> Tensor:
    """Return the current of a layer from what its synapses read."""
    currents = []
    for synapse, source in zip(layer.synapses.values(), sources, strict=True):
        source = source if synapse.view is None else synapse.view(source)
        source = source if synapse.dropout is None else synapse.dropout(source, state.key, state.t)
        I = synapse.module(source)
        currents.append(I if synapse.norm is None else synapse.norm(I, state.t))
    I = torch.stack(currents).sum(0)
    I = I if layer.norm is None else layer.norm(I, state.t)
    return I if layer.resize is None else layer.resize(I)


def differences(actual: Window, expected: Window, by: Sequence[Tensor] = ()) -> Iterator[tuple[str, float]]:
    """Yield the errors of outputs, spikes and last state, and of the gradients of random sums of each with respect to
    the tensors `by`."""
    for name, ours, theirs in zip(("outputs", "spikes", "last state"), _parts(actual), _parts(expected), strict=True):
        yield name, error(ours, theirs)
        if by:
            yield f"gradient of {name}", error(_gradient(ours, by), _gradient(theirs, by))


def one_step_error(network: Network, x: Tensor, state: object) -> float | None:
    """Return the largest error of outputs and gradients of the network's own single steps against its plain steps and
    autograd; None for a network without them."""
    plain = copy.deepcopy(network)
    learnt, same = ([p for p in module.parameters() if p.requires_grad] for module in (network, plain))
    taken = network.stepper(state, {p: torch.empty_like(p) for p in learnt})
    if taken is None:
        return None
    generator, errors = torch.Generator().manual_seed(9), []
    for x_t in x:
        step, state = plain(x_t, detached(state))
        δy = torch.randn(step.output.shape, dtype=x.dtype, generator=generator)
        y = taken.step(x_t)
        taken.gradient(δy)
        expected = torch.autograd.grad(step.output, same, δy, allow_unused=True, materialize_grads=True)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learnt]
        errors += [error([y], [step.output]), error(gradients, expected)]
        for p in learnt:
            p.grad = None
    return largest(errors)


def _parts(window: Window) -> tuple[list[Tensor], ...]:
    return tensors(window.outputs), [*window.spikes], tensors(window.state)


def _gradient(shown: list[Tensor], by: Sequence[Tensor]) -> Gradients:
    generator = torch.Generator().manual_seed(9)
    E = torch.stack([(s * torch.randn(s.shape, dtype=s.dtype, generator=generator)).sum() for s in shown]).sum()
    return list(torch.autograd.grad(E, by, retain_graph=True, allow_unused=True, materialize_grads=True))
