"""Liquid time-constant spiking neuron."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.gate import Gate, GateMap, dense, is_summed
from throughtime.neurons.surrogate import SurrogateOption, constant, spike
from throughtime.neurons.time_constant import decay
from throughtime.numerics.equations.operations import σ
from throughtime.registry import neuron, or_default, refuse_unused

READ = {
    **dict.fromkeys(("concatenated", "summed", "gated", "unused"), (True, True)),
    **dict.fromkeys(("current", "gated_by_current"), (True, False)),
    **dict.fromkeys(("state", "gated_by_state"), (False, True)),
    **dict.fromkeys(("none", "constant"), (False, False)),
}
"""Whether a gate reads the current and the state, by the values of `gate_input` and `adaptation`."""


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

    Options reduce a gate to W_M I_t + b_M or W_M v_{t−1} + b_M, or a_t to a constant of each neuron, and likewise ρ_t.
    The gates read all neurons of the layer, so the state of a neuron depends on those of the others; `partials` has
    only the diagonal of the Jacobian of the step. Cost per step: a product with a [size, 2 size] matrix for each gate,
    and about 20 elementwise operations; state 3 × size numbers. Source: Yin, Corradi and Bohte 2023, as released (dense
    layers; their convolutional ones sum the gates' inputs).

    Args:
        shape: neurons, their number or their arrangement.
        gate_map: function of the layer that builds W_M and W_A.
        gate_input: input of W_M: `concatenated`: [I_t ; v_{t−1}], W_M is [size, 2 size]; `summed`: I_t + v_{t−1}, W_M
            is [size, size]; `current`: I_t alone; `state`: v_{t−1} alone; `none`: a_t = σ(p_M) with a trained p_M for
            each neuron, initially 0. If W_A reads both, it reads their sum where W_M does. A convolutional layer always
            sums.
        adaptation: `gated`, as above; `gated_by_current`: W_A reads I_t alone; `gated_by_state`: b_{t−1} alone;
            `constant`: ρ_t = σ(p_A), with a trained p_A for each neuron, initially 0; `off`: θ = b_0, and b keeps its
            initial value, which nothing reads; no gate W_A; `unused`: off, but W_A exists without a gradient, as in the
            authors' adding task.
        b0: b_0, threshold at rest.
        beta: β, how far full adaptation raises the threshold; null: 1.8.
        slope: κ₁ and κ₂ of the gates: `fixed` at 1, or `trained` with initial value 1.
        tau: initial membrane time constant in steps, by σ(b_M) = 1 − exp(−1/τ), or σ(p_M); null: b_M is drawn like
            W_M, and a_t is initially near 1/2, a memory of one or two steps.
        tau_max: if not null, τ is spaced logarithmically over the neurons from `tau` to `tau_max`; in a convolutional
            layer over its channels.
        reset_gradient: whether the gradient flows through z_t into v_t.
        initial: state before a sequence: `zero`; `random`, as the authors: v from U(0, 1), also in evaluation, and
            b = b_0; `random_membrane`: the same with b = 0.
        surrogate: gradient of the spike.

    Raises:
        ValueError: an option has no effect without another.

    Example:
        >>> neuron = tt.neuron_type("ltc")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'b', 'z'))

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """

    reset_step = "same_step"
    membrane_gate: nn.Module | None
    adaptation_gate: nn.Module | None
    membrane_constant: Any
    adaptation_constant: Any
    """A parameter if there is no gate, else None; a symbol while the step is traced."""
    membrane_slope: nn.Parameter | None
    adaptation_slope: nn.Parameter | None

    def __init__(
        self,
        shape: Shape,
        gate_map: GateMap = dense,
        *,
        gate_input: Literal["concatenated", "summed", "current", "state", "none"] = "concatenated",
        adaptation: Literal["gated", "gated_by_current", "gated_by_state", "constant", "off", "unused"] = "gated",
        b0: float = 0.1,
        beta: PositiveFloat | None = None,
        slope: Literal["fixed", "trained"] = "fixed",
        tau: PositiveFloat | None = None,
        tau_max: PositiveFloat | None = None,
        reset_gradient: bool = True,
        initial: Literal["zero", "random", "random_membrane"] = "zero",
        surrogate: SurrogateOption = "multi_gaussian",
    ) -> None:
        super().__init__(shape)
        self.adaptive = adaptation not in ("off", "unused")
        refuse_unused("adaptation", self.adaptive, beta=beta)
        refuse_unused("tau", tau is not None, tau_max=tau_max)
        self.b0, self.beta, self.surrogate = b0, or_default(beta, 1.8), surrogate
        self.reset_gradient, self.initial = reset_gradient, initial
        summed = gate_input == "summed" or is_summed(gate_map)
        self._add_time_constant("a", "membrane", "v", READ[gate_input], gate_map, summed)
        if tau is not None:
            gate = self.membrane_gate
            bias = cast("Tensor", self.membrane_constant if gate is None else gate.bias)
            α = decay(tuple(bias.shape), tau, tau_max)
            with torch.no_grad():
                bias.copy_(torch.log((1 - α) / α))
        if adaptation == "off":
            self.adaptation_gate = self.adaptation_constant = None
        else:
            self._add_time_constant("ρ", "adaptation", "b", READ[adaptation], gate_map, summed)
        if adaptation == "unused":
            del self.gates["ρ"]
            cast("nn.Module", self.adaptation_gate).requires_grad_(False)
        refuse_unused("a gate", bool(self.gates) or slope == "fixed", slope=slope)
        for name, g in (("membrane_slope", "a"), ("adaptation_slope", "ρ")):
            trained = slope == "trained" and g in self.gates
            self.register_parameter(name, nn.Parameter(torch.ones(())) if trained else None)

    def _add_time_constant(
        self, g: str, name: str, field: str, reads: tuple[bool, bool], gate_map: GateMap, summed: bool
    ) -> None:
        """Add the map `name`_gate with its output g or, if it would read nothing, the parameter `name`_constant."""
        gate, constant, (current, state) = None, None, reads
        if current or state:
            summed = summed and current and state
            parts = current + state - summed
            gate = gate_map((parts * self.shape[0], *self.shape[1:]), self.shape)
            self.gates[g] = Gate(f"{name}_gate", field if state else None, summed, current)
        else:
            constant = nn.Parameter(torch.zeros(self.shape))
        setattr(self, f"{name}_gate", gate)
        self.register_parameter(f"{name}_constant", constant)

    def initial_state(self, batch: int, like: Tensor) -> LTCState:
        zeros = like.new_zeros(batch, *self.shape)
        if self.initial == "zero":
            return LTCState(v=zeros, b=zeros, z=zeros)
        drawn = torch.rand(zeros.shape, dtype=zeros.dtype).to(zeros.device)  # the same numbers on every device
        return LTCState(v=drawn, b=zeros + self.b0 if self.initial == "random" else zeros, z=zeros)

    def step(self, I: Tensor, s: LTCState, g: Any = None) -> LTCState:
        a = σ(or_default(self.membrane_slope, 1.0) * g.a if "a" in self.gates else self.membrane_constant)
        b, θ = s.b, self.b0
        if self.adaptive:
            ρ = σ(or_default(self.adaptation_slope, 1.0) * g.ρ if "ρ" in self.gates else self.adaptation_constant)
            b = s.z + ρ * (s.b - s.z)
            θ = self.b0 + self.beta * b
        ṽ = s.v + a * (I - s.v)
        z = spike(ṽ - θ, self.surrogate)
        v = (1 - (z if self.reset_gradient else constant(z))) * ṽ
        return LTCState(v, b, z)
