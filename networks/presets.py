"""The networks of the paper's experiments, by name: Yin, Corradi and Bohte 2023, as released."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field, PositiveInt

from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Neuron, Shape
from throughtime.registry import network

Sizes = Annotated[Sequence[PositiveInt], Field(min_length=1)]


@network("adding_snn")
def adding_snn(
    inputs: Shape, outputs: Shape, neuron: Callable[[Shape], Neuron], *, hidden: Sizes = (128,)
) -> Recurrent:
    """The spiking network of the adding task: one linear map on [x_t ; z_{t−1}], a linear readout of the membrane.

    With 2 inputs and 1 output it has 82 689 parameters with `ltc_adding` neurons, of which 32 896 are not trained, and
    17 153 with `asrnn_adding`. The readout's bias starts at 0, in the released code at PyTorch's random value. Source:
    fptt_AddTask/add_task_snn.py.

    Args:
        hidden: number of neurons of each layer.
    """
    return Recurrent(inputs, outputs, neuron, hidden=hidden, readout="membrane", readout_tau=0.0, weights="joint")


@network("adding_rnn")
def adding_rnn(
    inputs: Shape, outputs: Shape, neuron: Callable[[Shape], Neuron], *, hidden: Sizes = (128,)
) -> Recurrent:
    """The network of the adding task for `lstm` and `rnn`: torch.nn.LSTM or RNN, a linear readout of h.

    With 2 inputs and 1 output it has 67 713 parameters with `lstm` cells, 17 025 with `rnn`. The readout's bias starts
    at 0, in the released code at PyTorch's random value. Source: fptt_AddTask/add_task_nn.py and add_task_rnn.py.

    Args:
        hidden: number of cells of each layer.
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
