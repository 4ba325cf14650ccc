"""Liquid time-constant spiking neuron."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Derivative, InputJacobian, Neuron, Partials, Shape
from throughtime.neurons.surrogate import SURROGATES, SurrogateName, constant, spike
from throughtime.neurons.time_constant import decay
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
        gate_input: input of W_M: `concatenated`: [I_t ; v_{t−1}], W_M is [size, 2 size]; `summed`: I_t + v_{t−1}, W_M
            is [size, size]. The input of W_A has the same form.
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
            b = b_0.
        surrogate: gradient of the spike.
    """

    membrane_slope: nn.Parameter | None
    adaptation_slope: nn.Parameter | None

    def __init__(
        self,
        shape: Shape,
        *,
        gate_input: Literal["concatenated", "summed"] = "concatenated",
        adaptation: Literal["gated", "off", "unused"] = "gated",
        b0: float = 0.1,
        beta: PositiveFloat | None = None,
        slope: Literal["fixed", "trained"] = "fixed",
        tau: PositiveFloat | None = None,
        tau_max: PositiveFloat | None = None,
        reset_gradient: bool = True,
        initial: Literal["zero", "random"] = "zero",
        surrogate: SurrogateName = "multi_gaussian",
    ) -> None:
        super().__init__(shape)
        refuse_unused("adaptation: gated", adaptation == "gated", beta=beta)
        refuse_unused("tau", tau is not None, tau_max=tau_max)
        self.gate_input, self.b0, self.beta, self.surrogate = gate_input, b0, or_default(beta, 1.8), surrogate
        self.adaptive, self.reset_gradient, self.initial = adaptation == "gated", reset_gradient, initial
        reads = 2 * self.size if gate_input == "concatenated" else self.size
        self.membrane_gate = nn.Linear(reads, self.size)
        if tau is not None:
            α = decay(self.size, tau, tau_max)
            with torch.no_grad():
                self.membrane_gate.bias.copy_(torch.log((1 - α) / α))
        self.adaptation_gate = nn.Linear(reads, self.size) if adaptation != "off" else None
        if self.adaptation_gate is not None and not self.adaptive:
            self.adaptation_gate.requires_grad_(False)
        for name in ("membrane_slope", "adaptation_slope"):
            trained = slope == "trained" and (self.adaptive or name == "membrane_slope")
            self.register_parameter(name, nn.Parameter(torch.ones(())) if trained else None)

    def initial_state(self, batch: int, like: Tensor) -> LTCState:
        zeros = like.new_zeros(batch, *self.shape)
        if self.initial == "zero":
            return LTCState(v=zeros, b=zeros, z=zeros)
        drawn = torch.rand(zeros.shape, dtype=zeros.dtype).to(zeros.device)  # the same numbers on every device
        return LTCState(v=drawn, b=zeros + self.b0, z=zeros)

    def forward(self, current: Tensor, state: LTCState) -> tuple[Tensor, LTCState]:
        a = self._gate(self.membrane_gate, self.membrane_slope, self._gate_input(current, state.v)).view_as(state.v)
        b, θ = state.b, self.b0
        if self.adaptive and self.adaptation_gate is not None:
            ρ = self._gate(self.adaptation_gate, self.adaptation_slope, self._gate_input(current, state.b))
            b = torch.lerp(state.z, state.b, ρ.view_as(state.b))
            θ = self.b0 + self.beta * b
        v = torch.lerp(state.v, current, a)
        z = spike(v - θ, self.surrogate)
        return z, LTCState((1 - (z if self.reset_gradient else constant(z))) * v, b, z)

    def _gate_input(self, current: Tensor, state: Tensor) -> Tensor:
        I, s = current.flatten(1), state.flatten(1)
        return torch.cat((I, s), 1) if self.gate_input == "concatenated" else I + s

    @staticmethod
    def _gate(gate: nn.Linear, slope: Tensor | None, q: Tensor) -> Tensor:
        return torch.sigmoid(gate(q) if slope is None else slope * gate(q))

    def partials(self, current: Tensor, state: LTCState, next_state: LTCState) -> Partials:
        """Return the diagonal, with the derivatives of each gate only by the current and state of its own neuron."""
        β, z = self.beta, next_state.z
        inflows: dict[str, InputJacobian] = {}
        on_current: dict[str, Derivative] = {}
        before: dict[tuple[str, str], Derivative] = {}
        gap = current - state.v
        a, by_current, by_state = self._gate_partials("membrane", current, state.v, "ṽ", gap, inflows)
        on_current["ṽ"] = a + by_current
        before["ṽ", "v"] = 1 - a + by_state
        ṽ, θ, now = torch.lerp(state.v, current, a), self.b0, {}
        if not self.adaptive:
            before["b", "b"] = 1.0
        else:
            fall = state.b - state.z
            ρ, by_current, by_state = self._gate_partials("adaptation", current, state.b, "b", fall, inflows)
            on_current["b"] = by_current
            before["b", "b"] = ρ + by_state
            before["b", "z"] = 1 - ρ
            θ = self.b0 + β * next_state.b
        ψ = SURROGATES[self.surrogate].h(ṽ - θ)
        now["z", "ṽ"] = ψ
        if self.adaptive:
            now["z", "b"] = -β * ψ
        now["v", "ṽ"] = 1 - z
        if self.reset_gradient:
            now["v", "z"] = -ṽ
        return Partials(before, now, {"current": InputJacobian(on_current), **inflows})

    def _gate_partials(
        self, name: str, current: Tensor, state: Tensor, s: str, reach: Tensor, inflows: dict[str, InputJacobian]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the value of a gate o = σ(κ g) with ∂s/∂o = `reach`, and the derivatives of s through it by the
        current and state of its neuron. Adds the inflows of the gate's map and slope."""
        gate, κ = getattr(self, f"{name}_gate"), getattr(self, f"{name}_slope")
        q = self._gate_input(current, state)
        g = gate(q)
        value = torch.sigmoid(g if κ is None else κ * g)
        by_slope = reach * value * (1 - value)
        by_g = by_slope if κ is None else by_slope * κ
        inflows[f"{name}_gate"] = InputJacobian({s: by_g}, presynaptic=q)
        if κ is not None:
            inflows[f"{name}_slope"] = InputJacobian({s: by_slope * g})
        W_I, W_s = gate.weight[:, : self.size].diagonal(), gate.weight[:, -self.size :].diagonal()
        return value, by_g * W_I, by_g * W_s
