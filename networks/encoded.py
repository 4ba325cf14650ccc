"""A network whose first layer turns numbers into spikes, with trained gains."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from throughtime.networks.layer import INPUT, Layer, Synapse
from throughtime.networks.network import LayerNetwork
from throughtime.networks.presets import Sizes
from throughtime.networks.readout import Readout, ReadoutSynapse, constant_leak, width_of
from throughtime.neurons.base import Neuron, Shape, shape_of
from throughtime.neurons.lif import LIF
from throughtime.neurons.surrogate import SurrogateOption
from throughtime.registry import network


class Repeated(nn.Module):
    """All inputs, several times: [..., inputs] to [..., times · inputs]."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(*(1,) * (x.dim() - 1), self.times)


class Gains(nn.Module):
    """I_i = g_i (x_i + c_i), with g, c ~ N(0, 1), both trained."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gain, self.offset = (nn.Parameter(torch.randn(size)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * (x + self.offset)


@network("encoded")
def encoded(
    inputs: Shape,
    outputs: Shape,
    neuron: Callable[[Shape], Neuron],
    *,
    encoders: PositiveInt = 32,
    encoder_tau: PositiveFloat = 20.0,
    encoder_surrogate: SurrogateOption | None = None,
    hidden: Sizes = (200,),
    gain: PositiveFloat = 3.0,
    recurrent_gain: NonNegativeFloat = 0.03,
    readout_tau: NonNegativeFloat = 20.0,
    readout_synapse: ReadoutSynapse | None = None,
    readout_max: bool = False,
) -> LayerNetwork:
    """Recurrent layers that read spiking encoders of the input, each with a trained gain and offset; no biases.

        I^e_t = g_i (x_{i mod inputs, t} + c_i),        z^e_t = H(v^e_t − 1)
        v^e_t = α v^e_{t−1} (1 − z^e_{t−1}) + (1 − α) I^e_t
        I^l_t = W^l z^{l−1}_t + R^l z^l_{t−1}

    g, c ~ N(0, 1), W^l, W_out ~ N(0, gain² / fan-in), R^l ~ N(0, recurrent_gain² / size). The encoders are LIF neurons,
    the hidden neurons are those of the suite. Source: F. Zenke, SpyTorch, tutorial 5, with `cuba` neurons. There the
    reset of an encoder is a step later and removes its input, too, and recurrent spikes arrive a step later.

    Args:
        encoders: number of encoders of each input.
        encoder_tau: their time constant, in steps, α = exp(−1/τ).
        encoder_surrogate: gradient of their spikes; null: fast_sigmoid of slope 20 and height 1, as in the source.
        hidden: number of neurons of each further layer.
        gain: of the weights.
        recurrent_gain: of the recurrent weights; 0: no recurrent weights.
        readout_tau: time constant of the readout, in steps; 0: no memory.
        readout_synapse: synapse before the readout's leak; null: none.
        readout_max: whether the output is the maximum over the steps so far.

    Example:
        >>> network = tt.build_network("encoded", 4, 27, neuron="cuba", encoders=3, hidden=[8])
        >>> window = network.unroll(torch.rand(10, 5, 4), network.initial_state(5))
        >>> window.outputs.shape, [z.shape for z in window.spikes]
        (torch.Size([10, 5, 27]), [torch.Size([10, 5, 12]), torch.Size([10, 5, 8])])

    References:
        Neftci, Mostafa and Zenke 2019: https://doi.org/10.1109/MSP.2019.2931595
    """
    n = math.prod(shape_of(inputs))
    surrogate: Any = encoder_surrogate or {"name": "fast_sigmoid", "slope": 20.0, "height": 1.0}
    lif = LIF(encoders * n, tau=encoder_tau, threshold=1.0, reset="zero", surrogate=surrogate)
    with torch.random.fork_rng(devices=[]):
        currents = neuron(hidden[0]).currents
    layers = [Layer("encoder", lif, {"gains": Synapse(Gains(encoders * n), INPUT, view=Repeated(encoders))})]
    sizes = [encoders * n, *hidden]
    for number, (fan_in, size) in enumerate(zip(sizes, hidden, strict=False), 1):
        synapses = {"inward": Synapse(_drawn(fan_in, currents * size, gain), layers[-1].name)}
        if recurrent_gain:
            synapses["recurrent"] = Synapse(_drawn(size, currents * size, recurrent_gain), f"layer{number}")
        layers.append(Layer(f"layer{number}", neuron(size), synapses))
    integrator = constant_leak(readout_tau, readout_synapse, readout_max)
    readout = Readout(hidden[-1], width_of(outputs), "z", integrator, layer=layers[-1].name)
    linear = cast(nn.Linear, readout.linear)
    nn.init.normal_(linear.weight, std=gain / math.sqrt(linear.in_features))
    linear.bias.requires_grad_(False)
    return LayerNetwork(layers, [readout])


def _drawn(fan_in: int, size: int, gain: float) -> nn.Linear:
    """Return a map without a bias, with weights of the standard deviation gain / √fan-in."""
    map = nn.Linear(fan_in, size, bias=False)
    nn.init.normal_(map.weight, std=gain / math.sqrt(fan_in))
    return map
