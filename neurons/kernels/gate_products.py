"""The products of a gate with a dense map: forward, adjoint, and the gradients of its weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from throughtime.neurons.gate import Gate
from throughtime.numerics.precision import products_of


class GateProducts:
    """The products of one gate in a window of steps.

        g_t = W_I I_t + W_s s_{t−1} + b              W_I and W_s are one matrix if the gate reads the sum I_t + s_{t−1}
        δI_t += W_Iᵀ δg_t,      δs_{t−1} += W_sᵀ δg_t
        δW_I = Σ_t δg_t I_tᵀ,   δW_s = Σ_t δg_t s_{t−1}ᵀ,   δb = Σ_t δg_t

    Time: two products per step in each direction, one if the gate reads the sum; one or two per window for the weights.

    Args:
        gate: the gate.
        map: W and b.
        like: tensor with the dtype and device of the outputs.
        shape: shape of the stored outputs [steps, batch, size]. If there are fewer steps than in the window, they
            alternate between the rows.

    Attributes:
        G: g_t of the stored steps.
    """

    def __init__(self, gate: Gate, map: nn.Linear, like: Tensor, shape: Sequence[int]) -> None:
        self.gate, self.products = gate, products_of(map)
        self.W = self.products.operand(map.weight.detach())
        self.b = None if map.bias is None else map.bias.detach()
        split = 0 if gate.summed else self.W.shape[1] - shape[-1]
        self.W_s = self.W[:, split:]
        self.W_I = self.W if gate.summed else self.W[:, :split]
        self.W_I_t, self.W_s_t = self.W_I.t(), self.W_s.t()
        self.G = like.new_empty(*shape)
        self.g = self.G.unbind(0)

    def step(self, t: int, I: Tensor, s: Tensor) -> None:
        """Compute g_t from I_t and s_{t−1}."""
        g, products = self.g[t % len(self.g)], self.products
        if self.gate.summed:
            I = I + s
        if self.b is None:
            products.matmul(I, self.W_I_t, out=g)
        else:
            products.addmm(self.b, I, self.W_I_t, out=g)
        if not self.gate.summed:
            products.addmm(g, s, self.W_s_t, out=g)

    def back(self, δg: Tensor, δI: Tensor, δs: Tensor | None) -> None:
        """Add the contributions of δg_t to δI_t and, if given, to δs_{t−1}."""
        products = self.products
        if self.gate.summed and δs is not None:
            δq = products.matmul(δg, self.W)
            δI += δq
            δs += δq
        else:
            products.addmm(δI, δg, self.W_I, out=δI)
            if δs is not None:
                products.addmm(δs, δg, self.W_s, out=δs)

    def weight_gradients(
        self, δG: Tensor, I: Tensor, s_first: Tensor, s: Tensor, δW: Tensor, δb: Tensor | None
    ) -> None:
        """Write δW and δb.

        Args:
            δG: δg of all steps, [steps, batch, size].
            I: currents of all steps, [steps, batch, ...].
            s_first: s before the first step, [batch, size].
            s: s after each step, [steps, batch, size]; the last one is not read.
        """
        products = self.products
        δW_I, δW_s = (δW, δW) if self.gate.summed else δW.split((self.W_I.shape[1], self.W_s.shape[1]), 1)
        products.matmul(δG.flatten(0, 1).t(), I.flatten(0, 1), out=δW_I)
        if self.gate.summed:
            products.addmm(δW_s, δG[0].t(), s_first, out=δW_s)
        else:
            products.matmul(δG[0].t(), s_first, out=δW_s)
        if len(s) > 1:
            products.addmm(δW_s, δG[1:].flatten(0, 1).t(), s[:-1].flatten(0, 1), out=δW_s)
        if δb is not None:
            torch.sum(δG, (0, 1), out=δb)
