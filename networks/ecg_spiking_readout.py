"""The network of the electrocardiograms with the readout of 2021: output neurons that spike and adapt."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from throughtime.networks.layer import Layer, Synapse
from throughtime.networks.network import LayerNetwork
from throughtime.networks.presets import Sizes, ecg_rnn
from throughtime.networks.readout import Readout, width_of
from throughtime.neurons.asrnn import ASRNN
from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.registry import network


@network("ecg_spiking_readout")
def ecg_spiking_readout(
    inputs: Shape, outputs: Shape, neuron: Callable[[Shape], Neuron], *, hidden: Sizes = (36,)
) -> LayerNetwork:
    """The network `ecg_rnn` with the readout of 2021 in place of its own: the membranes of adaptive spiking neurons.

        b_t = ρ b_{t−1} + (1 − ρ) z_{t−1},      θ_t = b_0 + β b_t
        y_t = α y_{t−1} + (1 − α) (W_o z^h_t + c_o) − θ_t z_{t−1},      z_t = H(y_t − θ_t)

    z^h are the spikes of the last hidden layer. b_0 = 0.1, as the published weights need, and β = 1.8; the time
    constants are trained, and start at 20 and 100 steps; c_o starts at 0. The hidden layers and the initial W_o are
    those of `ecg_rnn`. The outputs are a layer `output` of `asrnn` neurons, whose recurrent weights are held at 0, with
    a readout held at the identity. With 4 inputs, 6 outputs and `asrnn` neurons it trains 1746 parameters. Source: Yin
    et al. 2021, as released (ECG/adapt_srnn_0.844_gpu-v1.py), for the outputs, Higuchi et al. 2024 for the rest.

    Args:
        hidden: number of neurons of each hidden layer.

    Example:
        >>> network = tt.build_network("ecg_spiking_readout", 4, 6, neuron="asrnn")
        >>> window = network.unroll(torch.rand(10, 4, 4), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([10, 4, 6])

    References:
        Yin, Corradi and Bohte 2021: https://doi.org/10.1038/s42256-021-00397-w
        Higuchi et al. 2024: https://doi.org/10.48550/arXiv.2402.14603
    """
    network = ecg_rnn(inputs, width_of(outputs), neuron, hidden=hidden)
    W_o = network.readouts[0].linear.weight
    width, size = W_o.shape
    W, R = nn.Linear(size, width), nn.Linear(width, width, bias=False)
    neurons = ASRNN(width, b0=0.1, tau_sd=0, tau_adaptation_mean=100, tau_adaptation_sd=0)
    with torch.no_grad():
        W.weight.copy_(W_o)
        nn.init.zeros_(W.bias)
        nn.init.zeros_(R.weight).requires_grad_(False)
    synapses = {"inward": Synapse(W, network.layers[-1].name), "recurrent": Synapse(R, "output")}
    readout = Readout(width, width, "v", partial(LeakyIntegrator, decay=0.0), layer="output")
    nn.init.eye_(readout.requires_grad_(False).linear.weight)
    return LayerNetwork([*network.layers, Layer("output", neurons, synapses)], [readout])
