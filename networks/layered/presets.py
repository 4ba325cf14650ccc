"""The convolutional networks of the paper and its shallow one for event cameras: Yin, Corradi and Bohte 2023, as
released.

The number of parameters of each is that with LTC neurons in the setting of the publication. Initial weights follow
Glorot's uniform rule with biases 0, also where the released code keeps PyTorch's own for biases and for some gates.
Readouts and the gates of their leaks follow Glorot's normal rule; those of the released DVS networks the uniform one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import nn

from throughtime.networks.layered.layered import Layered
from throughtime.networks.layered.spec import LayerSpec, Pool, ReadoutSpec
from throughtime.networks.readout import Readout
from throughtime.networks.setting import Setting, settings
from throughtime.neurons.base import Neuron, Shape
from throughtime.registry import network

Probability = Annotated[float, Field(ge=0, lt=1)]
HALVED = Pool(kind="max", size=2)


def conv(size: float, **options: Any) -> LayerSpec:
    """Return a convolutional layer of so many channels, rounded, with batch normalisation whose statistics all steps
    share."""
    return LayerSpec(conv=max(1, round(size)), norm_steps=1, **options)


@network("conv_static")
@settings(
    published=Setting((1, 28, 28), 10, "ltc", {"initial": "random_membrane"}),
    tiny=Setting((1, 6, 6), 4, "ltc", {"initial": "random_membrane"}, {"hidden": 5, "width": 1 / 16}),
)
def conv_static(
    inputs: Shape,
    outputs: Shape,
    neuron: Callable[..., Neuron],
    *,
    hidden: PositiveInt = 256,
    width: PositiveFloat = 1.0,
) -> Layered:
    """The network of static MNIST and Fashion-MNIST: three convolutions, two dense layers, a gated leaky readout.

    The channels are 32, 128 and 256, with kernels of 3 x 3; the second and the third layer halve the image. With 10
    outputs and images of 28 x 28 it has 5 634 205 parameters, with 512 hidden neurons 10 619 037; the released code has
    10 more, which it does not use. The paper's neurons are `{name: ltc, initial: random_membrane}`. Source:
    fptt_img/snn_models_LIF4_cnn_28.py.

    Args:
        hidden: number of neurons of each dense layer.
        width: factor of the numbers of channels.

    Example:
        >>> network = tt.build_network("conv_static", (1, 8, 8), 10, neuron="ltc", hidden=8, width=1 / 16)
        >>> window = network.unroll(torch.rand(5, 4, 64), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([5, 4, 10])

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """
    layers = [conv(32 * width), conv(128 * width, pool=HALVED), conv(256 * width, pool=HALVED)]
    layers += [LayerSpec(dense=hidden), LayerSpec(dense=hidden)]
    readouts = [ReadoutSpec(leak="gated")]
    return Layered(inputs, outputs, neuron, layers=layers, readouts=readouts, weights="glorot_uniform")


@network("dvs_shallow")
@settings(
    published=Setting((2, 32, 32), 11, "ltc", {"initial": "random"}),
    tiny=Setting((2, 2, 3), 4, "ltc", {"initial": "random"}, {"hidden": 5}),
)
def dvs_shallow(
    inputs: Shape,
    outputs: Shape,
    neuron: Callable[..., Neuron],
    *,
    hidden: PositiveInt = 512,
    dropout: Probability = 0.1,
) -> Layered:
    """The shallow network of DVS Gesture: a dense layer for each polarity, a recurrent one, a trained leak.

    The layers `on` and `off` read the first and the second channel of the image, and the recurrent layer reads both. In
    the setting of the paper, images of 32 x 32 after averaging over 4 x 4 pixels and 11 outputs, it has 4 990 998
    parameters; the released code has 3072 more, which it does not use. Its neurons are `{name: ltc, initial: random}`.
    Source: fptt_img/snn_models_LIF4_dvs_gesture.py, with the dropout of its variants `_dp`; initial weights as in
    `_dp2`.

    Args:
        hidden: number of neurons of each layer.
        dropout: probability of dropout of the spikes that the recurrent layer and the readout read.

    Example:
        >>> network = tt.build_network("dvs_shallow", (2, 8, 8), 11, neuron="ltc", hidden=8)
        >>> window = network.unroll(torch.rand(5, 4, 128), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([5, 4, 11])

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """
    layers = [
        LayerSpec(name=name, dense=hidden, reads=["input"], channels=[n, n + 1]) for n, name in enumerate(("on", "off"))
    ]
    layers.append(LayerSpec(name="both", dense=hidden, reads=["off", "on"], recurrent=True, dropout=dropout))
    readouts = [ReadoutSpec(leak="sigmoid", dropout=dropout)]
    return Layered(inputs, outputs, neuron, layers=layers, readouts=readouts, weights="glorot_uniform")


def declare_unused_leak(readout: Readout, size: int) -> None:
    """Add so many parameters that nothing reads, and that are not trained: the released code declares a constant leak,
    and the published number of parameters counts it."""
    readout.register_parameter("unused_leak", nn.Parameter(torch.zeros(size), requires_grad=False))


DVS_NEURON: dict[str, Any] = {"b0": 0.5, "initial": "random"}


@network("dvs_conv_v3")
@settings(
    published=Setting((2, 128, 128), 11, "ltc", DVS_NEURON),
    tiny=Setting((2, 64, 64), 4, "ltc", DVS_NEURON, {"hidden": 5, "width": 1 / 32}),
)
class DVSConvV3(Layered):
    """The deep network of DVS Gesture: six convolutions, a dense layer, a gated leaky readout.

    The channels are 64, 128, 128, 256, 256 and 512, with kernels of 7 x 7 in the first two layers and of 3 x 3 in the
    others; each layer halves the image. With images of 128 x 128 and 11 outputs it has 14 116 051 parameters, of which
    11 are not trained: a leak that the released code declares and does not use. The paper's neurons are `{name: ltc,
    b0: 0.5, initial: random}`. Source: fptt_img/snn_sota_LIF4_dvs_gesture_v4.py, without the recurrent weights of its
    dense layer, by which alone it differs from v3 according to its comment. There the adaptation of the sixth layer
    receives the spikes after dropout, here those before.

    Args:
        hidden: number of neurons of the dense layer.
        width: factor of the numbers of channels.
        dropout: probability of dropout of the spikes that the dense layer reads.

    Example:
        >>> network = tt.build_network("dvs_conv_v3", (2, 64, 64), 11, neuron="ltc", hidden=8, width=1 / 32)
        >>> window = network.unroll(torch.rand(2, 4, 8192), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([2, 4, 11])

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """

    dense_is_recurrent: ClassVar[bool] = False

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        neuron: Callable[..., Neuron],
        *,
        hidden: PositiveInt = 512,
        width: PositiveFloat = 1.0,
        dropout: Probability = 0.1,
    ) -> None:
        layers = [conv(n * width, kernel=7, pool=HALVED) for n in (64, 128)]
        layers += [conv(n * width, pool=HALVED) for n in (128, 256, 256, 512)]
        layers.append(LayerSpec(dense=hidden, recurrent=self.dense_is_recurrent, dropout=dropout))
        readouts = [ReadoutSpec(leak="gated", slope="fixed")]
        super().__init__(inputs, outputs, neuron, layers=layers, readouts=readouts, weights="glorot_uniform")
        declare_unused_leak(self.readouts[0], self.readouts[0].linear.out_features)


@network("dvs_conv_v4")
class DVSConvV4(DVSConvV3):
    """The deep network of DVS Gesture whose dense layer is recurrent, otherwise `dvs_conv_v3`.

    With images of 128 x 128 and 11 outputs it has 14 378 195 parameters, of which 11 are not trained. Source:
    fptt_img/snn_sota_LIF4_dvs_gesture_v4.py.

    Example:
        >>> network = tt.build_network("dvs_conv_v4", (2, 64, 64), 11, neuron="ltc", hidden=8, width=1 / 32)
        >>> window = network.unroll(torch.rand(2, 4, 8192), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([2, 4, 11])

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """

    dense_is_recurrent = True


@network("dvs_cifar10_vgg")
@settings(
    published=Setting((2, 64, 64), 10, "ltc", DVS_NEURON),
    tiny=Setting((2, 16, 16), 4, "ltc", DVS_NEURON, {"hidden": 5, "width": 1 / 32}),
)
def dvs_cifar10_vgg(
    inputs: Shape,
    outputs: Shape,
    neuron: Callable[..., Neuron],
    *,
    hidden: PositiveInt = 512,
    width: PositiveFloat = 1.0,
    dropout: Probability = 0.1,
) -> Layered:
    """A network for DVS-CIFAR10 in the manner of VGG: eight convolutions, a dense layer, a gated leaky readout.

    The model of the paper was not released; this one is our choice. Its convolutions are those of the network that Deng
    et al. 2022 use on this data set: 64, 128, 256, 256, 512, 512, 512 and 512 channels, kernels of 3 x 3, and every
    second layer halves the image, here by its maxima. Norms, gates, dense layer and readout are those of `dvs_conv_v3`,
    with the 512 neurons of the paper's command line. The published setting is ours: images of 64 x 64.

    Args:
        hidden: number of neurons of the dense layer.
        width: factor of the numbers of channels.
        dropout: probability of dropout of the spikes that the dense layer reads.

    Example:
        >>> network = tt.build_network("dvs_cifar10_vgg", (2, 16, 16), 10, neuron="ltc", hidden=8, width=1 / 32)
        >>> window = network.unroll(torch.rand(2, 4, 512), network.initial_state(4))
        >>> window.outputs.shape  # [steps, batch, outputs]
        torch.Size([2, 4, 10])

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
        Deng et al. 2022: https://doi.org/10.48550/arXiv.2202.11946
    """
    channels = (64, 128, 256, 256, 512, 512, 512, 512)
    layers = [conv(n * width, pool=HALVED if k % 2 else None) for k, n in enumerate(channels)]
    layers.append(LayerSpec(dense=hidden, dropout=dropout))
    readouts = [ReadoutSpec(leak="gated", slope="fixed")]
    return Layered(inputs, outputs, neuron, layers=layers, readouts=readouts, weights="glorot_uniform")
