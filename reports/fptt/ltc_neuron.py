"""The authors' illustration of the LTC neuron: spikes and firing rates beside those of a neuron with a fixed τ.

Two units with all weights 1 read one input x_t; the threshold is 1 and the state starts at 0:

    I_t = x_t,    a_t = σ(Σ_units (I_t + v_{t−1}) − 5),    fixed: a_t = σ(0) = ½

Source: byin-cwi/sFPTT, fptt_AddTask/LTC_example.ipynb. The published rates count the initial state as a step.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from throughtime.neurons.ltc import LTC

Kind = Literal["ltc", "fixed"]
Sweep = Literal["noise", "mean", "spikes"]
UNITS = 2
SIZES: dict[Sweep, int] = {"noise": 40, "mean": 50, "spikes": 50}
"""Number of settings of each sweep."""
LABELS: dict[Sweep, str] = {"noise": "width of the noise", "mean": "mean input", "spikes": "rate of input spikes"}
SAMPLES = 200
"""Samples of the noise at each setting."""


class Trace(NamedTuple):
    """Membrane after the reset, spikes and update rate of one unit, [steps]."""

    v: Tensor
    z: Tensor
    a: Tensor


def neuron(kind: Kind) -> LTC:
    """Return the two units; the gate of a neuron with a fixed τ has weights and bias 0."""
    layer = LTC(UNITS, gate_input="summed", adaptation="off", b0=1.0)
    with torch.no_grad():
        gate = cast(nn.Linear, layer.membrane_gate)
        gate.weight.fill_(float(kind == "ltc"))
        gate.bias.fill_(-5.0 if kind == "ltc" else 0.0)
    return layer


@torch.no_grad()
def trace(kind: Kind, x: Tensor) -> Trace:
    """Return the first unit's states for an input [steps]."""
    layer = neuron(kind)
    gate, state, rows = cast(nn.Linear, layer.membrane_gate), layer.initial_state(1, x), []
    for x_t in x:
        I = x_t.expand(1, UNITS)
        a = torch.sigmoid(gate(I + state.v))
        _, state = layer(I, state)
        rows.append((state.v[0, 0], state.z[0, 0], a[0, 0]))
    return Trace(*(torch.stack(column) for column in zip(*rows, strict=True)))


@cache
@torch.no_grad()
def rates(kind: Kind, sweep: Sweep) -> Tensor:
    """Return the mean firing rates for each setting and sample of a sweep, [settings, samples]; about a second."""
    x = torch.stack([inputs(sweep, s) for s in range(SIZES[sweep])], 1).flatten(1)
    layer, spikes = neuron(kind), torch.zeros(x.shape[1])
    state = layer.initial_state(x.shape[1], x)
    for x_t in x.unbind(0):
        z, state = layer(x_t[:, None].expand(-1, UNITS), state)
        spikes += z[:, 0]
    return (spikes / (len(x) + 1)).view(SIZES[sweep], SAMPLES)


def setting(sweep: Sweep, s: int) -> float:
    """Return the value on the axis of a sweep: width of the noise, mean input, or rate of input spikes."""
    return {"noise": s / 20, "mean": 1 + s / 50, "spikes": s / 50}[sweep]


def inputs(sweep: Sweep, s: int) -> Tensor:
    """Return x, [steps, samples], at setting s: U is uniform in (0, 1).

    `noise`: 1 + s/20 (U − ½); `mean`: 1 + s/50 + (U − ½)/10; `spikes`: 1.1 with probability s/50, of 1000 steps.
    """
    generator = torch.Generator().manual_seed(s)
    U = torch.rand(1000 if sweep == "spikes" else 500, SAMPLES, generator=generator)
    if sweep == "spikes":
        return 1.1 * (s / 50 > U)
    return 1 + s / 20 * (U - 0.5) if sweep == "noise" else 1 + s / 50 + (U - 0.5) / 10
