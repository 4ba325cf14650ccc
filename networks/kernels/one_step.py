"""A recurrent network's step from a state that is held constant, and its gradient in closed form.

Rules that update at every step need no more than this. A step and its gradient are a few compiled loops on buffers that
all steps share: there is no graph, no stored history, and little overhead between the products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.networks.batch_norm import EPSILON, MOMENTUM, StepBatchNorm
from throughtime.networks.kernels import one_step_loops
from throughtime.networks.layer import RecurrentLayer, RecurrentState
from throughtime.networks.readout import GatedReadout, LeakyReadout, Readout
from throughtime.neurons.kernels.generated_step import single_step_of
from throughtime.neurons.kernels.one_step import DoubleBuffered, Gradients, NeuronOneStep
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.gemm import has_gemm
from throughtime.numerics.loops import bound, runs_compiled


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
        self.gradients, self.now = gradients, 1
        self.t = torch.tensor([state.t])
        self.x = state.y.new_empty(len(state.y), layers[0].inward.in_features)
        self.layers: list[_Layer] = []
        for layer, before in zip(layers, state.layers, strict=True):
            below = self.layers[-1].neurons if self.layers else None
            reads_v = layer is layers[-1] and readout.reads == "v"
            self.layers.append(_Layer(layer, self.t, self.x, below, before, places, reads_v))
        self.readout = _Readout(readout, self.t, self.layers[-1].neurons, state.y, places)

    def step(self, x: Tensor) -> Tensor:
        """Return y_t [batch, outputs] for x_t [batch, inputs]."""
        self.now = 1 - self.now
        self.x.copy_(x)
        for layer in self.layers:
            layer.step(self.now)
        self.readout.step(self.now)
        self.t += 1
        return self.readout.y[self.now][0].clone()

    def gradient(self, δy: Tensor) -> None:
        """Write the gradient of the last step, from δy, to `.grad` of each trained parameter."""
        self.readout.δy[0].copy_(δy)
        self.readout.gradient(self.now)
        for layer in reversed(self.layers):
            layer.gradient(self.now)
        for parameter, gradient in self.gradients.items():
            parameter.grad = gradient


def stepper(
    layers: Sequence[RecurrentLayer], readout: Readout, state: RecurrentState, gradients: Mapping[Tensor, Tensor]
) -> RecurrentStepper | None:
    """Return the stepper of `Recurrent.stepper`; None if compiled loops cannot run or a neuron has none."""
    network = nn.ModuleList([*layers, readout])
    others = [readout, *(m for m in network.modules() if isinstance(m, (nn.Linear, StepBatchNorm)))]
    normed = any(isinstance(m, StepBatchNorm) for m in others)
    if (
        not all(single_step_of(layer.neuron) for layer in layers)
        or any(type(m) not in (nn.Linear, StepBatchNorm, GatedReadout, LeakyReadout) for m in others)
        or len([*network.parameters()]) < len([*network.named_parameters(remove_duplicate=False)])  # some are shared
        or is_smoothed()
        or (normed and readout.training and len(state.y) == 1)  # the norm raises the error
        or not has_gemm()
        or not runs_compiled(state.y, *network.parameters(), *network.buffers(), graph_is_ours=True)
    ):
        return None
    return RecurrentStepper(layers, readout, state, gradients)


class _Layer(DoubleBuffered):
    """The synapses and the neurons of a layer."""

    def __init__(
        self,
        layer: RecurrentLayer,
        t: Tensor,
        x: Tensor,
        below: NeuronOneStep | None,
        state: Any,
        gradients: Gradients,
        reads_v: bool,
    ) -> None:
        super().__init__()
        batch, (W, c), (R, c_R) = len(x), _map(layer.inward), _map(layer.recurrent)
        I, D, P, δD, δP = x.new_empty(5, batch, len(W)).unbind(0)
        single_step = single_step_of(layer.neuron)
        assert single_step is not None  # `stepper` has checked this
        self.neurons = single_step(layer.neuron, I, state, gradients, reads_v)
        norms, normed = (layer.inward_norm, layer.recurrent_norm), layer.inward_norm is not None
        of_norms = [_norm(norm, D) for norm in norms]
        if not normed:
            δD = δP = self.neurons.δI
        statistics, training = x.new_empty(2, 2, len(W)), layer.training
        δ = [gradients.of(p) for p in (W, c, R, c_R, *of_norms[0][:2], *of_norms[1][:2])]
        δx = self.neurons.δz if below is None else below.δz
        for now in (0, 1):
            z_before, x_now = self.neurons.z[1 - now], x if below is None else below.z[now]
            norms_of_both = (normed, *of_norms[0], *of_norms[1], MOMENTUM, EPSILON, training, statistics)
            read = (x_now, z_before, W, normed, of_norms[0][0], of_norms[1][0], training, statistics, D, P)
            self.add_buffer(
                bound(one_step_loops.currents, t, x_now, z_before, W, c, R, c_R, *norms_of_both, D, P, I),
                bound(one_step_loops.currents_gradient, *read, self.neurons.δI, δD, δP, *δ, below is not None, δx),
            )

    def step(self, now: int) -> None:
        super().step(now)
        self.neurons.step(now)

    def gradient(self, now: int) -> None:
        self.neurons.gradient(now)
        super().gradient(now)


class _Readout(DoubleBuffered):
    """The step of the readout, y_t from o_t, and its gradient, δo_t from δy_t."""

    def __init__(self, readout: Readout, t: Tensor, neurons: NeuronOneStep, y: Tensor, gradients: Gradients) -> None:
        super().__init__()
        norm, training = readout.norm, readout.training
        (W, c), (batch, outputs) = _map(readout.linear), y.shape
        self.y = torch.stack((torch.empty_like(y), y))[:, None].unbind(0)
        self.δy, D, d, g, λ, δg, δd, δD = y.new_empty(8, 1, batch, outputs).unbind(0)
        gated, δy_before = isinstance(readout, GatedReadout), torch.empty_like(y)
        of_gate = y.new_empty(1, batch, 2 * outputs)
        decay = 0.0 if gated else readout.decay
        W_τ, b_τ, κ = W, c, y.new_ones(())
        if isinstance(readout, GatedReadout):
            W_τ, b_τ, κ = *_map(readout.gate), readout.slope
        of_norm, statistics = _norm(norm, D[0]), y.new_empty(2, outputs)
        if norm is None:
            d, δD = D, δd
        δ = [gradients.of(p) for p in (W, c, *of_norm[:2], W_τ, b_τ, κ)]
        δo = neurons.δv if readout.reads == "v" else neurons.δz
        for now in (0, 1):
            o = getattr(neurons, readout.reads)[now]
            normed = (norm is not None, *of_norm, MOMENTUM, EPSILON, training, statistics)
            gate = (gated, decay, W_τ, b_τ, κ, of_gate, g, λ)
            of_o = (o, W, norm is not None, of_norm[0], training, statistics, D)
            of_y = (gated, decay, W_τ, κ, of_gate, g, λ, self.δy, δy_before, δg, δd, δD)
            self.add_buffer(
                bound(one_step_loops.read, t, o, W, c, *normed, D, d, *gate, self.y[1 - now][0], self.y[now]),
                bound(one_step_loops.read_gradient, *of_o, *of_y, *δ, δo),
            )


def _map(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return W and c; c is empty if the map has no bias."""
    return linear.weight, linear.weight.new_empty(0) if linear.bias is None else linear.bias


def _norm(norm: StepBatchNorm | None, like: Tensor) -> tuple[Tensor, ...]:
    """Return w, c and the running statistics of a norm; empty tensors if there is no norm."""
    if norm is None:
        return (like.new_empty(0),) * 2 + (like.new_empty(0, 0),) * 2
    return norm.weight, norm.bias, norm.running_mean, norm.running_var
