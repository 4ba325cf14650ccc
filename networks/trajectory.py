"""A window of one layer with the states of all its steps, for rules such as those with eligibility traces."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.networks.layer import Layer
from throughtime.neurons.kernels.generated import kernel_of
from throughtime.neurons.kernels.kernel import Kernel
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.precision import products_of
from throughtime.numerics.spike_product import SpikeProduct


class Trajectory(NamedTuple):
    """Currents and states of a layer's neurons, without a graph."""

    currents: Tensor
    """I_t of each step, [steps, batch, currents · size]."""
    states: Any
    """State before the first step and after each step, [1 + steps, batch, size]."""


@torch.no_grad()
def trajectory(layer: Layer, x: Tensor, state: Any) -> Trajectory:
    """Compute I_t = W x_t + c + R z_{t−1} and the neurons' steps, by their kernel if it provides its states.

    Args:
        layer: layer with a `recurrent_pair`.
        x: input, [steps, batch, inputs]; one product maps the inputs of all steps.
        state: state before the first step.
    """
    pair, neuron, kind = layer.recurrent_pair(), layer.neuron, kernel_of(layer.neuron)
    assert pair is not None, "the caller must check it"
    W, R = pair
    currents = W(x)
    if R.bias is not None:
        currents += R.bias
    product = SpikeProduct(R.weight, products_of(R), len(x))
    if kind is None or kind.states is Kernel.states or is_smoothed():
        states = [state]
        for I in currents.unbind(0):
            _, state = neuron(product.add(I, state.z), state)
            states.append(state)
        return Trajectory(currents, type(state)(*map(torch.stack, zip(*states, strict=True))))

    Z = currents.new_empty(1 + len(x), *state.z.shape)
    Z[0] = state.z
    kernel = kind(neuron, currents.clone(), keep=True, shows=state._fields)
    kernel.begin(state, Z[1:])
    kernel.take_steps(product, state.z, Z[1:])
    product.add(currents.flatten(0, 1), Z[:-1].flatten(0, 1))
    after = kernel.states(Z[1:])._replace(z=None)
    both = (Z if s is None else torch.cat((first[None], s)) for first, s in zip(state, after, strict=True))
    return Trajectory(currents, type(state)(*both))
