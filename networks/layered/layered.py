"""A network whose layers a suite writes: convolutions, pooling, norms, dropout, branches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from throughtime.networks.base import Network, Step, Window
from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.layer import INPUT, Layer, RecurrentState
from throughtime.networks.layered.build import Builder, output_size
from throughtime.networks.layered.maps import Weights
from throughtime.networks.layered.spec import Layers, Readouts, ReadoutSpec, checked_layers, checked_readouts
from throughtime.networks.layered.window import LayerWindows, Neurons, compiled_step, computed_at_once, take_step
from throughtime.networks.readout import Readout
from throughtime.networks.setting import Setting, settings
from throughtime.neurons.base import Neuron, Shape, shape_of
from throughtime.numerics.trees import Tree, stacked
from throughtime.registry import network

FEWEST = 4
"""Steps of a window below which it takes longer to prepare the loops of a window than they save."""
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
class Layered(Network):
    """Convolutional and dense layers of any neuron, with branches, and readouts.

        I_t = resize(norm(Σ_s W_s dropout(view(z_s)) + c))        s: the sources of a layer

    The input is an image if the data set has a layout, (channels, rows, columns). Convolutional layers have neurons of
    the shape of their images. The gates of their neurons (LTC) are convolutions of the sum of current and state, with
    batch normalisation; those of dense layers are linear maps of both. Norms use the statistics of a step in training,
    and running statistics in evaluation. The masks of dropout differ between steps and are the same in every
    computation of a step. A window is computed at once in dense layers that depend on no later one and have
    no norm, and step by step in the others, neurons of images in compiled loops. Memory is O(k) for k steps.

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
        super().__init__()
        specs, heads = checked_layers(layers), checked_readouts([ReadoutSpec()] if readouts is None else readouts)
        builder = Builder(shape_of(inputs), specs, neuron, weights)
        built = nn.ModuleList(builder.layers())
        # A ModuleList registers its parameters with the network; it has the methods of a Sequence, but not the base.
        self.layers = cast("Sequence[Layer]", built)
        self.readout = nn.ModuleDict(
            {head.name: builder.readout(head, output_size(outputs, head.name)) for head in heads}
        )
        self.readouts = cast("Sequence[Readout]", tuple(self.readout.values()))
        self._at_once = computed_at_once(self.layers)
        self.spiking = all(layer.neuron.spiking for layer in self.layers)
        self.drops_out = any(spec.dropout for spec in specs) or any(head.dropout for head in heads)
        self.mixes_samples = any(isinstance(module, StepBatchNorm) for module in self.modules())

    def initial_state(self, batch: int) -> RecurrentState:
        like = self.readouts[0].linear.weight
        layers = tuple(layer.neuron.initial_state(batch, like) for layer in self.layers)
        y = self._joined([readout.initial_state(batch) for readout in self.readouts])
        key = int(torch.randint(2**48, ())) if self.drops_out and self.training else 0
        return RecurrentState(layers, y, 0, key)

    def forward(self, x: Tensor, state: RecurrentState) -> tuple[Step, RecurrentState]:
        return self._step(x, state, Neuron.__call__)

    def _step(self, x: Tensor, state: RecurrentState, neurons: Neurons) -> tuple[Step, RecurrentState]:
        """Compute one step, in which `neurons` computes z_t and the next state of a layer's neurons."""
        t, key, after = state.t, state.key, self._by_name(state)
        sources = {INPUT: x.flatten(1), **{name: before.z for name, before in after.items()}}
        take_step(self.layers, sources, after, key, t, neurons)
        ys = [
            readout(readout.total_current({readout.layer: getattr(after[readout.layer], readout.reads)}, key, t), y)
            for readout, y in zip(self.readouts, self._split(state.y), strict=True)
        ]
        outputs = self._joined([readout.output(y) for readout, y in zip(self.readouts, ys, strict=True)])
        spikes = tuple(sources[layer.name] for layer in self.layers)
        return Step(outputs, spikes), RecurrentState(tuple(after.values()), self._joined(ys), t + 1, key)

    def unroll(self, x: Tensor, state: RecurrentState) -> Window:
        if len(x) < FEWEST:
            return self._unroll_by_steps(x, state)
        shown = {readout.layer for readout in self.readouts if readout.reads == "v"}
        windows = LayerWindows(x.flatten(2), state.t, state.key, self._by_name(state), shown)
        windows.add(self.layers, self._at_once)
        outputs, ys = zip(
            *(windows.read(readout, y) for readout, y in zip(self.readouts, self._split(state.y), strict=True)),
            strict=True,
        )
        spikes = tuple(windows.z[layer.name] for layer in self.layers)
        after = tuple(windows.states[layer.name] for layer in self.layers)
        return Window(
            self._joined(outputs), spikes, RecurrentState(after, self._joined(ys), state.t + len(x), state.key)
        )

    def _unroll_by_steps(self, x: Tensor, state: RecurrentState) -> Window:
        steps = []
        for x_t in x.unbind(0):
            step, state = self._step(x_t, state, compiled_step)
            steps.append(step)
        outputs, spikes = stacked(steps)
        return Window(outputs, spikes, state)

    def _by_name(self, state: RecurrentState) -> dict[str, Any]:
        """Return the states of the layers' neurons by name."""
        return {layer.name: of_layer for layer, of_layer in zip(self.layers, state.layers, strict=True)}

    def _split(self, y: Tree) -> list[Any]:
        """Return the states of all readouts as a list."""
        return [y] if len(self.readouts) == 1 else [y[readout.name] for readout in self.readouts]

    def _joined(self, ys: Sequence[Any]) -> Tree:
        """Return the value of the only readout, or a dict of the values by name."""
        return ys[0] if len(ys) == 1 else {readout.name: y for readout, y in zip(self.readouts, ys, strict=True)}
