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

    A gate that reads I_t or s_{t−1} alone has only the terms with W_I or W_s. Time: two products per step in each
    direction, one if the gate reads the sum or one of the two; one or two per window for the weights.

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
        self.size = shape[-1]
        self.blocks = gate.blocks(self.W, self.size)
        self.transposed = [W.t() for W in self.blocks]
        self.G = like.new_empty(*shape)
        self.g = self.G.unbind(0)

    def step(self, t: int, I: Tensor, s: Tensor | None) -> None:
        """Compute g_t from I_t and s_{t−1}."""
        g, products = self.g[t % len(self.g)], self.products
        (first, W_t), *others = zip(self.gate.parts(I, s), self.transposed, strict=True)
        if self.b is None:
            products.matmul(first, W_t, out=g)
        else:
            products.addmm(self.b, first, W_t, out=g)
        for part, W_t in others:
            products.addmm(g, part, W_t, out=g)

    def back(self, δg: Tensor, δI: Tensor, δs: Tensor | None) -> None:
        """Add the contributions of δg_t to δI_t and, if given, to δs_{t−1}."""
        products = self.products
        if self.gate.summed and δs is not None:
            δq = products.matmul(δg, self.W)
            δI += δq
            δs += δq
            return
        for δ, W in zip(self.gate.parts(δI, δs), self.blocks, strict=False):
            products.addmm(δ, δg, W, out=δ)

    def weight_gradients(
        self, δG: Tensor, I: Tensor | None, s_first: Tensor | None, s: Tensor | None, δW: Tensor, δb: Tensor | None
    ) -> None:
        """Write δW and δb.

        Args:
            δG: δg of all steps, [steps, batch, size].
            I: currents of all steps, [steps, batch, ...]; None if the gate does not read them.
            s_first: s before the first step, [batch, size]; None if the gate reads no s.
            s: s after each step, [steps, batch, size]; the last one is not read.
        """
        products, blocks = self.products, self.gate.blocks(δW, self.size)
        if I is not None:
            products.matmul(δG.flatten(0, 1).t(), I.flatten(0, 1), out=blocks[0])
        if s is not None:
            δW_s = blocks[-1]
            if self.gate.summed:
                products.addmm(δW_s, δG[0].t(), s_first, out=δW_s)
            else:
                products.matmul(δG[0].t(), s_first, out=δW_s)
            if len(s) > 1:
                products.addmm(δW_s, δG[1:].flatten(0, 1).t(), s[:-1].flatten(0, 1), out=δW_s)
        if δb is not None:
            torch.sum(δG, (0, 1), out=δb)
