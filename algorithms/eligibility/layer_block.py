"""A block of steps of each layer of a network, and the gradients within its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.networks.layer import INPUT, Layer
from throughtime.networks.trajectory import at_each_step, trajectory


class LayerBlock(NamedTuple):
    """What a layer read and computed in a block of steps, without a graph."""

    layer: Layer
    sources: Mapping[str, Tensor]
    """Input of each synapse at each step, by the synapse's name: [steps, batch, ...]; z of the previous step for a
    synapse that reads its own layer."""
    currents: Tensor
    """[steps, batch, currents · shape[0], ...]."""
    states: Any
    """State before the first step and after each step, [1 + steps, batch, *shape]."""

    def before(self, n: int = 0) -> Any:
        """Return the states before the last n steps (0: all), [n · batch, *shape]."""
        return type(self.states)(*(s[-n - 1 if n else 0 : -1].flatten(0, 1) for s in self.states))

    def after(self) -> Any:
        """Return the states after the steps, [steps · batch, *shape]."""
        return type(self.states)(*(s[1:].flatten(0, 1) for s in self.states))

    def last(self) -> Any:
        """Return the state after the last step, in memory of its own."""
        return type(self.states)(*(s[-1].clone() for s in self.states))


def layer_blocks(layers: Sequence[Layer], x: Tensor, states: Sequence[Any]) -> list[LayerBlock]:
    """Compute a block of steps of x [steps, batch, *inputs], layer after layer, from the layers' states before it."""
    reads, blocks = {INPUT: x}, []
    for layer, state in zip(layers, states, strict=True):
        currents, shown = trajectory(layer, reads, state)
        sources = {name: reads.get(s.reads, shown.z[:-1]) for name, s in layer.synapses.items()}
        blocks.append(LayerBlock(layer, sources, currents, shown))
        reads[layer.name] = shown.z[1:]
    return blocks


class StepGradient(NamedTuple):
    """Gradients of the inputs of a layer's steps; the state before each step is a constant."""

    current: Tensor
    """δI_t, [n, batch, currents · shape[0], ...]."""
    parameters: dict[str, Tensor]
    """Gradients of the neurons' trained parameters, by name."""


@torch.enable_grad()
def step_gradient(block: LayerBlock, field: str, δ: Tensor) -> StepGradient:
    """Return the vector-Jacobian product of the neurons' steps, by automatic differentiation, all steps at once.

    Args:
        block: the layer's block.
        field: a field of the neurons' state.
        δ: gradient of this field after the last n steps, [n, batch, *shape].
    """
    neuron, n = block.layer.neuron, len(δ)
    current = block.currents[-n:].flatten(0, 1).detach().requires_grad_()
    _, after = neuron(current, block.before(n))
    learnt = {name: p for name, p in neuron.named_parameters() if p.requires_grad}
    by_current, *by_learnt = torch.autograd.grad(
        getattr(after, field), [current, *learnt.values()], δ.flatten(0, 1), allow_unused=True, materialize_grads=True
    )
    return StepGradient(by_current.unflatten(0, δ.shape[:2]), dict(zip(learnt, by_learnt, strict=True)))


def source_gradient(module: nn.Module, source: Tensor, δI: Tensor) -> Tensor:
    """Return the gradient of a synapse's input [n, batch, ...] from that of its current."""
    if isinstance(module, nn.Linear):
        return (δI @ module.weight).view_as(source)
    with torch.enable_grad():
        source = source.detach().requires_grad_()
        return torch.autograd.grad(at_each_step(module, source), source, δI)[0]
