"""Liquid time-constant spiking neuron."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.gate import Gate, GateMap, dense, is_summed
from throughtime.neurons.surrogate import SurrogateName, constant, spike
from throughtime.neurons.time_constant import decay
from throughtime.numerics.equations.operations import σ
from throughtime.registry import neuron, or_default, refuse_unused


class LTCState(NamedTuple):
    """Membrane potential after the reset (`u` in the paper), adaptation and spikes, [batch, size]."""

    v: Tensor
    b: Tensor
    z: Tensor


@neuron("ltc", order=2)
class LTC(Neuron):
    """Spiking neuron whose time constants are computed anew at each step from the current and the state.

        a_t = σ(κ₁ (W_M [I_t ; v_{t−1}] + b_M))          update rate of the membrane
        ρ_t = σ(κ₂ (W_A [I_t ; b_{t−1}] + b_A))          decay of the adaptation
        b_t = ρ_t b_{t−1} + (1 − ρ_t) z_{t−1}
        θ_t = b_0 + β b_t
        ṽ_t = v_{t−1} + a_t (I_t − v_{t−1})
        z_t = H(ṽ_t − θ_t)
        v_t = (1 − z_t) ṽ_t                              reset to 0; the gradient flows through z_t

    The gates read all neurons of the layer, so the state of a neuron depends on those of the others; `partials` has
    only the diagonal of the Jacobian of the step. Cost per step: two products with [2 size, size] matrices and about
    20 elementwise operations; state 3 × size numbers. Source: Yin, Corradi and Bohte 2023, as released (dense layers;
    their convolutional ones sum the gates' inputs).

    Args:
        shape: neurons, their number or their arrangement.
        gate_map: function of the layer that builds W_M and W_A.
        gate_input: input of W_M: `concatenated`: [I_t ; v_{t−1}], W_M is [size, 2 size]; `summed`: I_t + v_{t−1}, W_M
            is [size, size]. The input of W_A has the same form. A convolutional layer sums in both cases.
        adaptation: `gated`, as above; `off`: b = 0, θ = b_0, no gate W_A; `unused`: off, but W_A exists without
            a gradient, as in the authors' adding task.
        b0: b_0, threshold at rest.
        beta: β, how far full adaptation raises the threshold; null: 1.8.
        slope: κ₁ and κ₂: `fixed` at 1, or `trained` with initial value 1.
        tau: initial membrane time constant in steps, by σ(b_M) = 1 − exp(−1/τ); null: b_M is drawn like W_M, and a_t
            is initially near 1/2, a memory of one or two steps.
        tau_max: if not null, τ is spaced logarithmically over the neurons from `tau` to `tau_max`.
        reset_gradient: whether the gradient flows through z_t into v_t.
        initial: state before a sequence: `zero`; `random`, as the authors: v from U(0, 1), also in evaluation, and
            b = b_0; `random_membrane`: the same with b = 0.
        surrogate: gradient of the spike.
    """

    membrane_slope: nn.Parameter | None
    adaptation_slope: nn.Parameter | None

    def __init__(
        self,
        shape: Shape,
        gate_map: GateMap = dense,
        *,
        gate_input: Literal["concatenated", "summed"] = "concatenated",
        adaptation: Literal["gated", "off", "unused"] = "gated",
        b0: float = 0.1,
        beta: PositiveFloat | None = None,
        slope: Literal["fixed", "trained"] = "fixed",
        tau: PositiveFloat | None = None,
        tau_max: PositiveFloat | None = None,
        reset_gradient: bool = True,
        initial: Literal["zero", "random", "random_membrane"] = "zero",
        surrogate: SurrogateName = "multi_gaussian",
    ) -> None:
        super().__init__(shape)
        refuse_unused("adaptation: gated", adaptation == "gated", beta=beta)
        refuse_unused("tau", tau is not None, tau_max=tau_max)
        self.b0, self.beta, self.surrogate = b0, or_default(beta, 1.8), surrogate
        self.adaptive, self.reset_gradient, self.initial = adaptation == "gated", reset_gradient, initial
        summed = gate_input == "summed" or is_summed(gate_map)
        reads = self.shape if summed else (2 * self.shape[0], *self.shape[1:])
        self.gates = {"a": Gate("membrane_gate", reads="v", summed=summed)}
        self.membrane_gate = gate_map(reads, self.shape)
        if tau is not None:
            bias = cast("Tensor", self.membrane_gate.bias)
            α = decay(bias.numel(), tau, tau_max)
            with torch.no_grad():
                bias.copy_(torch.log((1 - α) / α))
        self.adaptation_gate = None if adaptation == "off" else gate_map(reads, self.shape)
        if self.adaptive:
            self.gates["ρ"] = Gate("adaptation_gate", reads="b", summed=summed)
        elif self.adaptation_gate is not None:
            self.adaptation_gate.requires_grad_(False)
        for name in ("membrane_slope", "adaptation_slope"):
            trained = slope == "trained" and (self.adaptive or name == "membrane_slope")
            self.register_parameter(name, nn.Parameter(torch.ones(())) if trained else None)

    def initial_state(self, batch: int, like: Tensor) -> LTCState:
        zeros = like.new_zeros(batch, *self.shape)
        if self.initial == "zero":
            return LTCState(v=zeros, b=zeros, z=zeros)
        drawn = torch.rand(zeros.shape, dtype=zeros.dtype).to(zeros.device)  # the same numbers on every device
        return LTCState(v=drawn, b=zeros + self.b0 if self.initial == "random" else zeros, z=zeros)

    def step(self, I: Tensor, s: LTCState, g: Any) -> LTCState:
        a = σ(or_default(self.membrane_slope, 1.0) * g.a)
        b, θ = s.b, self.b0
        if self.adaptive:
            ρ = σ(or_default(self.adaptation_slope, 1.0) * g.ρ)
            b = s.z + ρ * (s.b - s.z)
            θ = self.b0 + self.beta * b
        ṽ = s.v + a * (I - s.v)
        z = spike(ṽ - θ, self.surrogate)
        v = (1 - (z if self.reset_gradient else constant(z))) * ṽ
        return LTCState(v, b, z)
