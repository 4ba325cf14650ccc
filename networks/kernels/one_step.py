"""A recurrent network's step from a state that is held constant, and its gradient in closed form.

Rules that update at every step need no more than this. A step is a window of one step in memory that all steps share:
the products, and the loops of norms, neurons and readout, prepared once. There is no graph, no stored history, and
little overhead between the products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.errors import UsageError
from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.kernels import readout_loops
from throughtime.networks.kernels.norm_window import NormWindow
from throughtime.networks.kernels.readout_loops import Gradients as ReadoutGradients
from throughtime.networks.kernels.readout_window import has_loops, leak_of, parameters_of
from throughtime.networks.layer import RecurrentLayer, RecurrentState
from throughtime.networks.readout import Readout
from throughtime.neurons.gate import has_hooks
from throughtime.neurons.kernels.map_step import MapStep
from throughtime.neurons.kernels.one_step import Gradients, NeuronOneStep, single_step_of
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.loops import bound, runs_compiled
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
        layers: Sequence[RecurrentLayer],
        readout: Readout,
        state: RecurrentState,
        gradients: Mapping[Tensor, Tensor],
    ) -> None:
        places = Gradients(gradients)
        self.now, self.t = 1, state.t
        self.x = state.y.new_empty(len(state.y), layers[0].inward.in_features)
        self.layers: list[_Layer] = []
        for layer, before in zip(layers, state.layers, strict=True):
            below = self.layers[-1].neurons if self.layers else None
            self.layers.append(_Layer(layer, self.x, below, before, places))
        self.readout = _Readout(readout, self.layers[-1].neurons, state.y, places)
        self.gradients = places.written

    def step(self, x: Tensor) -> Tensor:
        """Return y_t [batch, outputs] for x_t [batch, *inputs]."""
        self.now = 1 - self.now
        if x.dtype != self.x.dtype or x.numel() != self.x.numel():  # the copy would convert and repeat numbers
            found, reads = (f"{list(it.shape)} of {it.dtype}" for it in (x, self.x))
            raise UsageError(f"the input of a step is {found}; the network reads {reads}")
        self.x.copy_(x.flatten(1))
        for layer in self.layers:
            layer.step(self.now, self.t)
        y = self.readout.step(self.now, self.t)
        self.t += 1
        return y.clone()

    def gradient(self, δy: Tensor) -> None:
        """Add the gradient of the last step, from δy, to `.grad` of each trained parameter that the step reads."""
        # Copies, because `.grad` may be the memory that this step overwrites.
        earlier = [(parameter, parameter.grad.clone()) for parameter in self.gradients if parameter.grad is not None]
        self.readout.gradient(self.now, δy)
        for layer in reversed(self.layers):
            layer.gradient(self.now)
        for parameter, gradient in self.gradients.items():
            parameter.grad = gradient
        for parameter, gradient in earlier:
            self.gradients[parameter].add_(gradient)


def stepper(
    layers: Sequence[RecurrentLayer], readout: Readout, state: RecurrentState, gradients: Mapping[Tensor, Tensor]
) -> RecurrentStepper | None:
    """Return the stepper of `Recurrent.stepper`; None if compiled loops cannot run or a neuron has none."""
    network = nn.ModuleList([*layers, readout])
    others = [readout, *(m for m in network.modules() if isinstance(m, (nn.Linear, StepBatchNorm)))]
    normed = any(isinstance(m, StepBatchNorm) for m in others)
    # Without the mask of the synapses that exist, which belongs to the layer and is no number of the step.
    buffers = [b for part in (readout, *(m for layer in layers for m in layer.children())) for b in part.buffers()]
    if (
        not all(single_step_of(layer.neuron) for layer in layers)
        or not has_loops(readout)
        or any(type(m) not in (nn.Linear, StepBatchNorm) or has_hooks(m) for m in others[1:])
        or len([*network.parameters()]) < len([*network.named_parameters(remove_duplicate=False)])  # some are shared
        or is_smoothed()
        or any(s.requires_grad for s in tensors(state))  # its parameters have a gradient in the first step
        or (normed and readout.training and len(state.y) == 1)  # the norm raises the error
        or not runs_compiled(state.y, *network.parameters(), *buffers, graph_is_ours=True)
    ):
        return None
    return RecurrentStepper(layers, readout, state, gradients)


def _map_step(map: nn.Linear, d: Tensor, δd: Tensor, gradients: Gradients) -> MapStep:
    c, δc = (None, None) if map.bias is None else (map.bias.detach(), gradients.of(map.bias))
    return MapStep(map.weight.detach(), c, d, δd, gradients.of(map.weight), δc)


class _Layer:
    """The synapses and the neurons of a layer: I_t = D_t + P_t, D_t = W x_t + c and P_t = R z_{t−1} + c_R, each through
    its norm if the layer has norms."""

    def __init__(
        self, layer: RecurrentLayer, x: Tensor, below: NeuronOneStep | None, state: Any, gradients: Gradients
    ) -> None:
        self.x, self.below = x, below
        I = x.new_empty(len(x), layer.inward.out_features)
        single_step = single_step_of(layer.neuron)
        assert single_step is not None  # `stepper` has checked this
        self.neurons = single_step(layer.neuron, I, state, gradients)
        D, P, δD, δP = I, I, self.neurons.δI, self.neurons.δI
        self.norms: list[NormWindow] = []
        if layer.inward_norm is not None and layer.recurrent_norm is not None:
            D, P, δD, δP = torch.empty(4, *I.shape, dtype=I.dtype).unbind(0)
            each = (layer.inward_norm, D, δD), (layer.recurrent_norm, P, δP)
            for adds, (norm, d, δd) in enumerate(each):
                self.norms.append(NormWindow(norm, d[None], I[None], adds=bool(adds)))
                of_norm = gradients.of(norm.weight), gradients.of(norm.bias)
                self.norms[-1].begin_back(self.neurons.δI[None], δd[None], *of_norm)
        self.inward = _map_step(layer.inward, D, δD, gradients)
        self.recurrent = _map_step(layer.recurrent, P, δP, gradients)

    def step(self, now: int, t: int) -> None:
        """Compute the state in buffer `now`; t is the index of the step in the sequence."""
        z_before = self.neurons.z[1 - now]
        self.inward.write(self._input(now))
        if self.norms:
            self.recurrent.write(z_before)
        else:
            self.recurrent.add(z_before)
        for norm in self.norms:
            norm.step(0, t)
        self.neurons.step(now)

    def _input(self, now: int) -> Tensor:
        return self.x if self.below is None else self.below.z[now]

    def gradient(self, now: int) -> None:
        """Compute the gradients of the parameters, and of the layer below, from those of z_t and v_t."""
        self.neurons.gradient(now)
        for norm in self.norms:
            norm.back(0)
        self.inward.gradient(self._input(now))
        self.recurrent.gradient(self.neurons.z[1 - now])
        if self.below is not None:
            self.inward.write_input_gradient(self.below.δz)


class _Readout:
    """The step of the readout, y_t from o_t, and its gradient, δo_t from δy_t."""

    def __init__(self, readout: Readout, neurons: NeuronOneStep, y: Tensor, gradients: Gradients) -> None:
        D, d, δy, δD = y.new_empty(4, 1, *y.shape).unbind(0)
        leak = leak_of(readout, D)
        d = D if leak.norm is None else d
        self.map = _map_step(readout.linear, D[0], δD[0], gradients)
        self.o, self.δo = (neurons.z, neurons.δz) if readout.reads == "z" else (neurons.v, neurons.δv)
        self.y = torch.stack((torch.empty_like(y), y)).unbind(0)
        self.δy = δy[0]
        δ = ReadoutGradients(*(None if p is None else gradients.of(p) for p in parameters_of(readout)))
        self.read = [bound(readout_loops.read, D, *leak, self.y[1 - now], d, self.y[now][None]) for now in (0, 1)]
        self.adjoint = bound(readout_loops.read_adjoint, D, *leak, δy, δ, δD, torch.empty_like(y))

    def step(self, now: int, t: int) -> Tensor:
        """Return y_t, in buffer `now`."""
        self.map.write(self.o[now])
        self.read[now](t)
        return self.y[now]

    def gradient(self, now: int, δy: Tensor) -> None:
        """Compute δo_t and the gradients of the parameters."""
        self.δy.copy_(δy)
        self.adjoint()
        self.map.gradient(self.o[now])
        self.map.write_input_gradient(self.δo)
