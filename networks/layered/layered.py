"""A network whose layers a suite writes: convolutions, pooling, norms, dropout, branches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from throughtime.networks.layered.build import Builder, output_sizes
from throughtime.networks.layered.maps import Weights
from throughtime.networks.layered.spec import Layers, Readouts, ReadoutSpec, checked_layers, checked_readouts
from throughtime.networks.network import LayerNetwork
from throughtime.networks.setting import Setting, settings
from throughtime.neurons.base import Neuron, Shape, shape_of
from throughtime.registry import network

BRANCHES: dict[str, Any] = {
    "layers": [
        {"name": "a", "conv": 4, "norm_steps": 5, "dropout": 0.2, "pool": {"kind": "average"}},
        {"name": "b", "conv": 2, "channels": [2, 4], "norm_steps": 1, "recurrent": True},
        {"name": "c", "conv": 3, "kernel": 1, "reads": ["b", "a"], "upsample": 2, "bias": False},
        {"name": "d", "dense": 6, "reads": ["c", "e"]},
        {"name": "e", "dense": 4, "reads": ["d"], "recurrent": True, "dropout": 0.1, "gate_norm": True},
    ],
    "readouts": [
        {"name": "coarse", "reads": "b", "grid": True},
        {"name": "leaky", "leak": "sigmoid"},
        {"name": "membrane", "reads": "d", "of": "membrane", "leak": "gated", "dropout": 0.1},
    ],
    "weights": "glorot_uniform",
}
"""Layers with every kind of branch, for checks."""


@network("layered")
@settings(tiny=Setting((2, 4, 4), {"coarse": 2, "leaky": 3, "membrane": 2}, "ltc", {"initial": "random"}, BRANCHES))
class Layered(LayerNetwork):
    """Convolutional and dense layers of any neuron, with branches, and readouts.

        I_t = resize(norm(Σ_s W_s dropout(view(z_s)) + c))        s: the sources of a layer

    The input is an image if the data set has a layout, (channels, rows, columns). Convolutional layers have neurons of
    the shape of their images. The gates of their neurons (LTC) are convolutions of the sum of current and state, with
    batch normalisation; those of dense layers are linear maps of both. Norms use the statistics of a step in training,
    and running statistics in evaluation. The masks of dropout differ between steps and are the same in every
    computation of a step. A window is computed at once in dense layers that depend on no later one.

    Args:
        inputs: shape of the input of a time step.
        outputs: number of outputs of each readout; or their numbers, or the shapes of their images, by the readouts'
            names.
        neuron: function from a shape to a layer of neurons.
        layers: the layers, in the order in which a step computes them.
        readouts: the readouts; null: one, a leaky integrator of the spikes of the last layer.
        weights: initial distribution of the maps of synapses and gates: `uniform`, U(±1/√fan-in), biases too;
            `glorot_uniform` or `glorot_normal`, Glorot's rules, biases 0. The maps of all sources of a layer are drawn
            as one map.

    Raises:
        ValueError: a layer does not fit what it reads; a name is unknown or used twice.

    Example:
        >>> layers = [{"conv": 4, "pool": {"kind": "max"}}, {"dense": 8, "recurrent": True}]
        >>> network = tt.build_network("layered", (2, 6, 6), 3, layers=layers, readouts=[{"leak": "gated"}])
        >>> window = network.unroll(torch.rand(10, 4, 72), network.initial_state(4))  # images as vectors
        >>> window.outputs.shape, [z.shape for z in window.spikes]
        (torch.Size([10, 4, 3]), [torch.Size([10, 4, 4, 3, 3]), torch.Size([10, 4, 8])])
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape | Mapping[str, Shape],
        neuron: Callable[..., Neuron],
        *,
        layers: Layers,
        readouts: Readouts | None = None,
        weights: Weights = "uniform",
    ) -> None:
        specs, heads = checked_layers(layers), checked_readouts([ReadoutSpec()] if readouts is None else readouts)
        builder = Builder(shape_of(inputs), specs, neuron, weights)
        built = builder.layers()
        sizes = output_sizes(outputs, [head.name for head in heads])
        readouts_built = [builder.readout(head, size) for head, size in zip(heads, sizes, strict=True)]
        super().__init__(built, readouts_built, by_name=len(heads) > 1)
