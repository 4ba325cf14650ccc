"""Loops of a step for synapses, norms and readout, and their gradients with the previous state held constant.

Arrays are [batch, ...], those of a readout [1, batch, ...]; an absent array, such as a bias, is empty. D and P are the
inputs of the norms, d is the output of the readout's norm; without norms δD and δP are δI, and d is D.
"""

from __future__ import annotations

from typing import Any

from throughtime.networks.kernels.readout_loops import gated_leak, gated_leak_adjoint, leak, leak_adjoint
from throughtime.numerics.exp2 import base_two_of
from throughtime.numerics.gemm import gemm
from throughtime.numerics.loops import compiled, prange
from throughtime.numerics.norm_loops import normalise, normalise_adjoint
from throughtime.numerics.reductions import sum_of_rows


@compiled
def affine(x: Any, W: Any, c: Any, d: Any) -> None:
    """d = W x + c; c may be empty."""
    if not len(c):
        gemm(x, False, W, True, 0, d)
        return
    for n in prange(len(d)):
        for i in range(d.shape[1]):
            d[n, i] = c[i]
    gemm(x, False, W, True, 1, d)


@compiled
def affine_gradient(x: Any, δd: Any, δW: Any, δc: Any) -> None:
    """δW = Σ δd xᵀ and δc = Σ δd over the batch."""
    gemm(δd, True, x, False, 0, δW)
    if len(δc):
        sum_of_rows(δd, δc)


@compiled
def currents(
    t: Any,
    x: Any,
    z_before: Any,
    W: Any,
    c: Any,
    R: Any,
    c_R: Any,
    normed: bool,
    w_D: Any,
    c_D: Any,
    mean_D: Any,
    var_D: Any,
    w_P: Any,
    c_P: Any,
    mean_P: Any,
    var_P: Any,
    momentum: float,
    ε: float,
    training: bool,
    statistics: Any,
    D: Any,
    P: Any,
    I: Any,
) -> None:
    """I_t = D_t + P_t, D_t = W x_t + c and P_t = R z_{t−1} + c_R, each through its norm if the layer has norms."""
    affine(x, W, c, D)
    affine(z_before, R, c_R, P)
    if normed:
        of_D = statistics[0]
        of_P = statistics[1]
        normalise(D, w_D, c_D, mean_D, var_D, t[0], momentum, ε, training, of_D[0], of_D[1], I, False)
        normalise(P, w_P, c_P, mean_P, var_P, t[0], momentum, ε, training, of_P[0], of_P[1], I, True)
    else:
        for n in prange(len(I)):
            for i in range(I.shape[1]):
                I[n, i] = D[n, i] + P[n, i]


@compiled
def currents_gradient(
    x: Any,
    z_before: Any,
    W: Any,
    normed: bool,
    w_D: Any,
    w_P: Any,
    training: bool,
    statistics: Any,
    D: Any,
    P: Any,
    δI: Any,
    δD: Any,
    δP: Any,
    δW: Any,
    δc: Any,
    δR: Any,
    δc_R: Any,
    δw_D: Any,
    δc_D: Any,
    δw_P: Any,
    δc_P: Any,
    to_x: bool,
    δx: Any,
) -> None:
    """Compute the gradients of the parameters from δI_t, and δx_t if `to_x`."""
    if normed:
        δw_D[:], δc_D[:], δw_P[:], δc_P[:] = 0, 0, 0, 0
        of_D = statistics[0]
        of_P = statistics[1]
        normalise_adjoint(D, w_D, of_D[0], of_D[1], δI, training, δD, δw_D, δc_D)
        normalise_adjoint(P, w_P, of_P[0], of_P[1], δI, training, δP, δw_P, δc_P)
    affine_gradient(x, δD, δW, δc)
    affine_gradient(z_before, δP, δR, δc_R)
    if to_x:
        gemm(δD, False, W, False, 0, δx)


@compiled
def read(
    t: Any,
    o: Any,
    W: Any,
    c: Any,
    normed: bool,
    w: Any,
    c_n: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    ε: float,
    training: bool,
    statistics: Any,
    D: Any,
    d: Any,
    gated: bool,
    decay: float,
    W_τ: Any,
    b_τ: Any,
    κ: Any,
    of_gate: Any,
    g: Any,
    λ: Any,
    y_before: Any,
    y: Any,
) -> None:
    """Compute y_t from o_t, the variable that the readout reads; d_t is the output of the norm if there is one."""
    affine(o, W, c, D[0])
    if normed:
        normalise(
            D[0],
            w,
            c_n,
            running_mean,
            running_var,
            t[0],
            momentum,
            ε,
            training,
            statistics[0],
            statistics[1],
            d[0],
            False,
        )
    if gated:
        gated_leak(d, y_before, W_τ, b_τ, base_two_of(κ), of_gate, g, λ, y)
    else:
        leak(d, y_before, decay, y)


@compiled
def read_gradient(
    o: Any,
    W: Any,
    normed: bool,
    w: Any,
    training: bool,
    statistics: Any,
    D: Any,
    gated: bool,
    decay: float,
    W_τ: Any,
    κ: Any,
    of_gate: Any,
    g: Any,
    λ: Any,
    δy: Any,
    δy_before: Any,
    δg: Any,
    δd: Any,
    δD: Any,
    δW: Any,
    δc: Any,
    δw: Any,
    δc_n: Any,
    δW_τ: Any,
    δb_τ: Any,
    δκ: Any,
    δo: Any,
) -> None:
    """Compute δo_t and the gradients of the parameters from δy_t."""
    if gated:
        δκ[()] = gated_leak_adjoint(of_gate, g, λ, W_τ, κ[()], δy, δd, δy_before, δg, δW_τ, δb_τ)
    else:
        leak_adjoint(δy, decay, δd, δy_before)
    if normed:
        δw[:], δc_n[:] = 0, 0
        normalise_adjoint(D[0], w, statistics[0], statistics[1], δd[0], training, δD[0], δw, δc_n)
    affine_gradient(o, δD[0], δW, δc)
    gemm(δD[0], False, W, False, 0, δo)
