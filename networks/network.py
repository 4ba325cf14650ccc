"""A network of layers and readouts: its step, its window and its single steps follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from throughtime.networks.base import Network, Step, Stepper, Window
from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.dropout import Dropout
from throughtime.networks.kernels.one_step import stepper
from throughtime.networks.layer import INPUT, Layer, RecurrentState
from throughtime.networks.layer_windows import LayerWindows, Neurons, compiled_step, computed_at_once, take_step
from throughtime.networks.readout import Readout
from throughtime.neurons.base import Neuron
from throughtime.numerics.trees import Tree, stacked

FEWEST_LOOPED_STEPS = 4
"""Steps of a window below which it takes longer to prepare the loops of a window than they save, if some layers are
computed step by step."""


class LayerNetwork(Network):
    """A network whose step is that of its layers, in order, and of its readouts.

    An input with several dimensions is flattened to a vector, from which views of synapses make images again. A window
    is computed at once in layers that need no step of another, and step by step in the others, neurons of images in
    compiled loops. Memory is O(k) for k steps.

    Args:
        layers: the layers, in the order in which a step computes them.
        readouts: the readouts.
        by_name: whether the output of a step is a dict by the readouts' names; else it is that of the only readout.

    Raises:
        ValueError: PyTorch has no module with the name of a readout.
    """

    def __init__(self, layers: Iterable[Layer], readouts: Sequence[Readout], by_name: bool = False) -> None:
        super().__init__()
        # A ModuleList registers its parameters with the network; it has the methods of a Sequence, but not the base.
        self.layers = cast("Sequence[Layer]", nn.ModuleList(layers))
        self.readouts, self.by_name = tuple(readouts), by_name
        try:
            self.readout = nn.ModuleDict({r.name: r for r in readouts}) if by_name else readouts[0]
        except KeyError as error:  # its message has the name
            raise ValueError(f"a readout needs another name, such as y: {error.args[0]}") from error
        self.spiking = all(layer.neuron.spiking for layer in self.layers)
        self.drops_out = any(isinstance(module, Dropout) for module in self.modules())
        self.mixes_samples = any(isinstance(module, StepBatchNorm) for module in self.modules())
        self._at_once = computed_at_once(self.layers)
        self.register_load_state_dict_pre_hook(_rename)

    @property
    def described(self) -> bool:
        # A subclass may compute its steps differently.
        return all(getattr(type(self), name) is getattr(LayerNetwork, name) for name in ("forward", "unroll"))

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
        if len(x) < FEWEST_LOOPED_STEPS and len(self._at_once) < len(self.layers):
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

    def stepper(self, state: RecurrentState, gradients: Mapping[Tensor, Tensor]) -> Stepper | None:
        if not self.described or len(self.readouts) > 1:
            return None
        return stepper(self.layers, self.readouts[0], state, gradients)

    def _by_name(self, state: RecurrentState) -> dict[str, Any]:
        """Return the states of the layers' neurons by name."""
        return {layer.name: layer_state for layer, layer_state in zip(self.layers, state.layers, strict=True)}

    def _split(self, y: Tree) -> list[Any]:
        """Return the states of all readouts as a list."""
        return [y[readout.name] for readout in self.readouts] if self.by_name else [y]

    def _joined(self, ys: Sequence[Any]) -> Tree:
        """Return the value of the only readout, or a dict of the values by name."""
        return {readout.name: y for readout, y in zip(self.readouts, ys, strict=True)} if self.by_name else ys[0]


def _rename(network: nn.Module, weights: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Give the parameters of a state dict of version 0.1 their present names."""
    old = f"{prefix}readout.readout."
    for name in [name for name in weights if name.startswith(old) and not network.by_name]:
        weights[f"{prefix}readout.{name.removeprefix(old)}"] = weights.pop(name)
