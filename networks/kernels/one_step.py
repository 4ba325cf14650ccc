"""A recurrent network's step from a state that is held constant, and its gradient in closed form.

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
from throughtime.networks.kernels.norm_window import NormWindow
from throughtime.networks.layer import INPUT, Layer, RecurrentState
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
        self.now, self.t = 1, state.t
        before = readout.neuron.unpack(state.y)
        (first, *_) = layers[0].synapses.values()
        self.x = before.z.new_empty(len(before.z), first.module.in_features)
        self.layers: list[_Layer] = []
        source = _Source((self.x, self.x), None)
        for layer, layer_state in zip(layers, state.layers, strict=True):
            self.layers.append(_Layer(layer, source, layer_state, places))
            neurons = self.layers[-1].neurons
            source = _Source((neurons.z[0], neurons.z[1]), neurons.δz)
        if readout.reads == "v":
            source = _Source((neurons.v[0], neurons.v[1]), neurons.δv)
        self.layers.append(_Layer(readout, source, before, places))
        self.gradients = places.written

    def step(self, x: Tensor) -> Tensor:
        """Return y_t [batch, outputs] for x_t [batch, *inputs]."""
        self.now = 1 - self.now
        if x.dtype != self.x.dtype or x.numel() != self.x.numel():  # the copy would convert and repeat numbers
            given, reads = (f"{list(it.shape)} of {it.dtype}" for it in (x, self.x))
            raise UsageError(f"the input of a step is {given}; the network reads {reads}")
        self.x.copy_(x.flatten(1))
        for layer in self.layers:
            layer.step(self.now, self.t)
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
    """Return the single steps of a network; None if its layers are not in series, or compiled loops cannot run."""
    network, neurons = nn.ModuleList([*layers, readout]), [*(layer.neuron for layer in layers), readout.neuron]
    maps = [m for m in network.modules() if isinstance(m, (nn.Linear, StepBatchNorm))]
    normed = any(isinstance(m, StepBatchNorm) for m in maps)
    # Without the mask of the synapses that exist, which belongs to the layer and is not a number of the step.
    buffers = [b for part in (readout, *(m for layer in layers for m in layer.children())) for b in part.buffers()]
    y = readout.output(state.y)
    if (
        not _in_series(layers, readout)
        or not all(map(single_step_of, neurons))
        or any(type(m) not in (nn.Linear, StepBatchNorm) or has_hooks(m) for m in maps)
        or len([*network.parameters()]) < len([*network.named_parameters(remove_duplicate=False)])  # some are shared
        or is_smoothed()
        or any(s.requires_grad for s in tensors(state))  # its parameters have a gradient in the first step
        or (normed and readout.training and len(y) == 1)  # the norm raises the error
        or not runs_compiled(y, *network.parameters(), *buffers, graph_is_ours=True)
    ):
        return None
    return RecurrentStepper(layers, readout, state, gradients)


def _in_series(layers: Sequence[Layer], readout: Readout) -> bool:
    """Whether each layer is a vector of neurons that reads the layer before, itself or neither through a view."""
    below = INPUT
    for layer in (*layers, readout):
        reads = [synapse.reads for synapse in layer.synapses.values()]
        plain = (
            layer.resize is None and len(layer.neuron.shape) == 1 and all(s.is_plain for s in layer.synapses.values())
        )
        if not plain or reads not in ([below], [below, layer.name]) or (layer.norm is not None and len(reads) > 1):
            return False
        below = layer.name
    return True


class _Source(NamedTuple):
    """Variable that a synapse reads, at two alternating steps, and the memory for its gradient."""

    values: tuple[Tensor, Tensor]
    """In a step that writes buffer 0, and in one that writes buffer 1."""
    δ: Tensor | None
    """Memory for its gradient; None: it needs none."""


class _Synapse:
    """The product of a synapse and its norm, if it has one: I_t = W o_t + c, or I_t += if `adds`."""

    def __init__(
        self,
        map: nn.Linear,
        norm: StepBatchNorm | None,
        source: _Source,
        I_and_δI: tuple[Tensor, Tensor],
        adds: bool,
        gradients: GradientMemory,
    ) -> None:
        I, δI = I_and_δI
        self.source, self.adds, self.norm = source, adds and norm is None, None
        d, δd = (I, δI) if norm is None else torch.empty(2, *I.shape, dtype=I.dtype).unbind(0)
        if norm is not None:
            self.norm = NormWindow(norm, d[None], I[None], adds)
            self.norm.begin_back(δI[None], δd[None], gradients.memory(norm.weight), gradients.memory(norm.bias))
        c, δc = (None, None) if map.bias is None else (map.bias.detach(), gradients.memory(map.bias))
        self.map = MapStep(map.weight.detach(), c, d, δd, gradients.memory(map.weight), δc)

    def step(self, now: int, t: int) -> None:
        if self.adds:
            self.map.add(self.source.values[now])
        else:
            self.map.write(self.source.values[now])
        if self.norm is not None:
            self.norm.step(0, t)

    def gradient(self, now: int) -> None:
        if self.norm is not None:
            self.norm.back(0)
        self.map.gradient(self.source.values[now])
        if self.source.δ is not None:
            self.map.write_input_gradient(self.source.δ)


class _Layer:
    """The synapses and the neurons of a layer, with the norms of its products or, of a single product, of the sum."""

    def __init__(self, layer: Layer, source: _Source, state: Any, gradients: GradientMemory) -> None:
        single_step, maps = single_step_of(layer.neuron), [*layer.synapses.values()]
        assert single_step is not None  # `stepper` has checked this
        I = state.z.new_empty(len(state.z), layer.neuron.currents * layer.neuron.size)
        self.neurons = single_step(layer.neuron, I, state, gradients)
        own = _Source((self.neurons.z[1], self.neurons.z[0]), None)  # z of the step before
        self.synapses = [
            _Synapse(
                s.module,  # type: ignore[arg-type]  # `stepper` has checked this
                s.norm or layer.norm,
                own if s is layer.recurrent_synapse else source,
                (I, self.neurons.δI),
                n > 0,
                gradients,
            )
            for n, s in enumerate(maps)
        ]

    def step(self, now: int, t: int) -> None:
        """Compute the state in buffer `now`; t is the index of the step in the sequence."""
        for synapse in self.synapses:
            synapse.step(now, t)
        self.neurons.step(now)

    def gradient(self, now: int) -> None:
        """Compute the gradients of the parameters, and of what the layer reads, from those of z_t and v_t."""
        self.neurons.gradient(now)
        for synapse in self.synapses:
            synapse.gradient(now)
