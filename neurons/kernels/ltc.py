"""The window of the liquid time-constant neuron: its step and its adjoint on buffers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from throughtime.neurons.kernels import ltc_loops
from throughtime.neurons.kernels.kernel import Kernel, kernel_for, number_or_tensor, slots
from throughtime.neurons.ltc import LTC, LTCState
from throughtime.neurons.surrogate import SURROGATES
from throughtime.numerics.exp2 import base_two
from throughtime.numerics.gemm import has_gemm
from throughtime.numerics.loops import runs_compiled
from throughtime.numerics.precision import FLOAT32, products_of


class Gate:
    """One gate of all steps: o_t = σ(κ g_t), g_t = W [I_t ; s_{t−1}] + b, or W (I_t + s_{t−1}) + b.

        δg_t = κ o_t (1 − o_t) δo_t;     [δI_t ; δs_{t−1}] += Wᵀ δg_t;     δκ = Σ_t o_t (1 − o_t) δo_t g_t

    The gradients by W and b are products and a sum over all steps at once, after the last. The object stores g.

    Args:
        map: W and b.
        κ: the slope; None: 1.
        window: a tensor with the shape of the window, [steps, batch, size].
        keep: whether the backward pass will be called.
    """

    def __init__(self, map: nn.Linear, κ: Tensor | None, window: Tensor, keep: bool) -> None:
        self.size = window.shape[2]
        self.products = products_of(map)
        self.W, self.b = self.products.operand(map.weight.detach()), map.bias.detach()
        self.slope = window.new_ones(()) if κ is None else κ.detach()
        self.κ = 1.0 if κ is None else number_or_tensor(self.slope)
        self.κ2 = base_two(self.κ)
        self.learns_κ, self.summed = κ is not None, map.in_features == self.size
        self.W_I, self.W_s = self.W[:, : self.size], self.W[:, -self.size :]
        self.W_I_t, self.W_s_t = self.W_I.t(), self.W_s.t()
        self.G, self.g = slots(window, keep)
        self.compiled = self.products is FLOAT32 and has_gemm() and runs_compiled(window, self.W, self.b)

    def preactivation(self, t: int, I: Tensor, s: Tensor) -> Tensor:
        """Return g_t from I_t and s_{t−1}."""
        if self.summed:
            return self.products.addmm(self.b, I + s, self.W_I_t, out=self.g[t])
        g = self.products.addmm(self.b, I, self.W_I_t, out=self.g[t])
        return self.products.addmm(g, s, self.W_s_t, out=g)

    def o(self, t: int) -> Tensor:
        """Return o_t."""
        return torch.sigmoid(self.g[t] * self.κ)

    def begin_back(self) -> None:
        self.δG = torch.empty_like(self.G)
        self.δg = self.δG.unbind(0)
        self.δκ: float | Tensor = 0.0

    def gate_gradient(self, t: int, o: Tensor, δo: Tensor) -> None:
        """Compute δg_t, and add the contribution of step t to δκ."""
        by_slope = torch.addcmul(o, o, o, value=-1).mul_(δo)
        if self.learns_κ:
            self.δκ = self.δκ + torch.dot(by_slope.view(-1), self.g[t].view(-1))
        torch.mul(by_slope, self.κ, out=self.δg[t])

    def back(self, t: int, δI: Tensor, δs: Tensor | None) -> None:
        """Add the contribution of δg_t to δI_t and, if given, to δs_{t−1}."""
        δg = self.δg[t]
        if self.summed:
            δq = self.products.matmul(δg, self.W)
            δI.add_(δq)
            if δs is not None:
                δs.add_(δq)
        else:
            self.products.addmm(δI, δg, self.W_I, out=δI)
            if δs is not None:
                self.products.addmm(δs, δg, self.W_s, out=δs)

    def gradients(self, name: str, I: Tensor, s_first: Tensor, s: Tensor) -> dict[str, Tensor | None]:
        """Return the gradients of W, b and κ by their names in the neuron; s_first is s before the window."""
        products, δG = self.products, self.δG.flatten(0, 1)
        by_W = torch.empty_like(self.W, dtype=δG.dtype)
        δκ = torch.as_tensor(self.δκ, dtype=δG.dtype) if self.learns_κ else None
        if self.compiled:
            by_b = δG.new_empty(len(by_W))
            ltc_loops.gate_gradients(δG, I.flatten(0, 1), s_first, s.flatten(0, 1), by_W, by_b)
            del self.δG, self.δg
            return {f"{name}_gate.weight": by_W, f"{name}_gate.bias": by_b, f"{name}_slope": δκ}
        by_I, by_s = by_W[:, : I.shape[2]], by_W[:, -I.shape[2] :]  # the same if the gate reads their sum
        products.matmul(δG.t(), I.flatten(0, 1), out=by_I)
        if self.summed:
            products.addmm(by_s, self.δg[0].t(), s_first, out=by_s)
        else:
            products.matmul(self.δg[0].t(), s_first, out=by_s)
        if len(s) > 1:
            products.addmm(by_s, self.δG[1:].flatten(0, 1).t(), s[:-1].flatten(0, 1), out=by_s)
        del self.δG, self.δg
        return {f"{name}_gate.weight": by_W, f"{name}_gate.bias": δG.sum(0), f"{name}_slope": δκ}


@kernel_for(LTC)
class LTCKernel(Kernel):
    """The LTC neuron's window. Its equations are in `ltc.py`, x_t = ṽ_t − θ_t; their adjoint, from t = T − 1 on:

        δz_t += (1 − ρ_{t+1}) δb_{t+1} − ṽ_t δv_t         the reset's part only where its gradient flows
        δx_t  = h(x_t) δz_t
        δṽ_t  = (1 − z_t) δv_t + δx_t
        δb_t  = −β δx_t + the δb_t of step t + 1
        δa_t  = δṽ_t (I_t − v_{t−1}),                     δρ_t = δb_t (b_{t−1} − z_{t−1})
        δI_t  = a_t δṽ_t                                  and through both gates
        δv_{t−1} = (1 − a_t) δṽ_t                         and through gate a
        δb_{t−1} = ρ_t δb_t                               and through gate ρ

    The kernel stores I, v and g of gate a; with adaptation also b and g of gate ρ. Time: per gate and step two products
    forward and two backward, and one product per window for each part of its weights. The elementwise work is one pass
    forward and three backward in compiled loops, otherwise about 40 operations per step.
    """

    neuron: LTC

    def begin(self, state: LTCState, Z: Tensor) -> None:
        neuron, I, keep = self.neuron, self.I, self.keep
        self.before = state
        self.gate_a = Gate(neuron.membrane_gate, neuron.membrane_slope, I, keep)
        self.gate_ρ = None
        if neuron.adaptive and neuron.adaptation_gate is not None:
            self.gate_ρ = Gate(neuron.adaptation_gate, neuron.adaptation_slope, I, keep)
            self.B, self.b = slots(I, keep)
        self.V, self.v = slots(I, keep or self.reads_v)
        self.compiled = self.gate_a.compiled and runs_compiled(I, *state)
        if self.gate_ρ is not None:
            self.compiled &= self.gate_ρ.compiled

    def step(self, t: int, I: Tensor, z_before: Tensor, z: Tensor) -> None:
        neuron, v_before, b_before = self.neuron, *self._past(t)
        gate_a, gate_ρ, v = self.gate_a, self.gate_ρ, self.v[t]
        if self.compiled:
            of_a = gate_a.W, gate_a.b, gate_a.slope, gate_a.g[t]
            if gate_ρ is None:
                ltc_loops.membrane_step(I, *of_a, v_before, z, v, neuron.b0)
            else:
                of_ρ, before = (gate_ρ.W, gate_ρ.b, gate_ρ.slope, gate_ρ.g[t]), (v_before, b_before, z_before)
                ltc_loops.adaptive_step(I, *of_a, *of_ρ, *before, z, v, self.b[t], neuron.beta, neuron.b0)
            return
        gate_a.preactivation(t, I, v_before)
        ṽ = x = torch.lerp(v_before, I, gate_a.o(t))
        if gate_ρ is not None:
            gate_ρ.preactivation(t, I, b_before)
            x = ṽ - neuron.beta * torch.lerp(z_before, b_before, gate_ρ.o(t), out=self.b[t])
        torch.gt(x, neuron.b0, out=z)
        torch.addcmul(ṽ, ṽ, z, value=-1, out=v)

    def _past(self, t: int) -> tuple[Tensor, Tensor]:
        """Return v_{t−1} and b_{t−1}."""
        if t == 0:
            return self.before.v, self.before.b
        return self.v[t - 1], self._adaptation(t - 1)

    def _adaptation(self, t: int) -> Tensor:
        """Return b_t."""
        return self.before.b if self.gate_ρ is None else self.b[t]

    def _sent_before(self, t: int) -> Tensor:
        """Return z_{t−1}, as numbers or bytes."""
        return self.before.z if t == 0 else self.z[t - 1]

    def end(self, z: Tensor) -> LTCState:
        b = self.before.b if self.gate_ρ is None else self.b[-1]
        return LTCState(self.own(self.v[-1]), self.own(b), self.own(z))

    def membranes(self) -> Tensor:
        return self.V

    def states(self, z: Tensor) -> LTCState:
        return LTCState(self.V, self.before.b.expand_as(z) if self.gate_ρ is None else self.B, z)

    def begin_back(self, δ: LTCState, z: Tensor, to_state: bool, δZ: Tensor) -> None:
        self.z, self.to_state = z.unbind(0), to_state
        self.δz, self.δv, self.δb = self.before.v.new_zeros(3, *self.before.v.shape).unbind(0)
        self.δb_end = δ.b
        for gate in (self.gate_a, self.gate_ρ):
            if gate is not None:
                gate.begin_back()

    def back(self, t: int, δz: Tensor, δv: Tensor | None) -> None:
        if δv is not None:
            self.δv.add_(δv)
        if self.δb_end is not None and self.gate_ρ is not None and t + 1 == len(self.I):
            self.δb.add_(self.δb_end)
        go = self._back_in_loops if self.compiled else self._back_in_operations
        go(t, δz, t > 0 or self.to_state)

    def _back_in_loops(self, t: int, δz: Tensor, to_past: bool) -> None:
        neuron, gate_a, gate_ρ = self.neuron, self.gate_a, self.gate_ρ
        I, z, (v_before, b_before), b = self.I[t], self.z[t], self._past(t), self._adaptation(t)
        β, resets = 0.0 if gate_ρ is None else neuron.beta, float(neuron.reset_gradient)
        x = torch.empty_like(I)
        ltc_loops.past_threshold(I, gate_a.g[t], gate_a.κ2, v_before, b, β, neuron.b0, x)
        h = SURROGATES[neuron.surrogate].h(x)
        of_a, δg_a = (I, gate_a.W, gate_a.g[t], gate_a.κ, gate_a.κ2), gate_a.δg[t]
        if gate_ρ is None:
            gate_a.δκ += ltc_loops.membrane_adjoint(*of_a, v_before, z, h, δz, self.δv, δg_a, resets, to_past)
            return
        of_ρ, δg_ρ = (gate_ρ.W, gate_ρ.g[t], gate_ρ.κ, gate_ρ.κ2), gate_ρ.δg[t]
        before, δ = (v_before, b_before, self._sent_before(t)), (δz, self.δv, self.δb, self.δz)
        δκ_a, δκ_ρ = ltc_loops.adaptive_adjoint(*of_a, *of_ρ, *before, z, h, *δ, δg_a, δg_ρ, β, resets, to_past)
        gate_a.δκ += δκ_a
        gate_ρ.δκ += δκ_ρ

    def _back_in_operations(self, t: int, δz: Tensor, to_past: bool) -> None:
        neuron, gate_a, gate_ρ = self.neuron, self.gate_a, self.gate_ρ
        I, z, (v_before, b_before), b = self.I[t], self.z[t], self._past(t), self._adaptation(t)
        β = 0.0 if gate_ρ is None else neuron.beta
        # Elementwise work: δI_t overwrites δz_t, the δ of the state are updated in place; and δg_t of both gates.
        a = gate_a.o(t)
        ṽ = torch.lerp(v_before, I, a)
        h = SURROGATES[neuron.surrogate].h((ṽ - neuron.b0).sub_(b, alpha=β))
        if gate_ρ is not None:
            δz.add_(self.δz)
        δx = δz.addcmul_(ṽ, self.δv, value=-float(neuron.reset_gradient)).mul_(h)
        δṽ = torch.addcmul(self.δv, self.δv, z.to(δx.dtype), value=-1).add_(δx)
        gate_a.gate_gradient(t, a, (I - v_before).mul_(δṽ))
        if gate_ρ is not None:
            ρ, δb = gate_ρ.o(t), torch.sub(self.δb, δx, alpha=β)
            gate_ρ.gate_gradient(t, ρ, (b_before - self._sent_before(t)).mul_(δb))
            torch.mul(δb, ρ, out=self.δb)
            torch.sub(δb, self.δb, out=self.δz)
        torch.mul(a, δṽ, out=δz)
        torch.sub(δṽ, δz, out=self.δv)
        gate_a.back(t, δz, self.δv if to_past else None)
        if gate_ρ is not None:
            gate_ρ.back(t, δz, self.δb if to_past else None)

    def state_gradient(self) -> LTCState:
        if self.gate_ρ is None and self.δb_end is not None:
            return LTCState(self.δv, self.δb_end, self.δz)
        return LTCState(self.δv, self.δb, self.δz)

    def parameter_gradients(self) -> dict[str, Tensor | None]:
        found = self.gate_a.gradients("membrane", self.I, self.before.v, self.V)
        if self.gate_ρ is not None:
            found |= self.gate_ρ.gradients("adaptation", self.I, self.before.b, self.B)
        return found
