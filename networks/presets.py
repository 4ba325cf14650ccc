"""The networks of experiments of papers, by name, as released."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt
from torch import nn

from throughtime.networks.readout import ReadoutSynapse
from throughtime.networks.recurrent import Recurrent
from throughtime.networks.setting import Setting, settings
from throughtime.neurons.base import Neuron, Shape
from throughtime.registry import network

Sizes = Annotated[Sequence[PositiveInt], Field(min_length=1)]


@network("adding_snn")
@settings(published=Setting(2, 1, "ltc_adding"))
def adding_snn(
    inputs: Shape, outputs: Shape, neuron: Callable[[Shape], Neuron], *, hidden: Sizes = (128,)
) -> Recurrent:
    """The spiking network of the adding task: one linear map on [x_t ; z_{t−1}], a linear readout of the membrane.

    With 2 inputs and 1 output it has 82 689 parameters with `ltc_adding` neurons, of which 32 896 are not trained, and
    17 153 with `asrnn_adding`. The readout's bias starts at 0, in the released code at PyTorch's random value. Source:
    fptt_AddTask/add_task_snn.py.

    Args:
        hidden: number of neurons of each layer.

    Example:
        >>> network = tt.build_network("adding_snn", 2, 1, neuron="ltc_adding", hidden=[8])
        >>> window = network.unroll(torch.rand(10, 4, 2), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([10, 4, 1])

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """
    return Recurrent(inputs, outputs, neuron, hidden=hidden, readout="membrane", readout_tau=0.0, weights="joint")


@network("adding_rnn")
@settings(published=Setting(2, 1, "lstm"))
def adding_rnn(
    inputs: Shape, outputs: Shape, neuron: Callable[[Shape], Neuron], *, hidden: Sizes = (128,)
) -> Recurrent:
    """The network of the adding task for `lstm` and `rnn`: torch.nn.LSTM or RNN, a linear readout of h.

    With 2 inputs and 1 output it has 67 713 parameters with `lstm` cells, 17 025 with `rnn`. The readout's bias starts
    at 0, in the released code at PyTorch's random value. Source: fptt_AddTask/add_task_nn.py and add_task_rnn.py.

    Args:
        hidden: number of cells of each layer.

    Example:
        >>> network = tt.build_network("adding_rnn", 2, 1, neuron="lstm", hidden=[8])
        >>> window = network.unroll(torch.rand(10, 4, 2), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([10, 4, 1])

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """
    return Recurrent(
        inputs,
        outputs,
        neuron,
        hidden=hidden,
        readout="membrane",
        readout_tau=0.0,
        weights="hidden",
        recurrent_bias=True,
    )


@network("smnist_srnn")
@settings(published=Setting(1, 10, "ltc_smnist"))
def smnist_srnn(
    inputs: Shape,
    outputs: Shape,
    neuron: Callable[[Shape], Neuron],
    *,
    hidden: Sizes = (256,),
    steps: PositiveInt = 784,
) -> Recurrent:
    """The network of sequential MNIST: currents batch-normalised at each step, a gated leaky readout of spikes.

    With 1 input, 10 outputs and `ltc_smnist` neurons it has 332 787 parameters; with 128 or 512 neurons 84 595 or
    1 320 691. Source: fptt_mnist/snn_models_LIF4_save4.py (R's bias starts at 0, there at PyTorch's random value; batch
    normalisation cancels it).

    Args:
        hidden: number of neurons of each layer.
        steps: number of time steps with separate statistics.

    Example:
        >>> network = tt.build_network("smnist_srnn", 1, 10, neuron="ltc_smnist", hidden=[8])
        >>> window = network.unroll(torch.rand(28, 4, 1), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([28, 4, 10])

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """
    return Recurrent(
        inputs,
        outputs,
        neuron,
        hidden=hidden,
        readout="spikes",
        readout_leak="gated",
        weights="orthogonal",
        recurrent_bias=True,
        norm_steps=steps,
    )


@network("jsb_rnn")
def jsb_rnn(inputs: Shape, outputs: Shape, neuron: Callable[[Shape], Neuron], *, hidden: Sizes = (150,)) -> Recurrent:
    """The network of the JSB chorales: W and R without bias, a readout without memory; all by Glorot's uniform rule.

    With 88 inputs and outputs and `ssnu` units it trains 49 138 parameters; the biases of W are held at 0. Source:
    Bohnstingl et al. 2022, as released (OSTL_Tutorial_JSB_stripped.ipynb).

    Args:
        hidden: number of units of each layer.

    Example:
        >>> network = tt.build_network("jsb_rnn", 88, 88, neuron="ssnu")
        >>> window = network.unroll(torch.rand(10, 4, 88), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([10, 4, 88])

    References:
        Bohnstingl et al. 2022: https://doi.org/10.48550/arXiv.2007.12723
    """
    network = Recurrent(inputs, outputs, neuron, hidden=hidden, readout_tau=0.0)
    for layer in network.layers:
        nn.init.xavier_uniform_(layer.inward.weight)
        nn.init.xavier_uniform_(layer.recurrent.weight)
        _hold_bias(layer.inward)
    for readout in network.readouts:
        nn.init.xavier_uniform_(readout.linear.weight)
    return network


@network("ecg_rnn")
def ecg_rnn(inputs: Shape, outputs: Shape, neuron: Callable[[Shape], Neuron], *, hidden: Sizes = (36,)) -> Recurrent:
    """The network of the electrocardiograms: one linear map on [x_t ; z_{t−1}], a leaky readout with trained time
    constants of mean 20; no biases, all weights by Glorot's uniform rule.

    With 4 inputs, 6 outputs and `brf` neurons it trains 1734 parameters; the biases are held at 0. Source: Higuchi et
    al. 2024, as released (experiments/ecg/ecg_train.py).

    Args:
        hidden: number of neurons of each layer.

    Example:
        >>> network = tt.build_network("ecg_rnn", 4, 6, neuron="brf")
        >>> window = network.unroll(torch.rand(10, 4, 4), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([10, 4, 6])

    References:
        Higuchi et al. 2024: https://doi.org/10.48550/arXiv.2402.14603
    """
    network = Recurrent(inputs, outputs, neuron, hidden=hidden, readout_leak="trained")
    for layer in network.layers:
        bound = math.sqrt(6 / (sum(layer.inward.weight.shape) + layer.recurrent.in_features))
        nn.init.uniform_(layer.inward.weight, -bound, bound)
        nn.init.uniform_(layer.recurrent.weight, -bound, bound)
        _hold_bias(layer.inward)
    for readout in network.readouts:
        nn.init.xavier_uniform_(readout.linear.weight)
        _hold_bias(readout.linear)
    return network


@network("online_rnn")
def online_rnn(
    inputs: Shape, outputs: Shape, neuron: Callable[[Shape], Neuron], *, hidden: Sizes = (32,), reservoir: bool = False
) -> Recurrent:
    """The network of a comparison of online rules, for `leaky_tanh`: a layer with biases and a linear readout of it.

        W ~ N(0, 1/inputs),   R orthogonal,   W_out ~ N(0, 1/size),   biases 0

    Source: Marschall, Cho and Savin 2020; vanilla-rtrl, main.py.

    Args:
        hidden: number of units of each layer.
        reservoir: whether only the readout is trained: the baseline without credit through time.

    Example:
        >>> network = tt.build_network("online_rnn", 2, 2, neuron="leaky_tanh")
        >>> window = network.unroll(torch.rand(10, 4, 2), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([10, 4, 2])

    References:
        Marschall, Cho and Savin 2020: https://doi.org/10.48550/arXiv.1907.02649
    """
    network = Recurrent(
        inputs, outputs, neuron, hidden=hidden, readout="membrane", readout_tau=0.0, weights="orthogonal"
    )
    for map in (*(layer.inward for layer in network.layers), *(readout.linear for readout in network.readouts)):
        nn.init.normal_(map.weight, std=1 / math.sqrt(map.in_features))
    for layer in network.layers:
        layer.requires_grad_(not reservoir)
    return network


@network("chaotic_rnn")
def chaotic_rnn(
    inputs: Shape,
    outputs: Shape,
    neuron: Callable[[Shape], Neuron],
    *,
    hidden: Sizes = (50,),
    gain: PositiveFloat = 1.5,
) -> Recurrent:
    """A layer without biases whose recurrent weights make its own activity chaotic, and a linear readout of it.

        W as in `recurrent`,   R ~ N(0, gain²/size),   W_out ~ U(±0.1/√size),   biases 0 and not trained

    Source: Murray 2019, RFLO_Example.ipynb, where gain = 1.5 and the input is 0.

    Args:
        hidden: number of units of each layer.
        gain: standard deviation of R, times √size; without input a large layer of `leaky_tanh` is chaotic above 1.

    Example:
        >>> network = tt.build_network("chaotic_rnn", 1, 2, neuron="leaky_tanh")
        >>> window = network.unroll(torch.rand(10, 4, 1), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([10, 4, 2])

    References:
        Murray 2019: https://doi.org/10.7554/eLife.43299
    """
    network = Recurrent(inputs, outputs, neuron, hidden=hidden, readout="membrane", readout_tau=0.0)
    for layer in network.layers:
        nn.init.normal_(layer.recurrent.weight, std=gain / math.sqrt(layer.neuron.size))
    for readout in network.readouts:
        bound = 0.1 / math.sqrt(readout.linear.in_features)
        nn.init.uniform_(readout.linear.weight, -bound, bound)
    for map in (*(layer.inward for layer in network.layers), *(readout.linear for readout in network.readouts)):
        _hold_bias(map)
    return network


@network("spytorch_mlp")
def spytorch_mlp(
    inputs: Shape, outputs: Shape, neuron: Callable[[Shape], Neuron], *, hidden: Sizes = (100,)
) -> Recurrent:
    """The feed-forward network of SpyTorch: no biases, and the maximum over time of a readout of two stages.

        W, W_out ~ N(0, (7 (1 − e^(−1/10)))² / fan-in),      γ = e^(−1/5),  κ = e^(−1/10)

    The neuron of the tutorials is `cuba` with `{delay: 1, input_gain: unit, reset: zero_with_input}` and the surrogate
    fast_sigmoid of slope 100 and height 1. Source: Neftci, Mostafa and Zenke 2019, tutorials 2 and 3.

    Args:
        hidden: number of neurons of each layer.

    Example:
        >>> network = tt.build_network("spytorch_mlp", 784, 10, neuron="cuba", hidden=[8])
        >>> window = network.unroll(torch.rand(10, 4, 784), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([10, 4, 10])

    References:
        Neftci, Mostafa and Zenke 2019: https://doi.org/10.1109/MSP.2019.2931595
    """
    synapse = {"tau": 5.0, "delay": 1, "gain": "unit"}
    network = Recurrent(
        inputs,
        outputs,
        neuron,
        hidden=hidden,
        readout_tau=10.0,
        readout_synapse=ReadoutSynapse.model_validate(synapse),
        readout_max=True,
        biases=False,
        recurrent_weights=False,
    )
    for map in (*(layer.inward for layer in network.layers), *(readout.linear for readout in network.readouts)):
        nn.init.normal_(map.weight, std=7 * (1 - math.exp(-1 / 10)) / math.sqrt(map.in_features))
    return network


def _hold_bias(map: nn.Linear) -> None:
    """Set the bias of a map to 0 and exclude it from training."""
    nn.init.zeros_(map.bias)
    map.bias.requires_grad_(False)
