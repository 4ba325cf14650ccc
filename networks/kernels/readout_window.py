"""A window of a readout: one product, and the kernel of its integrators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from throughtime.networks.kernels.spike_linear import spike_linear
from throughtime.networks.kernels.window import Maps, layer_window
from throughtime.networks.readout import Readout
from throughtime.networks.trajectory import viewed
from throughtime.neurons.gate import is_dense
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.numerics.spike_product import SHORT


def read_window(
    readout: Readout, o: Tensor, bytes_of_o: Tensor | None, y: Any, t: int, key: int = 0
) -> tuple[Tensor, Any]:
    """Return the outputs of a window [steps, batch, outputs], and the readout's state after it.

    Args:
        readout: the readout.
        o: the variable that it reads, [steps, batch, *shape].
        bytes_of_o: o as bytes, if o are spikes.
        y: the state before the first step.
        t: number of the first step.
        key: key of the sequences, on which masks of dropout depend.
    """
    neuron, (synapse,) = readout.neuron, readout.synapses.values()
    if synapse.dropout is None and isinstance(synapse.module, nn.Linear):
        source = viewed(synapse, o)
        if bytes_of_o is not None and is_dense(synapse.module) and synapse.view is None and len(o) >= SHORT:
            I = spike_linear(synapse.module, o, bytes_of_o)
        else:
            I = synapse.module(source)
        if type(neuron) is LeakyIntegrator and not neuron.decay and readout.norm is None:
            return I, I[-1].clone()  # a view would keep the outputs of the whole window alive
        norms = () if readout.norm is None else (readout.norm,)
        window = layer_window(neuron, Maps(None, None, norms), I, None, neuron.unpack(y), t, False)
        if window is not None:
            return window.z, neuron.pack(window.state)
    outputs = []
    for n, o_t in enumerate(o.unbind(0)):  # the backward pass of o[n] fills a whole window in each step
        y = readout(readout.total_current({readout.layer: o_t}, key, t + n), y)
        outputs.append(readout.output(y))
    return torch.stack(outputs), y
