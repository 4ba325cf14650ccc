"""A window of one layer with the states of all its steps, for rules such as those with eligibility traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.networks.layer import Layer, Synapse
from throughtime.neurons.gate import is_dense
from throughtime.neurons.kernels.kernel import kernel_of
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.precision import products_of
from throughtime.numerics.spike_product import SpikeProduct


class Trajectory(NamedTuple):
    """Currents and states of a layer's neurons, without a graph."""

    currents: Tensor
    """I_t of each step, [steps, batch, currents · shape[0], ...]."""
    states: Any
    """State before the first step and after each step, [1 + steps, batch, *shape]."""


@torch.no_grad()
def trajectory(layer: Layer, reads: Mapping[str, Tensor], state: Any) -> Trajectory:
    """Compute the currents of a layer and its neurons' steps, by their kernel if they have one.

    Args:
        layer: layer without norms, with a synapse that reads the input or an earlier layer.
        reads: by source, what the synapses read in the same step, [steps, batch, ...]. A synapse without an entry reads
            the layer's own spikes of the step before.
        state: state before the first step.
    """
    feeding = [(s.module, viewed(s, reads[s.reads])) for s in layer.synapses.values() if s.reads in reads]
    own = [s.module for s in layer.synapses.values() if s.reads not in reads]
    currents = at_each_step(*feeding[0])
    for module, x in feeding[1:]:
        currents = currents + at_each_step(module, x)
    if currents.untyped_storage().data_ptr() in {z.untyped_storage().data_ptr() for z in reads.values()}:
        currents = currents.clone()  # a module may return its source
    neuron, kind, steps = layer.neuron, kernel_of(layer.neuron), len(currents)
    R = own[0] if len(own) == 1 and is_dense(own[0]) else None
    if R is not None and R.bias is not None:
        currents += R.bias
    product = None if R is None else SpikeProduct(R.weight, products_of(R), steps if neuron.spiking else 1)
    if kind is None or is_smoothed() or (own and not product):
        return _by_steps(layer, currents, [] if product else own, product, state)

    states = type(state)(*(s.new_empty(1 + steps, *s.shape) for s in state))
    for field, s in zip(states, state, strict=True):
        field[0] = s
    after = type(state)(*(field[1:] for field in states))
    kernel = kind(neuron, currents, keep=False, shows_v=False)
    kernel.begin(state, after.z, after)
    for name, s in state._asdict().items():
        if name not in kernel.windows:  # no step changes it
            getattr(after, name)[:] = s
    kernel.take_steps(product, state.z, after.z)
    return Trajectory(currents, states)


def _by_steps(
    layer: Layer, currents: Tensor, own: list[nn.Module], product: SpikeProduct | None, state: Any
) -> Trajectory:
    """Take the steps by the neurons' `forward`, with z_{t−1} through `product` or through the modules in `own`."""
    states = [state]
    for I in currents.unbind(0):
        if product is not None:
            product.add(I, state.z)
        for module in own:
            I += module(state.z)
        _, state = layer.neuron(I, state)
        states.append(state)
    return Trajectory(currents, type(state)(*map(torch.stack, zip(*states, strict=True))))


def viewed(synapse: Synapse, source: Tensor) -> Tensor:
    """Return the input of a synapse's module at each step, from its source [steps, batch, ...]."""
    return source if synapse.view is None else at_each_step(synapse.view, source)


def at_each_step(module: nn.Module, x: Tensor) -> Tensor:
    """Return the output of a synapse's module for x [steps, batch, ...]; a linear map reads a vector at each step."""
    if isinstance(module, nn.Linear):
        return module(x.flatten(2))
    return module(x.flatten(0, 1)).unflatten(0, x.shape[:2])
