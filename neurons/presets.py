"""The neurons of the paper's experiments, by name: Yin, Corradi and Bohte 2023, as released."""

from __future__ import annotations

from torch import nn

from throughtime.neurons.asrnn import ASRNN
from throughtime.neurons.base import Shape
from throughtime.neurons.ltc import LTC
from throughtime.registry import neuron


@neuron("ltc_adding", order=2)
def ltc_adding(shape: Shape) -> LTC:
    """The LTC neuron of the adding task: threshold fixed at 0.5, the adaptation gate there but unused.

    The gates have PyTorch's default initialisation, slopes are fixed at 1, and the initial state is 0. There are
    4 size² + 2 size parameters, half of them in the unused gate: 65 792 for 128 neurons, of which 32 896 have no
    gradient. With `adding_snn`: 82 689.
    Source: fptt_AddTask/snn_models_LIF4.py and add_task_snn.py.

    Example:
        >>> neuron = tt.neuron_type("ltc_adding")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'b', 'z'))

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """
    return LTC(shape, adaptation="unused", b0=0.5)


@neuron("asrnn_adding")
def asrnn_adding(shape: Shape) -> ASRNN:
    """The ASRNN of the adding task: logistic decays, τ from N(2, 1) and τ_a from N(4, 1).

    2 size parameters; with `adding_snn`, 128 neurons: 17 153. Source: the code in comments of
    fptt_AddTask/add_task_snn.py, with the constants of the module it imports, snn_models_LIF4.py: b_0 = 0.1 (not the
    0.01 of 2021), R_m = 3, β = 1.8, and the narrow surrogate. It is unknown whether the published
    curves use exactly these.

    Example:
        >>> neuron = tt.neuron_type("asrnn_adding")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'b', 'z'))

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """
    return ASRNN(
        shape,
        decay="logistic",
        tau_mean=2.0,
        tau_sd=1.0,
        tau_adaptation_mean=4.0,
        tau_adaptation_sd=1.0,
        b0=0.1,
        beta=1.8,
        resistance=3.0,
        surrogate="multi_gaussian",
    )


@neuron("ltc_smnist", order=2)
def ltc_smnist(shape: Shape) -> LTC:
    """The LTC neuron of S-MNIST: adaptive, with learnt slopes of its gates, from a random membrane potential.

    The gates have Glorot normal weights and biases of 0. 4 size² + 2 size + 2 parameters; with `smnist_srnn`, 128, 256
    and 512 neurons: 84 595, 332 787 and 1 320 691. Source: fptt_mnist/snn_models_LIF4_save4.py.

    Example:
        >>> neuron = tt.neuron_type("ltc_smnist")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'b', 'z'))

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """
    layer = LTC(shape, b0=0.1, beta=1.8, slope="trained", initial="random")
    for gate in layer.children():
        if isinstance(gate, nn.Linear):
            nn.init.xavier_normal_(gate.weight)
            nn.init.zeros_(gate.bias)
    return layer
