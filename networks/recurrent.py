"""Recurrent layers of one neuron type."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from throughtime.networks.base import Network, Step, Stepper, Window
from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.kernels.one_step import stepper
from throughtime.networks.kernels.readout_window import readout_window
from throughtime.networks.kernels.recurrent_gradient import with_recurrent_gradient
from throughtime.networks.kernels.spike_linear import spike_linear
from throughtime.networks.kernels.window import LayerWindow, layer_window
from throughtime.networks.readout import GatedReadout, LeakyReadout, Readout
from throughtime.neurons.base import Neuron
from throughtime.numerics.precision import products_of
from throughtime.registry import given, network, refuse_unused


class RecurrentLayer(nn.Module):
    """I_t = W x_t + c + R z_{t−1}, then the neuron's step; each product through its own norm where there are any."""

    def __init__(self, inward: nn.Linear, recurrent: nn.Linear, neuron: Neuron, norm_steps: int | None) -> None:
        super().__init__()
        self.inward, self.recurrent, self.neuron = inward, recurrent, neuron
        width = inward.out_features
        self.inward_norm = StepBatchNorm(width, norm_steps) if norm_steps else None
        self.recurrent_norm = StepBatchNorm(width, norm_steps) if norm_steps else None

    def current(self, drive: Tensor, z: Tensor, t: int) -> Tensor:
        """I_t from W x_t + c and z_{t−1}."""
        if self.inward_norm is None:
            R, c = self.recurrent.weight.t(), self.recurrent.bias
            return products_of(self.recurrent).addmm(drive if c is None else drive + c, z, R)
        return self.inward_norm(drive, t) + self.recurrent_norm(self.recurrent(z), t)

    def unroll(self, x: Tensor, bytes_of_x: Tensor | None, state: Any, t: int, reads_v: bool) -> LayerWindow:
        """The window that begins at step t; the input product of all its steps is taken at once.

        Args:
            bytes_of_x: x as bytes, where it is spikes.
            reads_v: whether membranes are wanted.
        """
        window = layer_window(self, x, bytes_of_x, state, t, reads_v)
        if window is not None:
            return window
        states, sent = [], []
        drive, products = self.inward(x), products_of(self.recurrent)
        if self.inward_norm is None:
            R_t = products.operand(self.recurrent.weight.detach()).t()
            drive = with_recurrent_gradient(drive, self.recurrent, sent)
        # Not x[t]: its backward pass would fill a whole window each step.
        for step, drive_t in enumerate(drive.unbind(0)):
            if self.inward_norm is None:
                sent.append(state.z.detach())
                current = products.addmm(drive_t, state.z, R_t)
            else:
                current = self.current(drive_t, state.z, t + step)
            _, state = self.neuron(current, state)
            states.append(state)
        v = torch.stack([s.v for s in states]) if reads_v else None
        return LayerWindow(torch.stack([s.z for s in states]), None, v, state)


class RecurrentState(NamedTuple):
    """States of the layers, the readout's y, and the number of steps so far."""

    layers: tuple[Any, ...]
    y: Tensor
    t: int


@network("recurrent")
class Recurrent(Network):
    """Fully recurrent layers, one after the other, and a readout of the last.

        I^l_t = W^l z^{l−1}_t + c^l + R^l z^l_{t−1},      z^0 = x

    Args:
        inputs: numbers a time step.
        outputs: width of the output.
        neuron: makes a layer of neurons from its size.
        hidden: neurons of each layer.
        readout: what is read, spikes or membranes of the last layer.
        readout_leak: `constant`, or `gated`: computed at each step.
        readout_tau: time constant of the constant leak in steps, κ = exp(−1/τ); 0: no memory, y_t = W o_t + c; null:
            20.
        weights: how W and R are drawn. `separate`: each U(±1/√fan-in) of its own; `joint`: both U(±1/√(fan-in + size)),
            as one linear map on [x ; z] would be (the authors' adding task); `hidden`: all U(±1/√size), as in
            torch.nn.RNN and LSTM; `orthogonal`: W by Glorot's normal rule, R orthogonal, biases 0 (their S-MNIST).
        recurrent_bias: whether R has a bias of its own.
        norm_steps: if given, W z + c, R z and the readout's drive are batch-normalised, each step with statistics of
            its own up to this many steps.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        neuron: Callable[[int], Neuron],
        *,
        hidden: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (64,),
        readout: Literal["spikes", "membrane"] = "spikes",
        readout_leak: Literal["constant", "gated"] = "constant",
        readout_tau: NonNegativeFloat | None = None,
        weights: Literal["separate", "joint", "hidden", "orthogonal"] = "separate",
        recurrent_bias: bool = False,
        norm_steps: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        refuse_unused("readout_leak: constant", readout_leak == "constant", readout_tau=readout_tau)
        readout_tau = given(readout_tau, 20.0)
        self.mixes_samples = norm_steps is not None
        # Synapses are drawn before what neurons draw, so that nets of all neurons start from the same synapses.
        with torch.random.fork_rng(devices=[]):
            currents = neuron(hidden[0]).currents
        fan_ins = [inputs, *hidden[:-1]]
        inward = [nn.Linear(fan_in, currents * size) for fan_in, size in zip(fan_ins, hidden, strict=True)]
        recurrent = [nn.Linear(size, currents * size, bias=recurrent_bias) for size in hidden]
        for W, R in zip(inward, recurrent, strict=True):
            _draw(W, R, weights)
        reads: Literal["z", "v"] = "z" if readout == "spikes" else "v"
        κ = math.exp(-1 / readout_tau) if readout_tau else 0.0
        reading: Readout
        if readout_leak == "gated":
            reading = GatedReadout(hidden[-1], outputs, reads)
        else:
            reading = LeakyReadout(hidden[-1], outputs, reads, κ)
        self.layers = nn.ModuleList(
            RecurrentLayer(W, R, neuron(size), norm_steps) for W, R, size in zip(inward, recurrent, hidden, strict=True)
        )
        self.spiking = self.layers[0].neuron.spiking
        self.readout = reading
        self.readout_norm = StepBatchNorm(outputs, norm_steps) if norm_steps else None

    def initial_state(self, batch: int) -> RecurrentState:
        like = self.readout.linear.weight
        return RecurrentState(
            layers=tuple(layer.neuron.initial_state(batch, like) for layer in self.layers),
            y=like.new_zeros(batch, self.readout.linear.out_features),
            t=0,
        )

    def forward(self, x: Tensor, state: RecurrentState) -> tuple[Step, RecurrentState]:
        spikes, states = [], []
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            x, layer_state = layer.neuron(layer.current(layer.inward(x), layer_state.z, state.t), layer_state)
            spikes.append(x)
            states.append(layer_state)
        y = self.read(self.readout.linear(getattr(states[-1], self.readout.reads)), state.y, state.t)
        return Step(y, tuple(spikes)), RecurrentState(tuple(states), y, state.t + 1)

    def read(self, d: Tensor, y: Tensor, t: int) -> Tensor:
        """y_t from the readout's linear map and y_{t−1}, [batch, outputs]."""
        return self.readout(d if self.readout_norm is None else self.readout_norm(d, t), y)

    def unroll(self, x: Tensor, state: RecurrentState) -> Window:
        spikes, last, bytes_of_x = [], [], None
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            reads_v = self.readout.reads == "v" and layer is self.layers[-1]
            window = layer.unroll(x, bytes_of_x, layer_state, state.t, reads_v)
            x, bytes_of_x = window.z, window.bytes_of_z
            spikes.append(x)
            last.append(window.state)
        o, bytes_of_o = (window.v, None) if self.readout.reads == "v" else (window.z, window.bytes_of_z)
        y = readout_window(self.readout, self.readout_norm, o, bytes_of_o, state.y, state.t)
        if y is None:
            d = self.readout.linear(o) if bytes_of_o is None else spike_linear(self.readout.linear, o, bytes_of_o)
            if self.readout_norm is not None:
                d = torch.stack([self.readout_norm(d_t, state.t + step) for step, d_t in enumerate(d.unbind(0))])
            y = self.readout.unroll(d, state.y)
        # A copy: a view would keep the outputs of the whole window alive with the state.
        return Window(y, tuple(spikes), RecurrentState(tuple(last), y[-1].clone(), state.t + len(x)))

    def stepper(self, state: RecurrentState, gradients: Mapping[Tensor, Tensor]) -> Stepper | None:
        # A subclass may take its steps in any other way.
        same = all(getattr(type(self), name) is getattr(Recurrent, name) for name in ("forward", "read", "unroll"))
        if not same or any(type(layer) is not RecurrentLayer for layer in self.layers):
            return None
        return stepper(self, state, gradients)


def _draw(W: nn.Linear, R: nn.Linear, how: str) -> None:
    """Draw W, c, R (and R's bias) anew; `separate` is what nn.Linear has done already."""
    if how == "orthogonal":
        nn.init.xavier_normal_(W.weight)
        nn.init.orthogonal_(R.weight)
        for bias in (W.bias, R.bias):
            if bias is not None:
                nn.init.zeros_(bias)
    elif how != "separate":
        bound = 1 / math.sqrt(R.in_features + (W.in_features if how == "joint" else 0))
        for parameter in (W.weight, W.bias, R.weight, R.bias):
            if parameter is not None:
                nn.init.uniform_(parameter, -bound, bound)
