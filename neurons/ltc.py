"""Liquid time-constant spiking neuron."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from throughtime.neurons.base import Neuron
from throughtime.neurons.surrogate import SurrogateName, spike
from throughtime.registry import neuron


class LTCState(NamedTuple):
    """Membrane potential after the reset (`u` in the paper), adaptation and spikes, [batch, size]."""

    v: Tensor
    b: Tensor
    z: Tensor


@neuron("ltc")
class LTC(Neuron):
    """Spiking neuron whose time constants are computed anew at each step from the current and the state.

        a_t = σ(W_M [I_t ; v_{t−1}] + b_M)               fraction of the gap to I_t closed in this step
        ρ_t = σ(W_A [I_t ; b_{t−1}] + b_A)               what adaptation keeps
        b_t = ρ_t b_{t−1} + (1 − ρ_t) z_{t−1}
        θ_t = b_0 + β b_t
        ṽ_t = v_{t−1} + a_t (I_t − v_{t−1})
        z_t = H(ṽ_t − θ_t)
        v_t = (1 − z_t) ṽ_t                              reset to 0; the gradient flows through z_t

    The gates see all neurons of the layer, so a neuron's state depends on the others' states and eligibility traces
    of single synapses do not exist: no `partials`. β = 0 is the neuron of the authors' adding task (fixed threshold;
    the adaptation gate is then not made). Cost: two products with [2 size, size] matrices a step and about 20
    elementwise operations; state 3 × size numbers. Source: Yin, Corradi and Bohte 2023, as released (dense layers).

    Args:
        size: neurons.
        b0: b_0, threshold at rest.
        beta: β, how far full adaptation raises the threshold.
        surrogate: gradient of the spike.
    """

    def __init__(
        self,
        size: int,
        *,
        b0: float = 0.1,
        beta: NonNegativeFloat = 1.8,
        surrogate: SurrogateName = "multi_gaussian",
    ) -> None:
        super().__init__(size)
        self.b0, self.beta, self.surrogate = b0, beta, surrogate
        self.membrane_gate = nn.Linear(2 * size, size)
        self.adaptation_gate = nn.Linear(2 * size, size) if beta else None

    def initial_state(self, batch: int, like: Tensor) -> LTCState:
        zeros = like.new_zeros(batch, self.size)
        return LTCState(v=zeros, b=zeros, z=zeros)

    def forward(self, current: Tensor, state: LTCState) -> tuple[Tensor, LTCState]:
        a = torch.sigmoid(self.membrane_gate(torch.cat((current, state.v), 1)))
        b = state.b
        if self.adaptation_gate is not None:
            ρ = torch.sigmoid(self.adaptation_gate(torch.cat((current, state.b), 1)))
            b = torch.lerp(state.z, state.b, ρ)
        v = torch.lerp(state.v, current, a)
        z = spike(v - (self.b0 + self.beta * b), self.surrogate)
        return z, LTCState((1 - z) * v, b, z)
