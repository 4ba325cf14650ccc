"""Sparse products with spikes: for each sample, the sum of the rows of the weights of the neurons that spiked.

If a neuron spikes in one step of ten, a dense product multiplies nine numbers of ten by zero. The time of the sparse
product grows with the number of spikes: with 512 neurons it is a third of that of the dense product if 5 % spike, and
two thirds for 15 %; above `FEW` the dense product is used. These are timings on a processor with AVX-512; others
multiply more slowly and gain more. Both products agree to rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from throughtime.numerics.loops import compiled, prange, runs_compiled
from throughtime.numerics.precision import FLOAT32, Products

FEW = 0.15
"""Largest fraction of spikes for the sparse product."""
FEW_IN_A_RUN = 0.25
"""The same inside the compiled loop of a neuron, which also saves the calls of a step."""
PAUSE = 8
"""Steps with the dense product, without a count, after too many spikes: activity seldom changes between steps."""
SHORT = 4
"""Steps of a window below which the transposed copy of the weights takes longer than it saves."""
NARROW = 96
"""Numbers in a row below which the search for spikes takes longer than the dense product."""
CHUNK = 32
"""Steps of a window whose spikes are converted at once from bytes to numbers, for a dense product."""


class SpikeProduct:
    """sums ← sums + z Rᵀ, step after step, z [batch, inputs] mostly zeros.

    Args:
        R: [outputs, inputs]; the product uses a transposed copy.
        products: the dense products; the sparse product has the dtype of R.
        steps: number of steps of the window.
    """

    def __init__(self, R: Tensor, products: Products, steps: int) -> None:
        self.products, self.R_t = products, products.operand(R).t()
        self.rows = self.R_t.contiguous() if steps >= SHORT and _adds_rows(R, products) else None
        self.pause = 0
        """Number of further steps with the dense product."""

    def add(self, sums: Tensor, z: Tensor) -> Tensor:
        """Add z Rᵀ to sums [batch, outputs], in place."""
        if self.rows is not None and not self.pause:
            if add_rows(sums, z, self.rows, FEW):
                return sums
            self.pause = PAUSE
        self.pause = max(0, self.pause - 1)
        return self.products.addmm(sums, z, self.R_t, out=sums)


def add_weight_gradient(total: Tensor, δ: Tensor, z: Tensor, products: Products) -> Tensor:
    """total ← total + Σ_t δ_tᵀ z_t [outputs, inputs], for δ [steps, batch, outputs] and z [steps, batch, inputs], which
    are spikes as bytes, or numbers."""
    if _adds_rows(total, products):
        rows = total.new_zeros(torch.get_num_threads(), total.shape[1], total.shape[0])
        if add_outer(rows, δ.flatten(0, 1), z.flatten(0, 1), FEW):
            return total.add_(rows.sum(0).t())
    parts = [(δ, z)] if δ.shape[0] <= CHUNK else zip(δ.split(CHUNK), z.split(CHUNK), strict=True)
    for δ_part, z_part in parts:
        products.addmm(total, δ_part.flatten(0, 1).t(), z_part.flatten(0, 1).to(δ.dtype), out=total)
    return total


def _adds_rows(weights: Tensor, products: Products) -> bool:
    """Whether the sparse product serves weights [outputs, inputs]: float32 products and wide enough rows."""
    return products is FLOAT32 and len(weights) >= NARROW and runs_compiled(weights)


@compiled
def add_rows(sums: Any, z: Any, rows: Any, few: float) -> bool:
    """sums[b] += Σ_i z[b, i] rows[i]; return False, without a change, if more than `few` of z are non-zero."""
    if nonzero(z) > few * z.size:
        return False
    spiking = room_for_spiking(z)
    for b in prange(len(z)):
        add_rows_of_sample(sums[b], z[b], rows, spiking[b])
    return True


@compiled
def nonzero(z: Any) -> int:
    """Return the number of non-zero entries of z [batch, inputs]."""
    n = 0
    for b in prange(len(z)):
        for i in range(z.shape[1]):
            n += z[b, i] != 0
    return n


@compiled
def room_for_spiking(z: Any) -> Any:
    """Return memory for the indices of the spikes of each sample, with one extra place: a loop without branches writes
    each index before it knows whether the neuron spiked."""
    return np.empty((len(z), z.shape[1] + 1), np.int32)


@compiled
def find_spiking(z: Any, spiking: Any) -> int:
    """Write the indices of the spikes of one sample; return their number."""
    n = 0
    for i in range(len(z)):
        spiking[n] = i
        n += z[i] != 0
    return n


@compiled
def add_rows_of_sample(sums: Any, z: Any, rows: Any, spiking: Any) -> None:
    """sums += Σ_i z[i] rows[i]."""
    n = find_spiking(z, spiking)
    k, outputs = 0, len(sums)
    while k + 4 <= n:  # four rows to a pass over the sums
        i, j, l, m = spiking[k], spiking[k + 1], spiking[k + 2], spiking[k + 3]
        z_i, z_j, z_l, z_m = z[i], z[j], z[l], z[m]
        for o in range(outputs):
            sums[o] += (z_i * rows[i, o] + z_j * rows[j, o]) + (z_l * rows[l, o] + z_m * rows[m, o])
        k += 4
    while k < n:
        i = spiking[k]
        for o in range(outputs):
            sums[o] += z[i] * rows[i, o]
        k += 1


@compiled
def add_outer(rows: Any, δ: Any, z: Any, few: float) -> bool:
    """Σ_p rows[p, i] += Σ_n z[n, i] δ[n], with the samples divided into parts p; return False, without a change, if
    more than `few` of z are non-zero."""
    samples, inputs = z.shape
    parts, _, outputs = rows.shape
    if nonzero(z) > few * z.size:
        return False
    for p in prange(parts):
        spiking = np.empty(inputs + 1, np.int32)
        product = rows[p]
        for n in range(p * samples // parts, (p + 1) * samples // parts):
            for k in range(find_spiking(z[n], spiking)):
                i = spiking[k]
                z_i = δ.dtype.type(z[n, i])  # a product of a byte and a float32 would have 64 bits
                for o in range(outputs):
                    product[i, o] += z_i * δ[n, o]
    return True
