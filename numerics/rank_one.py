"""Matrices that decay and gain a product of two vectors in each step, one matrix for each sample."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from throughtime.numerics.loops import compiled, prange, runs_compiled


def advance(M: Tensor, decay: Tensor, gain: Tensor, u: Tensor, p: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Compute G = Σ_n w_n M_n, then M_n ← a_n M_n + c_n u_n p_nᵀ in place, in one pass over M.

    Args:
        M: [samples, rows, columns]; changed.
        decay: a, [samples].
        gain: c, [samples].
        u: [samples, rows].
        p: [samples, columns].
        weight: w, [samples].

    Returns:
        G, [rows, columns], and the norms ‖M_n‖ after the step, [samples].
    """
    if runs_compiled(M, decay, gain, u, p, weight):
        G, squares = M.new_empty(M.shape[1:]), M.new_empty(M.shape[:2])
        _advance(M, decay, gain, u, p, weight, G, squares)
        return G, squares.sum(1).sqrt_()
    G = torch.mv(M.flatten(1).t(), weight).view(M.shape[1:])
    M.mul_(decay[:, None, None]).baddbmm_((gain[:, None] * u)[:, :, None], p[:, None])
    return G, M.flatten(1).norm(dim=1)


@compiled
def _advance(M: Any, decay: Any, gain: Any, u: Any, p: Any, weight: Any, G: Any, squares: Any) -> None:
    """G ← Σ_n w_n M_n, M_n ← a_n M_n + c_n u_n p_nᵀ, and squares_ni ← Σ_j M_nij²."""
    samples, rows = u.shape
    for i in prange(rows):
        G_i = G[i]
        for j in range(len(G_i)):
            G_i[j] = 0
        for n in range(samples):
            squares[n, i] = _advance_row(M[n, i], decay[n], gain[n] * u[n, i], p[n], weight[n], G_i)


@compiled
def _advance_row(m: Any, a: float, u: float, p: Any, w: float, g: Any) -> float:
    """g += w m, then m ← a m + u p; return Σ m²."""
    square = a - a
    for j in range(len(m)):
        g[j] += w * m[j]
        m[j] = a * m[j] + u * p[j]
        square += m[j] * m[j]
    return square
