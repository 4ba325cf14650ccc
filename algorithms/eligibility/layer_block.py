"""A block of steps of each layer of a network, and the gradients within its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.networks.layer import INPUT, Layer
from throughtime.networks.trajectory import at_each_step, trajectory, viewed
from throughtime.neurons.base import Neuron
from throughtime.neurons.gate import is_dense
from throughtime.neurons.kernels.kernel import loops_of
from throughtime.neurons.kernels.one_step import GradientMemory, gradient_of_steps
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.loops import runs_compiled

Steps = slice | Tensor
"""A choice of steps of a block: the last ones, or their numbers, ascending."""
ALL = slice(None)


class LayerBlock(NamedTuple):
    """Inputs and states of a layer in a block of steps, without a graph."""

    layer: Layer
    sources: Mapping[str, Tensor]
    """Input of each synapse's module at each step, by the synapse's name: [steps, batch, ...]; z of the previous step
    for a synapse that reads its own layer."""
    currents: Tensor
    """[steps, batch, currents · shape[0], ...]."""
    states: Any
    """State before the first step and after each step, [1 + steps, batch, *shape]."""

    def states_before(self, selection: Steps = ALL) -> Any:
        """Return the states before the n chosen steps, [n · batch, *shape]."""
        return type(self.states)(*(s[:-1][selection].flatten(0, 1) for s in self.states))

    def states_after(self, selection: Steps = ALL) -> Any:
        """Return the states after the n chosen steps, [n · batch, *shape]."""
        return type(self.states)(*(s[1:][selection].flatten(0, 1) for s in self.states))

    def last(self) -> Any:
        """Return the state after the last step, in memory of its own."""
        return type(self.states)(*(s[-1].clone() for s in self.states))


def layer_blocks(layers: Sequence[Layer], x: Tensor, states: Sequence[Any]) -> list[LayerBlock]:
    """Compute a block of steps of x [steps, batch, *inputs], layer after layer, from the layers' states before it."""
    reads, blocks = {INPUT: x}, []
    for layer, state in zip(layers, states, strict=True):
        currents, shown = trajectory(layer, reads, state)
        sources = {name: viewed(s, reads.get(s.reads, shown.z[:-1])) for name, s in layer.synapses.items()}
        blocks.append(LayerBlock(layer, sources, currents, shown))
        reads[layer.name] = shown.z[1:]
    return blocks


class StepGradient(NamedTuple):
    """Gradients of the inputs of a layer's steps; the state before each step is a constant."""

    current: Tensor
    """δI_t, [n, batch, currents · shape[0], ...]."""
    parameters: dict[str, Tensor]
    """Gradients of the neurons' trained parameters, by name, summed over steps and samples."""


def step_gradient(block: LayerBlock, field: str, δ: Tensor, selection: Steps = ALL) -> StepGradient:
    """Return the vector-Jacobian product of the neurons' steps, all steps at once as one batch: by the compiled loop of
    the neuron's equations, or else by automatic differentiation.

    Args:
        block: the layer's block.
        field: `z` or `v`.
        δ: gradient of this field after each of the steps, [n, batch, *shape].
        selection: the n steps in the block.
    """
    neuron, before = block.layer.neuron, block.states_before(selection)
    current = block.currents[selection].flatten(0, 1)
    rows = δ.flatten(0, 1).contiguous()
    learnt = {name: p for name, p in neuron.named_parameters() if p.requires_grad}
    tensors = (current, rows, *before, *neuron.parameters(), *neuron.buffers())
    shares = len([*neuron.named_parameters(remove_duplicate=False)]) > len([*neuron.parameters()])
    if shares or loops_of(neuron) is None or is_smoothed() or not runs_compiled(*tensors, graph_is_ours=True):
        by_current, *by_learnt = _by_autograd(neuron, current, before, field, rows, [*learnt.values()])
        return StepGradient(by_current.unflatten(0, δ.shape[:2]), dict(zip(learnt, by_learnt, strict=True)))
    places: dict[Tensor, Tensor] = {p: torch.zeros_like(p) for p in learnt.values()}
    none = torch.zeros_like(rows)
    δz_and_δv = (none, rows) if field == "v" else (rows, none)
    δI = gradient_of_steps(neuron, current, (before, block.states_after(selection)), δz_and_δv, GradientMemory(places))
    return StepGradient(δI.unflatten(0, δ.shape[:2]), {name: places[p] for name, p in learnt.items()})


@torch.enable_grad()
def _by_autograd(
    neuron: Neuron, current: Tensor, before: Any, field: str, δ: Tensor, learnt: list[nn.Parameter]
) -> tuple[Tensor, ...]:
    current = current.detach().requires_grad_()
    _, after = neuron(current, before)
    return torch.autograd.grad(getattr(after, field), [current, *learnt], δ, allow_unused=True, materialize_grads=True)


def source_gradient(module: nn.Module, source: Tensor, δI: Tensor) -> Tensor:
    """Return the gradient of a synapse's input [n, batch, ...] from that of its current."""
    if is_dense(module):
        return (δI @ module.weight).view_as(source)
    with torch.enable_grad():
        source = source.detach().requires_grad_()
        return torch.autograd.grad(at_each_step(module, source), source, δI)[0]
