"""A window of one layer with all that its neurons go through: for rules that ask what each step did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from throughtime.neurons.kernels.kernel import Kernel, kernel_of
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.precision import products_of
from throughtime.numerics.spike_product import SpikeProduct

if TYPE_CHECKING:
    from throughtime.networks.recurrent import RecurrentLayer


class Trajectory(NamedTuple):
    """What the neurons of a layer went through, without a graph."""

    currents: Tensor
    """I of each step, [steps, batch, currents · size]."""
    states: Any
    """Before the first step and after each, [1 + steps, batch, size]."""


@torch.no_grad()
def trajectory(layer: RecurrentLayer, x: Tensor, state: Any) -> Trajectory:
    """I_t = W x_t + c + R z_{t−1} and the neurons' steps, by their kernel if it shows its states; of a layer without
    norms.

    Args:
        x: [steps, batch, inputs]; the input product of all steps is taken at once.
        state: before the first.
    """
    neuron, R, kind = layer.neuron, layer.recurrent, kernel_of(layer.neuron)
    currents = layer.inward(x)
    if R.bias is not None:
        currents += R.bias
    product = SpikeProduct(R.weight, products_of(R), len(x))
    if kind is None or kind.states is Kernel.states or is_smoothed():
        passed = [state]
        for I in currents.unbind(0):
            _, state = neuron(product.add(I, state.z), state)
            passed.append(state)
        return Trajectory(currents, type(state)(*map(torch.stack, zip(*passed, strict=True))))

    Z = currents.new_empty(1 + len(x), *state.z.shape)
    Z[0] = state.z
    kernel = kind(neuron, currents.clone(), keep=True, reads_v=True)
    kernel.begin(state)
    kernel.take_steps(product, state.z, Z[1:])
    product.add(currents.flatten(0, 1), Z[:-1].flatten(0, 1))
    after = kernel.states(Z[1:])._replace(z=None)
    both = (Z if s is None else torch.cat((first[None], s)) for first, s in zip(state, after, strict=True))
    return Trajectory(currents, type(state)(*both))
