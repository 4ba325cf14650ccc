"""The step of a network of dense layers from a state that is held constant, and its gradient in closed form.

Rules that update at every step need no more than this. A step is a window of one step in memory that all steps share:
the products, and the loops of norms and neurons, prepared once. There is no graph, no stored history, and little
overhead between the products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.errors import UsageError
from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.dropout import Dropout
from throughtime.networks.kernels.norm_window import NormWindow
from throughtime.networks.layer import INPUT, Layer, RecurrentState, Synapse
from throughtime.networks.readout import Readout
from throughtime.neurons.gate import has_hooks
from throughtime.neurons.kernels.map_step import MapStep
from throughtime.neurons.kernels.one_step import GradientMemory, single_step_of
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.loops import runs_compiled
from throughtime.numerics.trees import tensors


class RecurrentStepper:
    """Steps of a network with the results of `unroll` over windows of one step, each detached from the previous state.

    Time and memory are those of one step; memory does not depend on the number of steps.

    Args:
        layers, readout: the modules of the network, in training or evaluation mode.
        state: the state before the first step.
        gradients: for each parameter, the memory for its gradient.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        readout: Readout,
        state: RecurrentState,
        gradients: Mapping[Tensor, Tensor],
    ) -> None:
        places = GradientMemory(gradients)
        self.now, self.t, self.key = 1, state.t, state.key
        before = readout.neuron.unpack(state.y)
        plain = [s.module for layer in layers for s in layer.synapses.values() if s.reads == INPUT and s.view is None]
        self.inputs = plain[0].in_features if plain else None  # a view knows the number of what it reads
        self.x = _Source([before.z, before.z], None)  # until the first step
        made: dict[str, _Layer] = {}
        sources = {INPUT: self.x}
        for layer, layer_state in zip(layers, state.layers, strict=True):
            made[layer.name] = _Layer(layer, sources, layer_state, places)
            sources[layer.name] = made[layer.name].source("z")
        last = _Layer(readout, {readout.layer: made[readout.layer].source(readout.reads)}, before, places)
        self.layers = [*made.values(), last]
        written = set[int]()  # memory of gradients, in the order of the way back: the first reader writes, others add
        for synapse in (synapse for layer in reversed(self.layers) for synapse in layer.synapses):
            synapse.is_first = id(synapse.source.δ) not in written
            written.add(id(synapse.source.δ))
        self.gradients = places.written

    def step(self, x: Tensor) -> Tensor:
        """Return y_t [batch, outputs] for x_t [batch, *inputs]."""
        self.now = 1 - self.now
        y, x = self.layers[-1].neurons.z[0], x.flatten(1)
        if x.dtype != y.dtype or len(x) != len(y) or self.inputs not in (None, x.shape[1]):
            reads = f"[{len(y)}, {self.inputs or 'any'}] of {y.dtype}"
            raise UsageError(f"the input of a step is {list(x.shape)} of {x.dtype}; the network reads {reads}")
        self.x.values[:] = x, x
        for layer in self.layers:
            layer.step(self.now, self.t, self.key)
        self.t += 1
        return self.layers[-1].neurons.z[self.now].clone()

    def gradient(self, δy: Tensor) -> None:
        """Add the gradient of the last step, from δy, to `.grad` of each trained parameter that the step reads."""
        # Copies, because `.grad` may be the memory that this step overwrites.
        earlier = [(parameter, parameter.grad.clone()) for parameter in self.gradients if parameter.grad is not None]
        self.layers[-1].neurons.δz.copy_(δy)
        for layer in reversed(self.layers):
            layer.gradient(self.now)
        for parameter, gradient in self.gradients.items():
            parameter.grad = gradient
        for parameter, gradient in earlier:
            self.gradients[parameter].add_(gradient)


def stepper(
    layers: Sequence[Layer], readout: Readout, state: RecurrentState, gradients: Mapping[Tensor, Tensor]
) -> RecurrentStepper | None:
    """Return the single steps of a network; None if a layer reads a later one, or compiled loops cannot run."""
    network, neurons = nn.ModuleList([*layers, readout]), [*(layer.neuron for layer in layers), readout.neuron]
    maps = [m for m in network.modules() if isinstance(m, (nn.Linear, StepBatchNorm, Dropout))]
    normed = any(isinstance(m, StepBatchNorm) for m in maps)
    # Without the mask of the synapses that exist, which belongs to the layer and is not a number of the step.
    buffers = [b for part in (readout, *(m for layer in layers for m in layer.children())) for b in part.buffers()]
    y = readout.output(state.y)
    if (
        not _reads_forward(layers, readout)
        or not all(map(single_step_of, neurons))
        or any(type(m) not in (nn.Linear, StepBatchNorm, Dropout) or has_hooks(m) for m in maps)
        or len([*network.parameters()]) < len([*network.named_parameters(remove_duplicate=False)])  # some are shared
        or is_smoothed()
        or any(s.requires_grad for s in tensors(state))  # its parameters have a gradient in the first step
        or (normed and readout.training and len(y) == 1)  # the norm raises the error
        or not runs_compiled(y, *network.parameters(), *buffers, graph_is_ours=True)
    ):
        return None
    return RecurrentStepper(layers, readout, state, gradients)


def _reads_forward(layers: Sequence[Layer], readout: Readout) -> bool:
    """Whether layers are vectors that read, by linear maps, the input, layers before, and themselves without a view."""
    known = {INPUT}
    for layer in (*layers, readout):
        own, synapses = layer.recurrent_synapse, [*layer.synapses.values()]
        others = [synapse for synapse in synapses if synapse is not own]
        if (
            layer.resize is not None
            or len(layer.neuron.shape) > 1
            or any(type(synapse.module) is not nn.Linear for synapse in synapses)
            or (own is not None and not own.is_plain)
            or any(s.reads not in known or (s.view is not None and s.reads != INPUT) for s in others)
            or (layer.norm is not None and len(synapses) > 1)
        ):
            return False
        known.add(layer.name)
    return True


class _Source(NamedTuple):
    """Variable that synapses read, at two alternating steps, and the memory for its gradient."""

    values: list[Tensor]
    """In a step that writes buffer 0, and in one that writes buffer 1."""
    δ: Tensor | None
    """Memory for its gradient; None: it needs none."""


class _Synapse:
    """The product of a synapse and its norm, if it has one: I_t = W o_t + c, or I_t += if `adds`.

    o_t is what the synapse reads or, of the input, a view of it; with dropout o_t ∘ m_t.
    """

    is_first: bool
    """Whether it is the first in a step to write the gradient of what it reads, so that others add theirs."""

    def __init__(
        self,
        synapse: Synapse,
        norm: StepBatchNorm | None,
        source: _Source,
        I_and_δI: tuple[Tensor, Tensor],
        adds: bool,
        gradients: GradientMemory,
    ) -> None:
        I, δI = I_and_δI
        self.source, self.adds, self.norm = source, adds and norm is None, None
        self.view, self.dropout = synapse.view, synapse.dropout
        d, δd = (I, δI) if norm is None else torch.empty(2, *I.shape, dtype=I.dtype).unbind(0)
        if norm is not None:
            self.norm = NormWindow(norm, d[None], I[None], adds)
            self.norm.begin_back(δI[None], δd[None], gradients.memory(norm.weight), gradients.memory(norm.bias))
        map: nn.Linear = synapse.module  # type: ignore[assignment]  # `stepper` has checked this
        c, δc = (None, None) if map.bias is None else (map.bias.detach(), gradients.memory(map.bias))
        self.map = MapStep(map.weight.detach(), c, d, δd, gradients.memory(map.weight), δc)

    def step(self, now: int, t: int, key: int) -> None:
        o = self.source.values[now]
        if self.view is not None:
            o = self.view(o).flatten(1)
        if self.dropout is not None:
            self.m = self.dropout(torch.ones_like(o), key, t)
            o = o * self.m
        self.o = o
        if self.adds:
            self.map.add(o)
        else:
            self.map.write(o)
        if self.norm is not None:
            self.norm.step(0, t)

    def gradient(self) -> None:
        if self.norm is not None:
            self.norm.back(0)
        self.map.gradient(self.o)
        if (δ := self.source.δ) is None:
            return
        if self.dropout is not None:
            self.map.write_input_gradient(δo := torch.empty_like(δ))
            δo *= self.m
            δ.copy_(δo) if self.is_first else δ.add_(δo)
        elif self.is_first:
            self.map.write_input_gradient(δ)
        else:
            self.map.add_input_gradient(δ)


class _Layer:
    """The synapses and the neurons of a layer, with the norms of its products or, of a single product, of the sum."""

    def __init__(self, layer: Layer, sources: Mapping[str, _Source], state: Any, gradients: GradientMemory) -> None:
        single_step, maps = single_step_of(layer.neuron), [*layer.synapses.values()]
        assert single_step is not None  # `stepper` has checked this
        I = state.z.new_empty(len(state.z), layer.neuron.currents * layer.neuron.size)
        self.neurons = single_step(layer.neuron, I, state, gradients)
        own = _Source([*reversed(self.neurons.z)], None)  # z of the step before
        self.synapses = [
            _Synapse(
                s,
                s.norm or layer.norm,
                own if s is layer.recurrent_synapse else sources[s.reads],
                (I, self.neurons.δI),
                n > 0,
                gradients,
            )
            for n, s in enumerate(maps)
        ]

    def source(self, name: str) -> _Source:
        """Return z or v of the neurons as what synapses read in the same step."""
        return _Source([*getattr(self.neurons, name)], getattr(self.neurons, f"δ{name}"))

    def step(self, now: int, t: int, key: int) -> None:
        """Compute the state in buffer `now`; t is the index of the step in the sequence with this key."""
        for synapse in self.synapses:
            synapse.step(now, t, key)
        self.neurons.step(now)

    def gradient(self, now: int) -> None:
        """Compute the gradients of the parameters, and of what the layer reads, from those of z_t and v_t."""
        self.neurons.gradient(now)
        for synapse in self.synapses:
            synapse.gradient()
