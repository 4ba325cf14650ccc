"""Recurrent layers of one neuron type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from throughtime.networks.base import Network, Step, Window
from throughtime.neurons.base import Neuron
from throughtime.neurons.readout import Readout
from throughtime.registry import network


class RecurrentLayer(nn.Module):
    """I_t = W x_t + c + R z_{t−1}, then the neuron's step."""

    def __init__(self, inward: nn.Linear, recurrent: nn.Linear, neuron: Neuron) -> None:
        super().__init__()
        self.inward, self.recurrent, self.neuron = inward, recurrent, neuron

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.neuron(self.inward(x) + self.recurrent(state.z), state)

    def unroll(self, x: Tensor, state: Any) -> list[Any]:
        """States after each step; the input product of the whole window is taken at once."""
        R = self.recurrent.weight.t()
        states = []
        for drive in self.inward(x).unbind(0):  # not x[t]: its backward pass would fill a whole window each step
            _, state = self.neuron(torch.addmm(drive, state.z, R), state)
            states.append(state)
        return states


class RecurrentState(NamedTuple):
    """States of the layers, and the readout's y."""

    layers: tuple[Any, ...]
    y: Tensor


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
        readout_tau: time constant of the readout in steps, κ = exp(−1/τ); 0: no memory, y_t = W o_t + c.
        weights: how W and R are drawn. `separate`: each U(±1/√fan-in) of its own; `joint`: both U(±1/√(fan-in + size)),
            as one linear map on [x ; z] would be (the authors' adding task).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        neuron: Callable[[int], Neuron],
        *,
        hidden: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (64,),
        readout: Literal["spikes", "membrane"] = "spikes",
        readout_tau: NonNegativeFloat = 20.0,
        weights: Literal["separate", "joint"] = "separate",
    ) -> None:
        super().__init__()
        # Synapses are drawn before what neurons draw, so that nets of all neurons start from the same synapses.
        fan_ins = [inputs, *hidden[:-1]]
        inward = [nn.Linear(fan_in, size) for fan_in, size in zip(fan_ins, hidden, strict=True)]
        recurrent = [nn.Linear(size, size, bias=False) for size in hidden]
        if weights == "joint":
            for W, R in zip(inward, recurrent, strict=True):
                _draw_jointly(W, R)
        κ = math.exp(-1 / readout_tau) if readout_tau else 0.0
        reading = Readout(hidden[-1], outputs, "z" if readout == "spikes" else "v", κ)
        self.layers = nn.ModuleList(
            RecurrentLayer(W, R, neuron(size)) for W, R, size in zip(inward, recurrent, hidden, strict=True)
        )
        self.readout = reading

    def initial_state(self, batch: int) -> RecurrentState:
        like = self.readout.linear.weight
        return RecurrentState(
            layers=tuple(layer.neuron.initial_state(batch, like) for layer in self.layers),
            y=like.new_zeros(batch, self.readout.linear.out_features),
        )

    def forward(self, x: Tensor, state: RecurrentState) -> tuple[Step, RecurrentState]:
        spikes, states = [], []
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            x, layer_state = layer(x, layer_state)
            spikes.append(x)
            states.append(layer_state)
        y = self.readout(getattr(states[-1], self.readout.reads), state.y)
        return Step(y, tuple(spikes)), RecurrentState(tuple(states), y)

    def unroll(self, x: Tensor, state: RecurrentState) -> Window:
        spikes, last = [], []
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            states = layer.unroll(x, layer_state)
            x = torch.stack([s.z for s in states])
            spikes.append(x)
            last.append(states[-1])
        o = x if self.readout.reads == "z" else torch.stack([s.v for s in states])
        y = self.readout.unroll(o, state.y)
        return Window(y, tuple(spikes), RecurrentState(tuple(last), y[-1]))


def _draw_jointly(W: nn.Linear, R: nn.Linear) -> None:
    bound = 1 / math.sqrt(W.in_features + R.in_features)
    for parameter in (W.weight, W.bias, R.weight):
        nn.init.uniform_(parameter, -bound, bound)
